//! The text of the file into a tree whose every node knows where it stands.
//!
//! Built on the parser's events rather than through serde, because a reader that wants to report all
//! errors needs what deserialising drops: positions of keys, the difference between `no` and `"no"`,
//! `1.10` as it was written, and duplicate keys. The price is that aliases and merge keys are ours to
//! resolve; both are bounded by [`NODES_MAX`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::syntax::{self, DEPTH_MAX};
pub(super) use super::syntax::{Broken, Mark};
use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// The largest file that is read.
pub(super) const BYTES_MAX: usize = 1024 * 1024;
/// Values in the tree with aliases written out; stops aliases of aliases from filling the memory.
/// It also bounds the depth that a chain of aliases can reach to about a thousand.
const NODES_MAX: usize = 500_000;

#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    pub(super) mark: Mark,
    /// Just behind the last character; equal to `mark` for collections.
    pub(super) end: Mark,
    pub(super) value: Value<'t>,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'t> {
    Scalar {
        text: Cow<'t, str>,
        /// Written without quotes, so that other readers of YAML may see a number or a boolean.
        plain: bool,
    },
    List(Vec<Node<'t>>),
    /// In the order of the file; a key may stand here twice.
    Map(Vec<(Key<'t>, Node<'t>)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key<'t> {
    pub(super) mark: Mark,
    pub(super) text: Cow<'t, str>,
    pub(super) plain: bool,
}

/// Something about a `<<` that is legal and most likely not meant.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) mark: Mark,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Reads one document; `None` when there is nothing but comments.
pub(super) fn parse(text: &str) -> Result<Option<Node<'_>>, Broken> {
    parse_and_doubt(text, 0, &mut 0).map(|(root, _)| root)
}

/// The same of the text with this number, with what is doubted of its merges; `nodes` counts over all texts.
pub(super) fn parse_and_doubt<'t>(
    text: &'t str,
    file: u16,
    nodes: &mut usize,
) -> Result<(Option<Node<'t>>, Vec<Doubt>), Broken> {
    let mut builder = Builder::new(text, file, *nodes);
    let root = builder.root().map_err(|broken| broken.in_file(file));
    *nodes = builder.nodes;
    root.map(|root| (root, builder.doubts))
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, file: u16, nodes: usize) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
        };
        Self {
            events: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            file,
            nodes,
            aliased: false,
            doubts: Vec::new(),
        }
    }

    fn root(&mut self) -> Result<Option<Node<'t>>, Broken> {
        let mut root = None;
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Broken::at(
                            Mark::of(span.start),
                            "a second document begins here",
                            "one file is one document; remove the \"---\"",
                        ));
                    }
                }
                Event::StreamStart | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, &span)?;
                    let scalar = matches!(node.value, Value::Scalar { .. });
                    let empty = scalar && node.mark == node.end;
                    if !empty {
                        root = Some(node);
                    }
                }
            }
        }
    }

    fn mark(&self, marker: granit_parser::Marker) -> Mark {
        Mark {
            file: self.file,
            ..Mark::of(marker)
        }
    }
}

/// Takes top-level keys that begin with `x-` away: a place for anchors, as in other YAML formats.
pub(super) fn drop_extensions(root: &mut Node<'_>) {
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|(key, _)| !key.text.starts_with("x-"));
    }
}

struct Anchored<'t> {
    node: Node<'t>,
    nodes: usize,
}

