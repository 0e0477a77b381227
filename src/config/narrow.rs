//! What the schema knows of a file beyond the types: which keys go together, and what texts look like.
//!
//! The reader refuses all of this with a better message; an editor says it while the file is written. What takes more
//! than the text at that place (a name that nobody defined, a file that is not there) is left to `edgewatch check`.

use serde_json::{Map, Value, json};

use super::check::{CONNECTION, KINDS};
use super::include;
use super::raw::OWN;

/// Headers that belong to the request itself.
const NOT_TO_SET: [&str; 3] = ["transfer-encoding", "expect", "upgrade"];
/// Those that belong to a client as well, and what it may say of them.
const OF_A_CLIENT: [&str; 4] = ["user-agent", "host", "content-length", "connection"];

/// Lists that name something: an empty one means nothing, and the same twice is a slip.
const LISTS: [(&str, &str); 7] = [
    ("Probe", "from"),
    ("Probe", "as"),
    ("Probe", "with"),
    ("Maintenance", "probes"),
    ("Route", "probes"),
    ("Route", "egresses"),
    ("Email", "to"),
];

/// Puts all of it into the schema as it was made from the types.
pub(super) fn narrow(schema: &mut Value) {
    let Some(all) = schema.get_mut("$defs").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(client) = all.get_mut("Client") {
        client["anyOf"] = json!([{ "required": ["user_agent"] }, { "required": ["command"] }]);
    }
    not_two(all, "Probe", &["every", "cron"]);
    one_of(all, "Receiver", &KINDS);
    one_of(all, "Maintenance", &["cron", "at"]);
    not_two(all, "Egress", &["address", "interface", "proxy"]);
    for (name, key) in LISTS {
        list(property(all, name, key));
    }
    for (name, key, pattern) in [
        ("Probe", "url", "^[Hh][Tt][Tt][Pp][Ss]?://"),
        ("Slack", "channel", "^[CGD][A-Z0-9]{8,}$"),
        ("Email", "from", MAIL),
    ] {
        if let Some(text) = property(all, name, key) {
            text.insert("pattern".to_owned(), json!(pattern));
        }
    }
    let recipients = property(all, "Email", "to").and_then(|to| to.get_mut("anyOf"));
    for choice in recipients
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let text = match choice.get_mut("items") {
            Some(items) => items,
            None => choice,
        };
        text["pattern"] = json!(MAIL);
    }
    let names = |not: &[&str]| json!({ "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "not": { "pattern": in_any_case(not) } });
    if let Some(headers) = property(all, "Probe", "headers") {
        let not = [&NOT_TO_SET[..], &OF_A_CLIENT].concat();
        headers.insert("propertyNames".to_owned(), names(&not));
    }
    if let Some(headers) = property(all, "Client", "headers") {
        headers.insert("propertyNames".to_owned(), names(&NOT_TO_SET));
        let (placed, nothing) = (OF_A_CLIENT.split_at(3).0, json!({ "const": null }));
        let text = headers.get("additionalProperties").cloned();
        let mut some = Map::new();
        some.insert(in_any_case(placed), nothing.clone());
        some.insert(
            in_any_case(&["accept"]),
            json!({ "anyOf": [text, nothing] }),
        );
        some.insert(
            in_any_case(&["connection"]),
            json!({ "pattern": in_any_case(&CONNECTION) }),
        );
        headers.insert("patternProperties".to_owned(), some.into());
    }
    shared(schema);
    for name in ["Shared", "Partner"] {
        if let Some(all) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
            not_two(all, name, &["every", "cron"]);
        }
    }
}

