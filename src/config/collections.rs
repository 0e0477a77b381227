//! Values made of values: names with what they stand for, pairs, lists, short and full forms.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::desk::{At, Desk, Place, clean};
use super::leaf::Name;
use super::read::{Read, entries, field, is_null, read_at, without_value, wrong_type};
use super::yaml::{Key, Node, Value};

/// A name and what it stands for, in the order of the file.
///
/// A value that could not be read keeps its name, so that those who mention it are not told that it
/// does not exist.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub(super) Vec<(At<String>, Option<At<T>>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Read> Read for Named<T> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let mut named = Vec::new();
        let entries = entries(node, place, desk, |n, d| T::hide(n, d))?;
        if let Some(key) = without_a_name::<T>(&entries) {
            desk.misplaced = true;
            desk.error(
                place,
                format!("\"{key}\" is a key of what stands here, and the name above it is missing"),
                format!("write a name, and below it, indented, \"{key}\" and what belongs to it"),
            );
            return None;
        }
        for (key, value) in entries {
            let at = desk.at_key(place, key);
            Name::check(&key.text, key.plain, at, desk);
            let name = At {
                value: key.text.to_string(),
                place: at,
            };
            named.push((name, field(key, value, place, desk)));
        }
        Some(Self(named))
    }

    fn hide(node: &Node<'_>, desk: &mut Desk<'_>) {
        if !matches!(node.value, Value::Map(_)) {
            T::hide(node, desk);
        }
    }
}

/// The first key, where keys of one of these stand in the place of names.
fn without_a_name<T: Read>(entries: &[&(Key<'_>, Node<'_>)]) -> Option<&'static str> {
    /// What hardly anybody gives as a name.
    const TELLING: [&str; 6] = ["user_agent", "address", "url", "path", "env", "file"];
    let own = |key: &Key<'_>| T::own_keys().iter().find(|(own, _)| *own == key.text);
    let first = own(&entries.first()?.0)?.0;
    let all = entries.iter().all(|(key, _)| own(key).is_some());
    let is_text = |node: &Node<'_>| matches!(node.value, Value::Scalar { .. });
    let texts = entries.iter().any(|(_, value)| is_text(value));
    (all && texts && (entries.len() > 1 || TELLING.contains(&first))).then_some(first)
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": Name::PATTERN },
            "additionalProperties": value
        })
    }
}

/// Any keys, each with a value, in the order of the file: headers, namespaces.
#[derive(Debug, Clone)]
pub(super) struct Pairs<T>(pub(super) Vec<(At<String>, At<T>)>);

impl<T: Read> Read for Pairs<T> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let mut pairs = Vec::new();
        for (key, value) in entries(node, place, desk, |n, d| T::hide(n, d))? {
            if let Some((head, _)) = key.text.split_once(':').filter(|_| is_null(value)) {
                let at = desk.at_key(place, &without_value(key));
                desk.hide_at(at);
                let head = clean(head);
                desk.error(
                    at,
                    format!("no space stands behind the colon of \"{head}\""),
                    format!("write \"{head}: …\""),
                );
                continue;
            }
            let name = At {
                value: key.text.to_string(),
                place: desk.at_key(place, key),
            };
            if let Some(value) = field(key, value, place, desk) {
                pairs.push((name, value));
            }
        }
        Some(Self(pairs))
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Pairs_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub(super) struct Many<T>(pub(super) Vec<At<T>>);

impl<T: Read> Read for Many<T> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        match &node.value {
            Value::List(items) => {
                let mut many = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let at = desk.item(place, index, item);
                    many.extend(read_at(item, at, desk));
                }
                // A list of which nothing could be read is not empty: its errors have been told.
                (items.is_empty() || !many.is_empty()).then_some(Self(many))
            }
            _ => read_at(node, place, desk).map(|one| Self(vec![one])),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Many_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}

/// A list; a single value is refused, because a list of mappings shows its missing `-` late.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<At<T>>);

impl<T: Read> Read for List<T> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        if !matches!(node.value, Value::List(_)) {
            wrong_type(node, place, "a list (\"- …\" or \"[…]\")", "", desk);
            return None;
        }
        Many::read(node, place, desk).map(|Many(items)| Self(items))
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": item })
    }
}

/// A short form that is a single text, or the full mapping.
#[derive(Debug, Clone)]
pub(super) enum Form<S, F> {
    Short(S),
    Full(F),
}

impl<S: Read, F: Read> Read for Form<S, F> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        match &node.value {
            Value::Scalar { .. } => S::read(node, place, desk).map(Self::Short),
            _ => F::read(node, place, desk).map(Self::Full),
        }
    }

    fn own_keys() -> &'static [(&'static str, bool)] {
        F::own_keys()
    }
}

impl<S: JsonSchema, F: JsonSchema> JsonSchema for Form<S, F> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Form_{}_{}", S::schema_name(), F::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<S>();
        let full = generator.subschema_for::<F>();
        json_schema!({ "anyOf": [short, full] })
    }
}