struct Builder<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored<'t>>,
    /// The number of the text.
    file: u16,
    nodes: usize,
    aliased: bool,
    doubts: Vec<Doubt>,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Broken> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax::explain(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn spend(&mut self, nodes: usize, mark: Mark) -> Result<(), Broken> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let hint = if self.aliased {
            "write fewer aliases"
        } else {
            "no file of probes needs that; is it the right one?"
        };
        Err(Broken::at(
            mark,
            format!("the file holds more than {NODES_MAX} values here, aliases written out"),
            hint,
        ))
    }

    fn node(&mut self, event: Event<'t>, span: &Span) -> Result<Node<'t>, Broken> {
        let mark = self.mark(span.start);
        let before = self.nodes;
        self.spend(1, mark)?;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, mark),
            Event::Scalar(text, style, anchor, tag) => {
                let string = tag
                    .as_deref()
                    .is_some_and(|t| t.is_yaml_core_schema_tag("str"));
                if !string {
                    refuse_tag(tag.as_deref(), span)?;
                }
                let value = Value::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain && !string,
                };
                let end = self.mark(span.end);
                (anchor, Node { mark, end, value })
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, &span)?);
                }
                let value = Value::List(items);
                (
                    anchor,
                    Node {
                        mark,
                        end: mark,
                        value,
                    },
                )
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let value = Value::Map(self.entries()?);
                (
                    anchor,
                    Node {
                        mark,
                        end: mark,
                        value,
                    },
                )
            }
            _ => return Err(Broken::at(mark, "the file breaks off here", "")),
        };
        if anchor > 0 {
            let nodes = self.nodes - before;
            self.spend(nodes, mark)?;
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, nodes });
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<Node<'t>, Broken> {
        self.aliased = true;
        let Some(nodes) = self.anchors.get(&anchor).map(|a| a.nodes) else {
            return Err(Broken::at(
                mark,
                "this alias stands inside what it stands for",
                "",
            ));
        };
        self.spend(nodes, mark)?;
        Ok(self.anchors[&anchor].node.clone())
    }

    fn entries(&mut self) -> Result<Vec<(Key<'t>, Node<'t>)>, Broken> {
        let mut entries = Vec::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span)?;
            let Value::Scalar { text, plain } = key.value else {
                return Err(Broken::at(
                    key.mark,
                    "a key is a text, not a list or a mapping",
                    "quote it if it begins with \"[\" or \"{\"",
                ));
            };
            let key = Key {
                mark: key.mark,
                text,
                plain,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span)?;
            if key.plain && key.text == "<<" {
                merges.push((key.mark, value));
            } else {
                entries.push((key, value));
            }
        }
        let own = entries.len();
        let second = merges.get(1).map(|(mark, _)| *mark);
        for (mark, value) in merges {
            self.doubt_merge(&entries, own, mark, &value);
            merge(&mut entries, mark, value)?;
        }
        if let Some(mark) = second.filter(|mark| !self.doubts.iter().any(|d| d.mark == *mark)) {
            self.doubts.push(Doubt {
                mark,
                message:
                    "a second \"<<\" in one mapping; other readers of YAML take one of the two"
                        .to_owned(),
                hint: "write \"<<: [*first, *second]\"".to_owned(),
            });
        }
        Ok(entries)
    }
}

impl<'t> Builder<'t> {
    /// Says what of a merged mapping is lost: a part of a mapping that stands here too, or what another `<<` brings.
    fn doubt_merge(
        &mut self,
        entries: &[(Key<'t>, Node<'t>)],
        own: usize,
        mark: Mark,
        value: &Node<'t>,
    ) {
        let Value::Map(brought) = &value.value else {
            return;
        };
        for (key, node) in brought {
            let Some(place) = entries.iter().position(|(known, _)| known.text == key.text) else {
                continue;
            };
            let here = &entries[place].1;
            if place >= own {
                self.doubts.push(Doubt {
                    mark,
                    message: format!(
                        "an earlier \"<<\" brings \"{}\", and that one stays",
                        shown(&key.text)
                    ),
                    hint: "write \"<<: [*first, *second]\" where the first wins, or only one"
                        .to_owned(),
                });
            } else if let (Value::Map(all), Value::Map(kept)) = (&node.value, &here.value) {
                let lost = all
                    .iter()
                    .filter(|(key, _)| !kept.iter().any(|(known, _)| known.text == key.text));
                let lost: Vec<String> = lost.map(|(key, _)| shown(&key.text)).collect();
                if !lost.is_empty() {
                    self.doubts.push(Doubt {
                        mark: here.mark,
                        message: format!(
                            "\"{}\" stands here, so the one that \"<<\" brings is not taken: it lacks {}",
                            shown(&key.text),
                            lost.join(", ")
                        ),
                        hint: "\"<<\" does not go into mappings; repeat it here if it is meant".to_owned(),
                    });
                }
            }
        }
    }
}