/// Which keys a probe needs where it stands: those that it may have from somebody else it need not have itself.
fn shared(schema: &mut Value) {
    let schedule = json!([{ "required": ["every"] }, { "required": ["cron"] }]);
    // Controls have a schedule of their own when they name none.
    let whole = json!({ "required": ["url"], "not": { "required": ["path"] } });
    let with = |place: Option<&mut Value>, more: &Value| {
        let place = place.and_then(Value::as_object_mut);
        if let (Some(place), Some(more)) = (place, more.as_object()) {
            place.extend(more.clone());
        }
    };
    with(
        schema.pointer_mut("/properties/probes/additionalProperties"),
        &whole,
    );
    for list in ["additionalProperties", "items"] {
        let controls = schema.pointer_mut("/properties/controls/anyOf");
        let forms = controls.and_then(Value::as_array_mut).into_iter().flatten();
        for form in forms.filter_map(|form| form.pointer_mut(&format!("/{list}/anyOf/1"))) {
            with(Some(form), &whole);
        }
    }
    // A text in a partner's block is a path, and a mapping has one of both.
    let of_partner = "/$defs/Partner/properties/probes/additionalProperties/anyOf";
    if let Some(Value::Array(forms)) = schema.pointer_mut(of_partner) {
        forms[0]["pattern"] = json!("^/");
        let one = json!({ "oneOf": [{ "required": ["path"] }, { "required": ["url"] }] });
        with(forms.get_mut(1), &one);
    }
    if let Some(path) = schema.pointer_mut("/$defs/Probe/properties/path") {
        path["pattern"] = json!("^/");
    }
    let own = schema.pointer("/$defs/Probe/properties");
    let mut keys = own.and_then(Value::as_object).cloned().unwrap_or_default();
    keys.retain(|key, _| !OWN.contains(&key.as_str()));
    for (key, property) in &mut keys {
        *property = reference(property, &format!("#/$defs/Probe/properties/{key}"));
    }
    for name in ["Shared", "Partner"] {
        let Some(definition) = schema.pointer_mut(&format!("/$defs/{name}")) else {
            continue;
        };
        definition["additionalProperties"] = json!(false);
        if let Some(known) = definition
            .as_object_mut()
            .map(|it| it.entry("properties").or_insert_with(|| json!({})))
            .and_then(Value::as_object_mut)
        {
            known.extend(keys.clone());
        }
    }
    schema["$defs"]["Partner"]["required"] = json!(["probes"]);
    let Some(root) = schema.as_object_mut() else {
        return;
    };
    root.insert("required".to_owned(), json!(["version", "service"]));
    let probes = json!([{ "required": ["probes"] }, { "required": ["partners"] }]);
    // What an included file holds an editor can't see.
    root.insert(
        "anyOf".to_owned(),
        json!([{ "required": ["include"] }, { "required": ["clients"], "anyOf": probes }]),
    );
    root.insert(
        "if".to_owned(),
        json!({ "not": { "anyOf": [{ "required": ["defaults"] }, { "required": ["include"] }] } }),
    );
    let each = json!({ "additionalProperties": { "anyOf": schedule } });
    root.insert(
        "then".to_owned(),
        json!({ "patternProperties": { "^probes$": each } }),
    );
}

/// The schema of an included file: some of the keys, and none that must be there.
pub(super) fn part(whole: &Value) -> Value {
    let keys = include::keys().chain(["version"]).filter_map(|key| {
        let there = whole.pointer(&format!("/properties/{key}"))?;
        let property = reference(there, &format!("probes.schema.json#/properties/{key}"));
        Some((key.to_owned(), property))
    });
    json!({
        "$schema": whole["$schema"],
        "title": "a file that probes.yaml includes",
        "type": "object",
        "properties": keys.collect::<Map<_, _>>(),
        "patternProperties": { "^x-": true },
        "additionalProperties": false
    })
}

/// The same property as at another place.
fn reference(property: &Value, place: &str) -> Value {
    json!({ "description": property["description"], "$ref": place })
}

/// An address alone, or behind a name in `<` and `>`.
const MAIL: &str = "^([^<>@]*<[^\\s@<>]+@[^\\s@<>]+>|[^\\s@<>]+@[^\\s@<>]+)$";

fn property<'a>(
    all: &'a mut Map<String, Value>,
    name: &str,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    all.get_mut(name)?
        .get_mut("properties")?
        .get_mut(key)?
        .as_object_mut()
}

/// Exactly one of these keys is there.
fn one_of(all: &mut Map<String, Value>, name: &str, keys: &[&str]) {
    let choices: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "required": [key] }))
        .collect();
    if let Some(Value::Object(definition)) = all.get_mut(name) {
        definition.insert("oneOf".to_owned(), choices.into());
    }
}

/// At most one of these keys is there.
fn not_two(all: &mut Map<String, Value>, name: &str, keys: &[&str]) {
    let pairs = keys.iter().enumerate().flat_map(|(place, one)| {
        let others = keys[place + 1..].iter();
        others.map(move |other| json!({ "required": [one, other] }))
    });
    let pairs: Vec<Value> = pairs.collect();
    if let Some(Value::Object(definition)) = all.get_mut(name) {
        definition.insert("not".to_owned(), json!({ "anyOf": pairs }));
    }
}

/// A list with something in it, and nothing twice.
fn list(property: Option<&mut Map<String, Value>>) {
    let choices = property.and_then(|property| property.get_mut("anyOf"));
    for choice in choices.and_then(Value::as_array_mut).into_iter().flatten() {
        if choice["type"] == "array" {
            choice["minItems"] = json!(1);
            choice["uniqueItems"] = json!(true);
        }
    }
}

/// A pattern for one of these words, in small or capital letters.
fn in_any_case(words: &[&str]) -> String {
    let both = |c: char| match c {
        'a'..='z' => format!("[{}{c}]", c.to_ascii_uppercase()),
        _ => c.to_string(),
    };
    let words: Vec<String> = words
        .iter()
        .map(|word| word.chars().map(both).collect())
        .collect();
    format!("^({})$", words.join("|"))
}
