//! `edgewatch explain`: what a key of probes.yaml is for, in the words of the schema, with an example that is in use.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Format, exit};
use crate::config;

/// Say what a key of probes.yaml is for, with an example
///
/// KEY is a key (`every`) or a path (`probes.every`, `notify.routes.after`); without one, all keys at the top. Exit code 0
/// when there is such a key, 1 when not.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The key, or its path
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Names of places that are told of one key.
const PLACES_MAX: usize = 4;
/// The longest example, characters.
const EXAMPLE_MAX: usize = 110;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let schema = config::schema();
    let keys = keys(&schema);
    let Some(wanted) = arguments.key.as_ref().filter(|key| !key.is_empty()) else {
        let top = keys.iter().filter(|key| key.path.len() == 1);
        if arguments.format == Format::Json {
            let top = top.map(|key| json!({ "key": key.path[0], "says": key.said }));
            super::print(&format!("{:#}\n", top.collect::<Value>()));
            return exit::OK;
        }
        let text = top.fold(String::new(), |mut text, key| {
            let _ = writeln!(text, "{:16} {}", key.path[0], first_sentence(key.said));
            text
        });
        super::show(&text);
        return exit::OK;
    };
    let found = matching(&keys, wanted);
    if found.is_empty() {
        super::complain(&format!(
            "there is no key {wanted:?}{}",
            meant(&keys, wanted)
        ));
        return exit::problem();
    }
    let examples = examples();
    let told = found.iter().map(|same| told(same, &schema, &examples));
    match arguments.format {
        Format::Text => super::show(&told.map(|told| told.text()).collect::<Vec<_>>().join("\n")),
        Format::Json => super::print(&format!("{:#}\n", json!(told.collect::<Vec<_>>()))),
    }
    exit::OK
}

/// A key where it may stand; names that the file gives are `<name>`, items of a list `[]`.
struct Key<'a> {
    path: Vec<&'a str>,
    said: &'a str,
    node: &'a Value,
}

impl Key<'_> {
    fn place(&self) -> String {
        self.path.join(".").replace(".[]", "[]")
    }

    /// Its keys alone.
    fn words(&self) -> Vec<&str> {
        let words = self.path.iter().copied();
        words
            .filter(|word| *word != "<name>" && *word != "[]")
            .collect()
    }
}

/// Every key of the schema, those nearer to the top first.
fn keys(schema: &Value) -> Vec<Key<'_>> {
    let mut found = Vec::new();
    walk(schema, schema, &mut Vec::new(), &mut found);
    found.sort_by_key(|key: &Key<'_>| key.words().len());
    found
}

fn walk<'a>(schema: &'a Value, node: &'a Value, path: &mut Vec<&'a str>, found: &mut Vec<Key<'a>>) {
    if path.len() > 12 {
        return;
    }
    let node_is = resolved(schema, node);
    if let Some(properties) = node_is["properties"].as_object() {
        for (key, property) in properties {
            path.push(key);
            let said = property["description"].as_str();
            found.push(Key {
                path: path.clone(),
                said: said.unwrap_or_default(),
                node: property,
            });
            walk(schema, property, path, found);
            path.pop();
        }
    }
    for (key, step) in [("additionalProperties", "<name>"), ("items", "[]")] {
        if node_is[key].is_object() {
            path.push(step);
            walk(schema, &node_is[key], path, found);
            path.pop();
        }
    }
    for choices in ["anyOf", "oneOf"] {
        for choice in node_is[choices].as_array().into_iter().flatten() {
            walk(schema, choice, path, found);
        }
    }
}

/// What stands behind a reference.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let mut node = node;
    for _ in 0..8 {
        let place = node["$ref"]
            .as_str()
            .and_then(|place| place.strip_prefix('#'));
        match place.and_then(|place| schema.pointer(place)) {
            Some(there) => node = there,
            None => break,
        }
    }
    node
}

