//! `{{ env.NAME }}` in a value: what differs from host to host in a file that is the same on all of them.
//!
//! Such a value is shown wherever the file's own texts are, so it may be no secret: where secrets are named nothing is
//! filled in, a variable that is called like a secret is refused, and one whose value is a secret of this file too.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Inputs;
use super::desk::{Desk, Place};
use super::yaml::{Key, Node, Value};
use crate::domain::secret::Secrets;

/// The longest value that is filled in, bytes.
const BYTES_MAX: usize = 1024;

static VARIABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{\{\s*env\.([^}\s]*)\s*\}\}").ok());

/// Names that secrets have.
static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)passw|secret|token|webhook|credential|private|api_?key|_key$|^key$").ok()
});

/// Headers whose value is a secret as a rule.
const SECRET_HEADERS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
];

/// What was filled in, and where.
#[derive(Debug, Default)]
pub(super) struct Filled(Vec<(String, String, Place)>);

impl Filled {
    /// Refuses what is a secret of this file as well.
    pub(super) fn hold_against(&self, secrets: &Secrets, desk: &mut Desk<'_>) {
        for (name, value, place) in &self.0 {
            if secrets.holds(value) {
                desk.error(
                    *place,
                    format!("{name} holds a secret of this file, and what is filled in is shown"),
                    "secrets are named in \"credentials\": { env: NAME }",
                );
            }
        }
    }
}

/// Fills in every value of the tree; keys stay as they are.
pub(super) fn fill<'t>(root: &mut Node<'t>, inputs: &dyn Inputs, desk: &mut Desk<'t>) -> Filled {
    let mut filler = Filler {
        inputs,
        filled: Filled::default(),
    };
    let place = Desk::root(root);
    filler.node(root, place, None, desk);
    filler.filled
}

struct Filler<'a> {
    inputs: &'a dyn Inputs,
    filled: Filled,
}

impl Filler<'_> {
    /// `secret` says why nothing is filled in here.
    fn node<'t>(
        &mut self,
        node: &mut Node<'t>,
        place: Place,
        secret: Option<&str>,
        desk: &mut Desk<'t>,
    ) {
        match &mut node.value {
            Value::Scalar { text, .. } => self.text(text, place, secret, desk),
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let at = desk.item(place, index, item);
                    self.node(item, at, secret, desk);
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    let at = desk.under(place, key, value);
                    if key.text.contains("{{") && is_variable(&key.text) {
                        let key = desk.at_key(place, key);
                        desk.unfilled(
                            key,
                            "variables are filled in values, not in keys",
                            "write the key itself",
                        );
                    }
                    self.node(value, at, why_secret(key).or(secret), desk);
                }
            }
        }
    }

    fn text(
        &mut self,
        text: &mut Cow<'_, str>,
        place: Place,
        secret: Option<&str>,
        desk: &mut Desk<'_>,
    ) {
        let Some(variable) = VARIABLE.as_ref().filter(|_| text.contains("env.")) else {
            return;
        };
        let mut problem = None;
        let filled = variable.replace_all(text, |found: &Captures<'_>| {
            match self.value(&found[1], secret) {
                Ok(value) => {
                    let name = found[1].to_owned();
                    self.filled.0.push((name, value.clone(), place));
                    value
                }
                Err((message, hint)) => {
                    problem = Some((message, hint));
                    String::new()
                }
            }
        });
        if let Cow::Owned(filled) = filled {
            *text = Cow::Owned(filled);
        }
        if let Some((message, hint)) = problem {
            desk.unfilled(place, message, hint);
        }
    }

    fn value(&self, name: &str, secret: Option<&str>) -> Result<String, (String, String)> {
        const BY_REFERENCE: &str = "a secret is named where it is used: { env: NAME }";
        let refuse = |message: String, hint: &str| Err((message, hint.to_owned()));
        let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !sound {
            return refuse(
                "this is no name of an environment variable".to_owned(),
                "write \"{{ env.NAME }}\", with letters, digits and \"_\"",
            );
        }
        if let Some(why) = secret {
            let message = format!("nothing is filled in here, as {why} is a secret");
            return refuse(message, BY_REFERENCE);
        }
        if SECRET.as_ref().is_some_and(|secret| secret.is_match(name)) {
            let message = format!("{name} is called like a secret, and what is filled in is shown");
            return refuse(message, BY_REFERENCE);
        }
        let Some(value) = self.inputs.variable(name) else {
            return refuse(
                format!("the variable {name} is not set"),
                "set it where edgewatch runs (EnvironmentFile= of the unit), or write the value",
            );
        };
        let odd = value.len() > BYTES_MAX
            || value.contains(char::is_control)
            || ["{{", "}}", "{%", "{#"]
                .iter()
                .any(|sign| value.contains(sign));
        if odd {
            return refuse(
                format!("the value of {name} can't be filled in"),
                "one line of at most 1024 bytes, without double braces",
            );
        }
        Ok(value)
    }
}

/// Whether a variable stands in a text.
fn is_variable(text: &str) -> bool {
    VARIABLE.as_ref().is_some_and(|it| it.is_match(text))
}

/// Why what stands behind this key is a secret.
fn why_secret(key: &Key<'_>) -> Option<&'static str> {
    let lower = key.text.to_ascii_lowercase();
    match &*key.text {
        "credentials" => Some("what is below \"credentials\""),
        "env" => Some("what a variable holds that is named by \"env\""),
        _ if SECRET_HEADERS.contains(&lower.as_str()) => Some("the value of this header"),
        _ => None,
    }
}
