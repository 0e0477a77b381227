//! Texts with `{{ credential.<field> }}`: read once, and held against the credentials they are for.

use crate::config::desk::{Desk, Place, quote, suggest};
use crate::domain::cell::{Credential, CredentialName};
use crate::domain::probe::{Part, Spelling, Template};

/// Splits `text` at its placeholders.
///
/// # Errors
/// What is wrong, and how to mend it.
pub(super) fn parse(text: &str) -> Result<Template, (String, String)> {
    const MEND: &str = "write \"{{ credential.<field> }}\"";
    if let Some(inside) = in_one_brace(text) {
        let message = format!("{} has one brace before it", quote(inside));
        return Err((message, MEND.to_owned()));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((inside, after)) = behind.split_once("}}") else {
            return Err(("a \"{{\" is never closed".to_owned(), MEND.to_owned()));
        };
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let inside = inside.trim();
        let (name, spelling) = match inside.split_once('|') {
            None => (inside, Spelling::Plain),
            Some((name, filter)) => (name.trim(), filtered(filter.trim())?),
        };
        let field = name.strip_prefix("credential.").filter(|f| {
            !f.is_empty()
                && f.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        });
        let Some(field) = field else {
            let message = format!(
                "{} is no placeholder",
                quote(&format!("{{{{ {inside} }}}}"))
            );
            return Err((message, MEND.to_owned()));
        };
        parts.push(Part::Credential(field.to_owned(), spelling));
        rest = after;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(Template { parts })
}

/// A placeholder behind a single brace, which would be sent as it stands.
fn in_one_brace(text: &str) -> Option<&str> {
    let places = text.match_indices('{');
    let mut single = places
        .filter(|(place, _)| !text[..*place].ends_with('{') && !text[place + 1..].starts_with('{'));
    single.find_map(|(place, _)| {
        let inside = text[place + 1..].trim_start();
        let end = inside.find(['}', '"', '<', '\n']).unwrap_or(inside.len());
        inside
            .starts_with("credential.")
            .then(|| inside[..end].trim_end())
    })
}

fn filtered(filter: &str) -> Result<Spelling, (String, String)> {
    let mut known = Spelling::NAMED.into_iter();
    let found = known.find(|(name, _)| *name == filter);
    found.map(|(_, spelling)| spelling).ok_or_else(|| {
        (
            format!("{} is no filter", quote(filter)),
            suggest(
                filter,
                Spelling::NAMED.into_iter().map(|(name, _)| name),
                "known",
            ),
        )
    })
}

/// What a template is put into, and so which characters of a secret would break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Header,
    Xml,
    Json,
    Other,
}

impl Within {
    pub(super) fn body(template: &Template) -> Self {
        let Some(Part::Text(start)) = template.parts.first() else {
            return Self::Other;
        };
        match start
            .trim_start_matches('\u{feff}')
            .trim_start()
            .chars()
            .next()
        {
            Some('<') => Self::Xml,
            Some('{' | '[') => Self::Json,
            _ => Self::Other,
        }
    }

    /// What of a secret, as it is spelled, can't stand there.
    fn breaks(self, secret: &str, spelling: Spelling) -> Option<&'static str> {
        match self {
            Self::Header | Self::Xml | Self::Json if spelling == Spelling::Url => None,
            Self::Xml if spelling == Spelling::Xml => None,
            Self::Json if spelling == Spelling::Json => None,
            Self::Header if secret.chars().any(|c| !matches!(c, '\t' | ' '..='~')) => {
                Some("a character that can't stand in a header")
            }
            Self::Xml if secret.contains(['<', '&']) => Some("a character that XML reserves"),
            Self::Json if secret.contains(['"', '\\']) => Some("a character that JSON reserves"),
            _ => None,
        }
    }
}

/// Reports placeholders that no credential of the probe fills; of those that can't be sent, which and why.
pub(super) fn check(
    template: &Template,
    within: Within,
    credentials: &[&Credential],
    place: Place,
    desk: &mut Desk<'_>,
) -> Vec<(CredentialName, String)> {
    let mut unfit = Vec::new();
    for part in &template.parts {
        let Part::Credential(field, spelling) = part else {
            continue;
        };
        if credentials.is_empty() {
            desk.warning(
                place,
                format!("\"{{{{ credential.{field} }}}}\" stays empty, for this probe runs without credentials"),
                "name one under \"with\"",
            );
            return unfit;
        }
        for credential in credentials {
            match credential.fields.get(field) {
                None if credential.missing.is_none() => {
                    let hint = suggest(
                        field,
                        credential.fields.keys().map(String::as_str),
                        "its fields",
                    );
                    desk.error(
                        place,
                        format!(
                            "credential \"{}\" has no field \"{field}\"",
                            credential.name
                        ),
                        hint,
                    );
                }
                None => {}
                Some(secret) => {
                    if let Some(what) = within.breaks(secret.expose(), *spelling) {
                        let message = format!(
                            "field \"{field}\" of credential \"{}\" holds {what}",
                            credential.name
                        );
                        let hint = match within {
                            Within::Header => {
                                unfit.push((credential.name.clone(), message.clone()));
                                "cells with it do not run until it is mended".to_owned()
                            }
                            // Whoever escaped it where it is kept may leave it so.
                            Within::Xml => format!(
                                "write \"{{{{ credential.{field} | xml }}}}\", unless it is kept escaped"
                            ),
                            Within::Json => format!(
                                "write \"{{{{ credential.{field} | json }}}}\", unless it is kept escaped"
                            ),
                            Within::Other => String::new(),
                        };
                        desk.warning(place, message, hint);
                    }
                }
            }
        }
    }
    unfit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_placeholders() {
        for text in [
            "",
            "plain",
            "{{ credential.a }}",
            "<U>{{ credential.user_name }}</U><P>{{ credential.p-1 }}</P>",
            "<P>{{ credential.password | xml }}</P>",
        ] {
            assert_eq!(parse(text).unwrap().masked(), text);
        }
        assert_eq!(parse("a{{credential.x}}b").unwrap().parts.len(), 3);
    }

    #[test]
    fn says_what_is_no_placeholder() {
        for (text, message) in [
            ("{{ x", "a \"{{\" is never closed"),
            (
                "{{ credentials.x }}",
                "\"{{ credentials.x }}\" is no placeholder",
            ),
            (
                "{{ credential. }}",
                "\"{{ credential. }}\" is no placeholder",
            ),
            ("{{ env.X }}", "\"{{ env.X }}\" is no placeholder"),
            ("{{ credential.x | html }}", "\"html\" is no filter"),
        ] {
            assert_eq!(parse(text).unwrap_err().0, message, "{text}");
        }
    }
}