/// Keys that somebody means by `wanted`, together where they say the same.
fn matching<'k, 'a>(keys: &'k [Key<'a>], wanted: &str) -> Vec<Vec<&'k Key<'a>>> {
    let wanted = wanted.replace("[]", "");
    let words: Vec<&str> = wanted.split('.').filter(|word| !word.is_empty()).collect();
    let exact = |key: &&Key<'_>| {
        let path: Vec<&str> = key
            .path
            .iter()
            .copied()
            .filter(|word| *word != "[]")
            .collect();
        path.len() == words.len()
            && path
                .iter()
                .zip(&words)
                .all(|(own, word)| own == word || *own == "<name>")
    };
    let ends = |key: &&Key<'_>| key.words().ends_with(&words);
    let mut found: Vec<&Key<'_>> = keys.iter().filter(exact).collect();
    if found.is_empty() || words.len() == 1 {
        found.extend(keys.iter().filter(ends).filter(|key| !exact(key)));
    }
    let mut grouped: Vec<Vec<&Key<'_>>> = Vec::new();
    for key in found {
        match grouped.iter_mut().find(|same| same[0].said == key.said) {
            Some(same) => same.push(key),
            None => grouped.push(vec![key]),
        }
    }
    grouped
}

/// `; did you mean "every"?`
fn meant(keys: &[Key<'_>], wanted: &str) -> String {
    const LIKENESS_MIN: f64 = 0.8;
    let last = wanted.rsplit('.').next().unwrap_or_default().to_lowercase();
    let all = keys.iter().filter_map(|key| key.path.last());
    let likely = all
        .map(|key| (strsim::jaro_winkler(&last, &key.to_lowercase()), key))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    match likely {
        Some((_, key)) => format!("; did you mean {key:?}?"),
        None => "; `edgewatch explain` lists those at the top".to_owned(),
    }
}

/// What there is to say of a key.
#[derive(Debug, Serialize)]
struct Told {
    key: String,
    says: String,
    /// What may stand there; empty where there is nothing to say.
    kind: String,
    example: Option<String>,
    same_at: Vec<String>,
}

fn told(same: &[&Key<'_>], schema: &Value, examples: &[Value]) -> Told {
    let key = same[0];
    let used = same
        .iter()
        .flat_map(|key| examples.iter().filter_map(|file| instance(file, &key.path)));
    let used: Vec<&Value> = used.collect();
    let whole = used.iter().map(|value| flow(value));
    let first = used.iter().flat_map(|value| firsts(value));
    let used: Vec<String> = whole.chain(first.map(|value| flow(&value))).collect();
    let length = |text: &&String| text.chars().count();
    let short = used.iter().find(|text| length(text) <= EXAMPLE_MAX);
    let least = used.iter().min_by_key(length);
    let used = short.or(least.filter(|text| length(text) <= 2 * EXAMPLE_MAX));
    let name = key.path.last().copied().unwrap_or_default();
    let example = used
        .cloned()
        .or_else(|| made_up(resolved(schema, key.node)));
    Told {
        key: key.place(),
        says: key.said.replace('\n', " "),
        kind: kind(schema, key.node),
        example: example.map(|example| format!("{name}: {example}")),
        same_at: same[1..].iter().map(|key| key.place()).collect(),
    }
}

impl Told {
    fn text(&self) -> String {
        let mut text = format!("{}\n  {}\n", self.key, self.says);
        if !self.kind.is_empty() {
            let _ = writeln!(text, "  It is {}.", self.kind);
        }
        if let Some(example) = &self.example {
            let _ = writeln!(text, "  Example: {example}");
        }
        if !self.same_at.is_empty() {
            let shown = &self.same_at[..self.same_at.len().min(PLACES_MAX)];
            let more = match self.same_at.len() - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let _ = writeln!(text, "  The same at: {}{more}", shown.join(", "));
        }
        text
    }
}

/// What may stand there: `one of: run, none`.
fn kind(schema: &Value, node: &Value) -> String {
    let node = resolved(schema, node);
    if let Some(words) = node["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        return format!("one of: {}", words.join(", "));
    }
    if let Some(choices) = node["anyOf"].as_array().or(node["oneOf"].as_array()) {
        let mut kinds: Vec<String> = Vec::new();
        for choice in choices.iter().map(|choice| kind(schema, choice)) {
            if !choice.is_empty() && !kinds.contains(&choice) {
                kinds.push(choice);
            }
        }
        if !kinds.is_empty() {
            return kinds.join(", or ");
        }
    }
    match node["type"].as_str() {
        Some("boolean") => "true or false".to_owned(),
        Some("integer" | "number") => match (&node["minimum"], &node["maximum"]) {
            (Value::Number(from), Value::Number(to)) => format!("a number from {from} to {to}"),
            _ => "a number".to_owned(),
        },
        Some("array") => match kind(schema, &node["items"]) {
            items if items.is_empty() => "a list".to_owned(),
            items => format!("a list, each item {items}"),
        },
        Some("object") => match node["properties"].as_object() {
            Some(properties) => {
                let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
                format!("a mapping with: {}", keys.join(", "))
            }
            None if node["additionalProperties"].is_object() => {
                match kind(schema, &node["additionalProperties"]) {
                    each if each.is_empty() => "a mapping of names".to_owned(),
                    each => format!("names, each with {each}"),
                }
            }
            None => "a mapping".to_owned(),
        },
        Some("string") => match node["examples"].as_array() {
            Some(examples) => {
                let examples: Vec<&str> = examples.iter().filter_map(Value::as_str).collect();
                format!("a text like {}", examples.join(", "))
            }
            None => "a text".to_owned(),
        },
        _ => String::new(),
    }
}

/// The files that edgewatch comes with, what stands in their comments switched on.
fn examples() -> Vec<Value> {
    let commented = regex::Regex::new(r"^(\s*)# (\s*)(-\s)?([a-z_-]+: .*|[a-z_]+:)$").ok();
    let whole = |text: &str| -> String {
        let lines = text.lines().map(|line| match &commented {
            Some(commented) if !line.contains("--- ") && !line.contains("yaml-language-server") => {
                commented.replace(line, "$1$2$3$4").into_owned()
            }
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let files = [
        whole(include_str!("../../probes.yaml")),
        include_str!("../../deploy/examples/fifty-partners.yaml").to_owned(),
    ];
    files
        .iter()
        .filter_map(|text| serde_yaml::from_str(text).ok())
        .collect()
}

/// The first value that a file has at such a place.
fn instance<'v>(file: &'v Value, path: &[&str]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(file);
    };
    match (*step, file) {
        ("<name>", Value::Object(all)) => all.values().find_map(|value| instance(value, rest)),
        ("[]", Value::Array(all)) => all.iter().find_map(|value| instance(value, rest)),
        ("<name>" | "[]", _) => None,
        (key, _) => instance(file.get(key)?, rest),
    }
}

/// Single members of a value that is long.
fn firsts(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| serde_json::json!({ key: value }))
            .collect(),
        Value::Array(items) => items.iter().map(|item| serde_json::json!([item])).collect(),
        _ => Vec::new(),
    }
}

/// A value as it is written on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
            let plain = text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_/.".contains(c));
            let duration = text.starts_with(|c: char| c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric());
            if plain && (starts || duration) {
                text.clone()
            } else {
                value.to_string()
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Null => "~".to_owned(),
        other => other.to_string(),
    }
}

/// An example where no file has one.
fn made_up(node: &Value) -> Option<String> {
    let one = |value: &Value| Some(flow(value));
    // The last one of durations is the longest, which no bound of those without an instance excludes.
    let examples = node["examples"].as_array();
    if let Some(example) = examples.and_then(|all| all.last()).or(node["enum"].get(0)) {
        return one(example);
    }
    match node["type"].as_str() {
        Some("boolean") => Some("true".to_owned()),
        _ => None,
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}
