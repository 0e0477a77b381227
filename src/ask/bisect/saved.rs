//! A captured head in place of a client's own: only what some client or probe of the file sends may stand in it.

use super::request::Side;
use crate::ask::likeness::Look;
use crate::domain::cell::{HeaderCase, HttpOffer};
use crate::domain::plan::Plan;
use crate::domain::probe::{Part, Template};

impl Side {
    /// The same request with a head as it was captured from the real system.
    ///
    /// # Errors
    /// It is of another method, or has a header that nothing in the file sends; a value is never quoted.
    pub fn with_head(mut self, captured: &Look, plan: &Plan) -> Result<Self, String> {
        if captured.method != self.probe.method.as_str() {
            return Err(format!(
                "it is a {} request, and probe {:?} makes {} requests",
                captured.method, self.probe.name, self.probe.method
            ));
        }
        self.client.http = match captured.version.as_str() {
            "HTTP/2" | "HTTP/2.0" => HttpOffer::Http2,
            _ => HttpOffer::Http1,
        };
        self.client.header_case = HeaderCase::AsWritten;
        self.client.user_agent.clear();
        self.client.headers.clear();
        let own = std::mem::take(&mut self.probe.headers);
        for (name, value) in &captured.headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let secret = own
                .iter()
                .find(|(n, template)| is(n) && holds_secret(template));
            if let Some((_, template)) = secret {
                self.probe.headers.push((name.clone(), template.clone()));
            } else if is("user-agent") && plan.clients.iter().any(|c| c.user_agent == *value) {
                self.client.user_agent.clone_from(value);
            } else if !is("host") && !is("content-length") {
                if !is_configured(plan, name, value) {
                    return Err(format!(
                        "header {name}: no client or probe of the file sends it with that value; put it under `clients:` if the real system does"
                    ));
                }
                self.client
                    .headers
                    .push((name.clone(), Some(value.clone())));
                continue;
            }
            self.client.headers.push((name.clone(), None));
        }
        if !captured
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            self.client.headers.push(("Accept".to_owned(), None));
        }
        Ok(self)
    }
}

fn holds_secret(template: &Template) -> bool {
    let mut parts = template.parts.iter();
    parts.any(|part| matches!(part, Part::Credential(..)))
}

fn is_configured(plan: &Plan, name: &str, value: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let by_client = plan.clients.iter().flat_map(|client| &client.headers);
    let by_probe = plan.probes.iter().flat_map(|probe| &probe.headers);
    (is("accept") && value == "*/*")
        || by_client
            .clone()
            .any(|(n, v)| is(n) && v.as_deref() == Some(value))
        || by_probe
            .clone()
            .any(|(n, template)| is(n) && !holds_secret(template) && template.masked() == value)
}