/// A key as a message can bear it.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Adds the keys of `value` that `entries` lacks: what `<<` means in YAML 1.1 and in most editors.
fn merge<'t>(
    entries: &mut Vec<(Key<'t>, Node<'t>)>,
    mark: Mark,
    value: Node<'t>,
) -> Result<(), Broken> {
    let sources = match value.value {
        Value::List(items) => items,
        other => vec![Node {
            value: other,
            ..value
        }],
    };
    let mut known: HashSet<String> = entries.iter().map(|(k, _)| k.text.to_string()).collect();
    for source in sources {
        let Value::Map(more) = source.value else {
            return Err(Broken::at(
                mark,
                "\"<<\" takes a mapping, or a list of mappings",
                "write \"<<: *name\", where \"&name\" stands before a mapping",
            ));
        };
        for (key, node) in more {
            if known.insert(key.text.to_string()) {
                entries.push((key, node));
            }
        }
    }
    Ok(())
}

fn refuse_tag(tag: Option<&Tag>, span: &Span) -> Result<(), Broken> {
    match tag {
        // A lone "!" only says "not a plain scalar".
        Some(tag) if !tag.is_yaml_core_schema() => Err(Broken::at(
            Mark::of(span.tag_start().unwrap_or(span.start)),
            format!("the tag \"{}\" is not read", tag.original().escape_debug()),
            "remove it",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::format_push_string, reason = "plain to read, and only here")]
mod tests {
    use super::*;

    fn show(node: &Node<'_>) -> String {
        match &node.value {
            Value::Scalar { text, plain: true } => text.to_string(),
            Value::Scalar { text, plain: false } => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(show).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(k, v)| {
                        format!("{}@{}:{} {}", k.text, k.mark.line, k.mark.column, show(v))
                    })
                    .collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    fn check(name: &str, text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(Some(node)) => show(&node),
            Ok(None) => "nothing".to_owned(),
            Err(broken) => format!(
                "{}:{} {}",
                broken.mark.line, broken.mark.column, broken.message
            ),
        };
        assert_eq!(shown, expected, "{name}");
    }

    #[test]
    fn reads_trees() {
        check("nothing", "# only a comment\n", "nothing");
        check("an empty document", "---\n# only a comment\n", "nothing");
        check(
            "kept as written",
            "a: 1.10\nb: no\n",
            "{a@1:1 1.10 b@2:1 no}",
        );
        check("quoted", "a: 'no'\n", "{a@1:1 \"no\"}");
        check("a string by tag", "a: !!str 5\n", "{a@1:1 \"5\"}");
        check("twice", "a: 1\na: 2\n", "{a@1:1 1 a@2:1 2}");
        check("an alias", "a: &x [1]\nb: *x\n", "{a@1:1 [1] b@2:1 [1]}");
        check(
            "a merge gives what is missing",
            "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
            "{a@1:1 {p@1:8 1 q@1:14 2} b@2:1 {q@2:13 3 p@1:8 1}}",
        );
        check(
            "earlier merges win",
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n",
            "{a@1:1 {p@1:8 1} b@2:1 {p@2:8 2 q@2:14 2} c@3:1 {p@1:8 1 q@2:14 2}}",
        );
    }

    #[test]
    fn refuses_what_is_no_tree() {
        check(
            "a tag of one's own",
            "a: !include x\n",
            "1:4 the tag \"!include\" is not read",
        );
        check(
            "itself",
            "a: &x [*x]\n",
            "1:8 this alias stands inside what it stands for",
        );
        check(
            "two documents",
            "a: 1\n---\nb: 2\n",
            "2:1 a second document begins here",
        );
        check(
            "a list as key",
            "? [a]\n: b\n",
            "1:3 a key is a text, not a list or a mapping",
        );
        check(
            "a merge of a text",
            "a: {<<: b}\n",
            "1:5 \"<<\" takes a mapping, or a list of mappings",
        );
    }

    #[test]
    fn bounds_what_aliases_can_grow_to() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = level - 1;
            let items = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let broken = parse(&text).unwrap_err();
        assert_eq!(
            broken.message,
            "the file holds more than 500000 values here, aliases written out"
        );
    }

    #[test]
    fn a_chain_of_aliases_does_not_exhaust_the_stack() {
        let mut text = String::from("a0: &a0 x\n");
        for level in 1..5000 {
            text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(parse(&text).is_err());
    }

    #[test]
    fn bounds_depth() {
        let text = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let broken = parse(&text).unwrap_err();
        assert_eq!(broken.message, "not YAML: nested more than 32 deep");
    }
}
