//! Stored documents: the domain's own form as JSON, with the version of its shape beside it.
//!
//! Reading is kind to what an older version left out, and strict about words nobody knows. On the day that a
//! shape changes so that the former can't be read as it is, a step from it goes here.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The shape of what is written now. Version 1 had fractions as text, and the keys that `from_1` mends.
pub(super) const VERSION: i64 = 2;

pub(super) fn write(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value)
}

/// Reads a document of any version up to this one.
///
/// # Errors
/// Why it can't be read, for people.
pub(super) fn read<T: DeserializeOwned>(version: i64, text: &str) -> Result<T, String> {
    match version {
        VERSION => serde_json::from_str(text),
        1 => serde_json::from_str(text).and_then(|mut document| {
            from_1(&mut document);
            serde_json::from_value(document)
        }),
        _ => {
            return Err(format!(
                "it has shape {version}, this edgewatch knows up to {VERSION}"
            ));
        }
    }
    .map_err(|e| e.to_string())
}

/// Incidents said `resolved`, `host` and `partner` in place of `state` and `subject`; changes of our own side
/// named both what changed and, as null, what did not.
fn from_1(document: &mut Value) {
    let Some(fields) = document.as_object_mut() else {
        return;
    };
    if fields.contains_key("host") && fields.contains_key("partner") {
        let resolved = fields.get("resolved") == Some(&Value::Bool(true));
        let state = if resolved { "resolved" } else { "open" };
        fields.insert("state".to_owned(), state.into());
        let subject = match (&fields["host"], &fields["partner"]) {
            (Value::String(host), _) => json!({ "host": host }),
            (_, Value::String(partner)) => json!({ "partner": partner }),
            _ => "our_network".into(),
        };
        fields.insert("subject".to_owned(), subject);
    }
    let changes = fields.get_mut("changes").and_then(Value::as_array_mut);
    for change in changes.into_iter().flatten() {
        if let Some(change) = change.as_object_mut() {
            change.retain(|_, value| !value.is_null());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::incident::{Beside, Subject};
    use crate::domain::surroundings::{OurSide, Own};

    #[test]
    fn version_1_is_read() {
        let subject = |text: &str| {
            let mut document = serde_json::from_str(text).unwrap();
            from_1(&mut document);
            let subject: Subject = serde_json::from_value(document["subject"].clone()).unwrap();
            (document["state"].as_str().unwrap().to_owned(), subject)
        };
        assert_eq!(
            subject(r#"{"resolved":true,"host":"a.example","partner":null}"#),
            ("resolved".to_owned(), Subject::Host("a.example".to_owned()))
        );
        assert_eq!(
            subject(r#"{"resolved":false,"host":null,"partner":"a.example"}"#),
            ("open".to_owned(), Subject::Partner("a.example".to_owned()))
        );
        assert_eq!(
            subject(r#"{"resolved":false,"host":null,"partner":null}"#),
            ("open".to_owned(), Subject::OurNetwork)
        );
        let ours: OurSide = read(
            1,
            r#"{"began":null,"addresses":{},"told":{},"clients":{},"ways":{},"changes":[
                {"at":"2021-02-28T02:14:00Z","client":null,"egress":"de1","text":"moved"},
                {"at":"2021-02-28T02:14:00Z","client":"java","egress":null,"text":"edited"}]}"#,
        )
        .unwrap();
        assert_eq!(ours.changes[0].what, Own::Egress("de1".into()));
        assert_eq!(ours.changes[1].what, Own::Client("java".into()));
        let beside = r#"{"at":"2021-02-28T02:14:00Z","text":"t","chance":"0.1","related":true}"#;
        let chance = read::<Beside>(1, beside).unwrap().chance;
        assert_eq!(chance.to_string(), "0.1");
    }

    #[test]
    fn a_version_of_tomorrow_is_refused() {
        let refused = read::<Beside>(3, "{}").unwrap_err();
        assert_eq!(refused, "it has shape 3, this edgewatch knows up to 2");
    }
}
