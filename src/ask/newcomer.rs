//! A client that is not in the file yet, under the same rules as one of the file.

use std::path::Path;

use crate::domain::cell::{Client, ClientName, HeaderCase, HttpOffer, Program, TlsRange};
use crate::domain::plan::Plan;

/// Headers taken; a client of the file has a handful.
const HEADERS_MAX: usize = 50;
/// What browsers alone call themselves: with one of these words behind `Mozilla/`.
const BROWSERS: [&str; 7] = [
    "Chrome/", "Firefox/", "Safari/", "Edg/", "OPR/", "Trident/", "Gecko/",
];

/// What somebody wants to try.
#[derive(Debug)]
pub struct Newcomer<'a> {
    /// Empty: none is sent.
    pub user_agent: String,
    pub http: HttpOffer,
    /// Each like `Accept: text/xml`.
    pub headers: &'a [String],
    /// Makes the requests; `None`: we do.
    pub program: Option<Program>,
}

impl Newcomer<'_> {
    /// The client, named `try`.
    ///
    /// # Errors
    /// What can't be sent, or must not be: it begins with `user-agent` or `header`.
    pub fn client(self, plan: &Plan) -> Result<Client, String> {
        let agent = self.user_agent;
        if http::HeaderValue::from_str(&agent).is_err() || agent.trim() != agent {
            return Err(format!(
                "user-agent {agent:?} can't be sent; it must be one line without control characters or blanks at its ends"
            ));
        }
        let known = plan.clients.iter().any(|client| client.user_agent == agent);
        if is_browser(&agent) && !known {
            return Err(format!(
                "user-agent {agent:?} is that of a browser, and edgewatch does not disguise itself; a client of the file may have it, if your services send it"
            ));
        }
        if self.headers.len() > HEADERS_MAX {
            return Err(format!("header: more than {HEADERS_MAX} headers"));
        }
        let mut headers: Vec<(String, Option<String>)> = Vec::new();
        for text in self.headers {
            let (name, value) = header(text)?;
            if headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
                return Err(format!("header: {name} is given twice"));
            }
            headers.push((name, Some(value)));
        }
        let mut name = "try".to_owned();
        while plan.client(&ClientName::new(&name)).is_some() {
            name.push_str("-new");
        }
        Ok(Client {
            name: ClientName::new(&name),
            user_agent: agent,
            http: self.http,
            tls: TlsRange::default(),
            headers,
            header_case: HeaderCase::default(),
            program: self.program,
            stands_in_for: None,
            trust: None,
            control: false,
        })
    }
}

fn is_browser(agent: &str) -> bool {
    agent.starts_with("Mozilla/") && BROWSERS.iter().any(|word| agent.contains(word))
}

/// How a person knows the client: by its user agent, by its program, or by both.
#[must_use]
pub fn shown(user_agent: Option<&str>, program: Option<&str>) -> String {
    let program = program.map(|path| {
        let name = Path::new(path).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    match (user_agent.filter(|agent| !agent.is_empty()), program) {
        (Some(agent), None) => format!("\"{agent}\""),
        (None, None) => "A client without a user agent".to_owned(),
        (Some(agent), Some(program)) => format!("`{program}` as \"{agent}\""),
        (None, Some(program)) => format!("`{program}`"),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once(':') else {
        // What was meant may be a secret, so it is not repeated.
        return Err("header: write it like \"Accept: text/xml\"".to_owned());
    };
    let (name, value) = (name.trim(), value.trim());
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("header: {name:?} is no header name"));
    }
    if http::HeaderValue::from_str(value).is_err() {
        return Err(format!("header: the value of {name} can't be sent"));
    }
    let why = match name.to_ascii_lowercase().as_str() {
        "user-agent" => "give it as the user agent",
        "host" | "content-length" | "transfer-encoding" | "connection" | "expect" | "upgrade" => {
            "it follows from the request"
        }
        "authorization" | "proxy-authorization" | "cookie" | "x-api-key" | "api-key" => {
            "a secret can't stand here; put it under \"credentials\" in the file"
        }
        "x-http-method" | "x-http-method-override" | "x-method-override" => {
            "it would make another request of it than the one in the file"
        }
        _ => return Ok((name.to_owned(), value.to_owned())),
    };
    Err(format!("header: {name} can't be set here: {why}"))
}

/// Puts the client into the plan, behind the probe's own.
pub fn add(plan: &mut Plan, probe: &str, client: Client) -> ClientName {
    let name = client.name.clone();
    plan.clients.push(client);
    let asked = plan.probes.iter_mut().filter(|p| p.name.as_str() == probe);
    for probe in asked {
        probe.as_clients.push(name.clone());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_held_to_the_rules_of_the_file() {
        let check = |text: &str, expected: Result<(&str, &str), &str>| {
            let expected = expected
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .map_err(str::to_owned);
            assert_eq!(header(text), expected, "{text:?}");
        };
        check("Accept: text/xml", Ok(("Accept", "text/xml")));
        check("X-Empty:", Ok(("X-Empty", "")));
        check(
            "hunter22",
            Err("header: write it like \"Accept: text/xml\""),
        );
        check("a b: c", Err("header: \"a b\" is no header name"));
        check("A: b\r\nC: d", Err("header: the value of A can't be sent"));
        check(
            "user-agent: x",
            Err("header: user-agent can't be set here: give it as the user agent"),
        );
        check(
            "Authorization: Bearer hunter22",
            Err(
                "header: Authorization can't be set here: a secret can't stand here; put it under \"credentials\" in the file",
            ),
        );
    }
}
