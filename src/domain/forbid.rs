//! Requests that no probe may make: write operations are refused before anything is sent.
//!
//! The check is on what would be sent, with placeholders as they stand, and errs on the side of
//! refusing: letter case is ignored, and a pattern like `<Try` also catches `<gmc:TryAddDoctor` and
//! a `SOAPAction` whose operation begins with `Try`, because those are other spellings of one call.

use std::sync::LazyLock;

use http::Method;
use regex::Regex;

/// Rules of one `forbid`, the file's or a probe's.
#[derive(Debug, Clone, Default)]
pub struct Forbidden {
    pub body: Vec<Pattern>,
    pub methods: Vec<Method>,
    pub paths: Vec<Pattern>,
    /// Names in lower case.
    pub headers: Vec<(String, Pattern)>,
}

#[derive(Debug, Clone)]
pub enum Pattern {
    Text { shown: String, lower: String },
    Regex(Regex),
}

impl Pattern {
    #[must_use]
    pub fn text(text: String) -> Self {
        Self::Text {
            lower: text.to_lowercase(),
            shown: text,
        }
    }

    fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Text { lower, .. } => text.to_lowercase().contains(lower),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text { shown, .. } => write!(f, "\"{shown}\""),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// What a probe would send.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    /// With placeholders as they stand.
    pub headers: &'a [(String, String)],
    pub body: &'a str,
}

static PREFIX: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"<(/?)[A-Za-z_][\w.-]*:").ok());

impl Forbidden {
    /// The first rule that the request breaks, in words: `the body holds "<Try"`.
    #[must_use]
    pub fn broken_by(&self, request: &Request<'_>) -> Option<String> {
        if self.methods.contains(&request.method) {
            return Some("its method is on the list".to_owned());
        }
        if let Some(pattern) = self.paths.iter().find(|p| p.is_match(request.path)) {
            return Some(format!("its path holds {pattern}"));
        }
        for (name, pattern) in &self.headers {
            let hit = request
                .headers
                .iter()
                .any(|(n, value)| n.eq_ignore_ascii_case(name) && pattern.is_match(value));
            if hit {
                return Some(format!("its header \"{name}\" holds {pattern}"));
            }
        }
        let without_prefixes = PREFIX
            .as_ref()
            .map(|regex| regex.replace_all(request.body, "<$1"));
        for pattern in &self.body {
            let bare = without_prefixes.as_deref().unwrap_or_default();
            if pattern.is_match(request.body) || pattern.is_match(bare) {
                return Some(format!("its body holds {pattern}"));
            }
            if let Pattern::Text { lower, .. } = pattern
                && let Some(operation) = lower.strip_prefix('<')
                && !operation.is_empty()
                && soap_action(request.headers)
                    .is_some_and(|action| action.to_lowercase().starts_with(operation))
            {
                return Some(format!("its SOAPAction names an operation like {pattern}"));
            }
        }
        None
    }
}

/// The operation in `SOAPAction`, or in the `action` of a SOAP 1.2 content type.
fn soap_action(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find_map(|(name, value)| {
        let action = if name.eq_ignore_ascii_case("soapaction") {
            value
        } else if name.eq_ignore_ascii_case("content-type") {
            value.split_once("action=")?.1.split(';').next()?
        } else {
            return None;
        };
        action
            .trim()
            .trim_matches('"')
            .rsplit(['/', '#', ':'])
            .next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Pattern {
        Pattern::text(text.to_owned())
    }

    fn check(name: &str, body: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let rules = Forbidden {
            body: vec![text("<Try")],
            methods: vec![Method::DELETE],
            paths: vec![text("/admin")],
            headers: vec![("x-mode".into(), text("write"))],
        };
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let request = Request {
            method: Method::POST,
            path: "/ws?x",
            headers: &headers,
            body,
        };
        assert_eq!(rules.broken_by(&request).as_deref(), expected, "{name}");
    }

    #[test]
    fn catches_write_operations_however_they_are_spelt() {
        let body = Some("its body holds \"<Try\"");
        let action = Some("its SOAPAction names an operation like \"<Try\"");
        check("as it stands", "<x><TryAddDoctor/></x>", &[], body);
        check("in another case", "<tryadddoctor>", &[], body);
        check("with a prefix", "<g:TryAddDoctor xmlns:g='u'>", &[], body);
        check("a read", "<CheckRecommendationStatus/>", &[], None);
        check(
            "a word that merely holds it",
            "<Entry>Try again</Entry>",
            &[],
            None,
        );
        check(
            "by its action",
            "<CheckRecommendationStatus/>",
            &[(
                "SOAPAction",
                "\"https://webcache.gmc-uk.org/GMCWebServices/TryAddDoctor\"",
            )],
            action,
        );
        check(
            "by the action of SOAP 1.2",
            "",
            &[(
                "content-type",
                "application/soap+xml; action=\"urn:a#TryIt\"; charset=utf-8",
            )],
            action,
        );
        check(
            "another action",
            "",
            &[("SOAPAction", "https://x/Try/Check")],
            None,
        );
        check(
            "a header",
            "",
            &[("X-Mode", "Write")],
            Some("its header \"x-mode\" holds \"write\""),
        );
    }
}
