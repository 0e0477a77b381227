//! The description of `probes.yaml` for editors, made from the mirror that the reader uses.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::narrow::{self, narrow};
use super::raw;

/// The JSON Schema (draft 2020-12) of `probes.yaml`.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<raw::File>().to_value();
    drop_null(&mut schema);
    narrow(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("probes.yaml of edgewatch"));
        // Where anchors may be kept; never read.
        root.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    schema
}

/// The same of a file that `probes.yaml` includes; refers to the other, as `probes.schema.json` beside it.
#[must_use]
pub fn part_schema() -> Value {
    narrow::part(&schema())
}

/// Takes `null` out of every choice: the generator adds it to what may be left out, but a key
/// without a value is refused.
fn drop_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| *choice != json!({ "type": "null" }));
                if choices.len() == 1
                    && let Some(Value::Object(only)) = choices.pop()
                {
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(drop_null);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(path: &str, value: &Value, seen: &mut impl FnMut(&str, &Value)) {
        seen(path, value);
        match value {
            Value::Array(items) => {
                for item in items {
                    visit(path, item, seen);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    visit(&format!("{path}/{key}"), value, seen);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_key_is_described_and_none_may_be_null() {
        let mut properties = 0;
        visit("", &schema(), &mut |path, value| {
            assert_ne!(*value, json!("null"), "{path}");
            if path.ends_with("/properties") {
                for (key, property) in value.as_object().unwrap() {
                    properties += 1;
                    assert!(property["description"].is_string(), "{path}/{key}");
                }
            }
        });
        assert!(properties > 100, "{properties}");
    }

    #[test]
    fn mappings_refuse_unknown_keys() {
        visit("", &schema(), &mut |path, value| {
            if value.get("properties").is_some() {
                assert_eq!(value["additionalProperties"], json!(false), "{path}");
            }
        });
    }
}
