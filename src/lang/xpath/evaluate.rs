//! Evaluates an expression over a document, within a budget of work.

use std::borrow::Cow;
use std::cell::Cell;

use roxmltree::{Document, Node};

use super::grammar::{Axis, Comparison, Expression, Function, Path, Start, Step, Test};

/// Bytes of text that count as one unit of work.
const BYTES_PER_WORK: usize = 64;

type Outcome<T> = Result<T, String>;

/// A node of the document, or one attribute of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item<'d> {
    Node(Node<'d, 'd>),
    /// The element, and which of its attributes.
    Attribute(Node<'d, 'd>, usize),
}

enum Value<'d> {
    Nodes(Vec<Item<'d>>),
    Text(Cow<'d, str>),
    Number(f64),
    Truth(bool),
}

/// What a predicate or function stands at.
#[derive(Clone, Copy)]
struct Here<'d> {
    item: Item<'d>,
    position: usize,
    last: usize,
}

pub(super) struct Evaluation<'d> {
    root: Node<'d, 'd>,
    /// What may still be spent.
    work: &'d Cell<u64>,
}

impl<'d> Evaluation<'d> {
    pub(super) fn new<'i: 'd>(document: &'d Document<'i>, work: &'d Cell<u64>) -> Self {
        Self {
            root: document.root(),
            work,
        }
    }

    pub(super) fn truth(&self, expression: &Expression) -> Outcome<bool> {
        let here = Here {
            item: Item::Node(self.root),
            position: 1,
            last: 1,
        };
        let value = self.value(expression, here)?;
        Ok(truth(&value))
    }

    fn spend(&self, units: usize) -> Outcome<()> {
        let left = self.work.get().checked_sub(units as u64);
        // Nor is there any for what comes after it.
        self.work.set(left.unwrap_or_default());
        if left.is_none() {
            return Err(
                "our limit: the expression asks for too much work on this answer".to_owned(),
            );
        }
        Ok(())
    }

    fn value(&self, expression: &Expression, here: Here<'d>) -> Outcome<Value<'d>> {
        self.spend(1)?;
        Ok(match expression {
            Expression::Or(a, b) => {
                Value::Truth(truth(&self.value(a, here)?) || truth(&self.value(b, here)?))
            }
            Expression::And(a, b) => {
                Value::Truth(truth(&self.value(a, here)?) && truth(&self.value(b, here)?))
            }
            Expression::Compare(comparison, a, b) => {
                let (a, b) = (self.value(a, here)?, self.value(b, here)?);
                Value::Truth(self.compare(*comparison, &a, &b)?)
            }
            Expression::Union(a, b) => {
                let mut nodes = self.nodes(a, here)?;
                nodes.extend(self.nodes(b, here)?);
                Value::Nodes(self.in_order(nodes)?)
            }
            Expression::Negative(inner) => {
                let inner = self.value(inner, here)?;
                Value::Number(-self.number(&inner)?)
            }
            Expression::Text(text) => Value::Text(Cow::Owned(text.clone())),
            Expression::Number(number) => Value::Number(*number),
            Expression::Call(function, arguments) => self.call(*function, arguments, here)?,
            Expression::Path(path) => Value::Nodes(self.path(path, here)?),
        })
    }

    fn nodes(&self, expression: &Expression, here: Here<'d>) -> Outcome<Vec<Item<'d>>> {
        match self.value(expression, here)? {
            Value::Nodes(nodes) => Ok(nodes),
            // The grammar lets only paths and unions stand where nodes are wanted.
            _ => Ok(Vec::new()),
        }
    }

    fn path(&self, path: &Path, here: Here<'d>) -> Outcome<Vec<Item<'d>>> {
        let mut items = match &path.start {
            Start::Root => vec![Item::Node(self.root)],
            Start::Here => vec![here.item],
            Start::Of(inner, predicates) => {
                let nodes = self.nodes(inner, here)?;
                self.filter(nodes, predicates)?
            }
        };
        for step in &path.steps {
            let several = items.len() > 1;
            let mut selected = Vec::new();
            for item in items {
                let found = self.step(step, item)?;
                selected.extend(self.filter(found, &step.predicates)?);
            }
            items = if several {
                self.in_order(selected)?
            } else {
                selected
            };
        }
        Ok(items)
    }

    fn step(&self, step: &Step, item: Item<'d>) -> Outcome<Vec<Item<'d>>> {
        let mut found = Vec::new();
        let mut look = |candidate: Item<'d>| -> Outcome<()> {
            self.spend(1)?;
            if passes(&step.test, step.axis, candidate) {
                found.push(candidate);
            }
            Ok(())
        };
        match (step.axis, item) {
            (Axis::SelfNode, _) | (Axis::DescendantOrSelf, Item::Attribute(..)) => look(item)?,
            (Axis::Child, Item::Node(node)) => {
                for child in node.children() {
                    look(Item::Node(child))?;
                }
            }
            (Axis::Descendant | Axis::DescendantOrSelf, Item::Node(node)) => {
                let skip = usize::from(step.axis == Axis::Descendant);
                for inner in node.descendants().skip(skip) {
                    look(Item::Node(inner))?;
                }
            }
            (Axis::Parent, Item::Node(node)) => {
                if let Some(parent) = node.parent() {
                    look(Item::Node(parent))?;
                }
            }
            (Axis::Parent, Item::Attribute(node, _)) => look(Item::Node(node))?,
            (Axis::Ancestor, Item::Node(node)) => {
                for outer in node.ancestors().skip(1) {
                    look(Item::Node(outer))?;
                }
            }
            (Axis::Ancestor, Item::Attribute(node, _)) => {
                for outer in node.ancestors() {
                    look(Item::Node(outer))?;
                }
            }
            (Axis::Attribute, Item::Node(node)) => {
                for at in 0..node.attributes().len() {
                    look(Item::Attribute(node, at))?;
                }
            }
            (Axis::Child | Axis::Descendant | Axis::Attribute, Item::Attribute(..)) => {}
        }
        Ok(found)
    }

    fn filter(
        &self,
        mut items: Vec<Item<'d>>,
        predicates: &[Expression],
    ) -> Outcome<Vec<Item<'d>>> {
        for predicate in predicates {
            let last = items.len();
            let mut kept = Vec::new();
            for (at, item) in items.into_iter().enumerate() {
                let here = Here {
                    item,
                    position: at + 1,
                    last,
                };
                let holds = match self.value(predicate, here)? {
                    Value::Number(number) => (number - here.position as f64).abs() < f64::EPSILON,
                    value => truth(&value),
                };
                if holds {
                    kept.push(item);
                }
            }
            items = kept;
        }
        Ok(items)
    }

    /// Document order, each node once.
    fn in_order(&self, mut items: Vec<Item<'d>>) -> Outcome<Vec<Item<'d>>> {
        self.spend(items.len())?;
        items.sort_unstable_by_key(place);
        items.dedup_by_key(|item| place(item));
        Ok(items)
    }

    fn call(
        &self,
        function: Function,
        arguments: &[Expression],
        here: Here<'d>,
    ) -> Outcome<Value<'d>> {
        let argument = |at: usize| match arguments.get(at) {
            Some(argument) => self.value(argument, here),
            None => Ok(Value::Nodes(vec![here.item])),
        };
        let text = |at: usize| argument(at).and_then(|value| self.text(&value));
        let first = || -> Outcome<Option<Item<'d>>> {
            match arguments.first() {
                Some(argument) => Ok(self.nodes(argument, here)?.first().copied()),
                None => Ok(Some(here.item)),
            }
        };
        Ok(match function {
            Function::True => Value::Truth(true),
            Function::False => Value::Truth(false),
            Function::Boolean => Value::Truth(truth(&argument(0)?)),
            Function::Not => Value::Truth(!truth(&argument(0)?)),
            Function::Position => Value::Number(here.position as f64),
            Function::Last => Value::Number(here.last as f64),
            Function::Count => match argument(0)? {
                Value::Nodes(nodes) => Value::Number(nodes.len() as f64),
                _ => Value::Number(f64::NAN),
            },
            Function::Sum => {
                let mut sum = 0.0;
                if let Value::Nodes(nodes) = argument(0)? {
                    for node in nodes {
                        sum += number_of(&self.string(node)?);
                    }
                }
                Value::Number(sum)
            }
            Function::Number => Value::Number(self.number(&argument(0)?)?),
            Function::String => Value::Text(text(0)?),
            Function::StringLength => Value::Number(text(0)?.chars().count() as f64),
            Function::NormalizeSpace => {
                let text = text(0)?;
                let words: Vec<&str> = text.split_whitespace().collect();
                Value::Text(Cow::Owned(words.join(" ")))
            }
            Function::Contains => Value::Truth(text(0)?.contains(&*text(1)?)),
            Function::StartsWith => Value::Truth(text(0)?.starts_with(&*text(1)?)),
            Function::Concat => {
                let mut whole = String::new();
                for at in 0..arguments.len() {
                    whole.push_str(&text(at)?);
                    self.spend(whole.len() / BYTES_PER_WORK)?;
                }
                Value::Text(Cow::Owned(whole))
            }
            Function::LocalName => Value::Text(first()?.map_or(Cow::Borrowed(""), local_name)),
            Function::NamespaceUri => Value::Text(Cow::Borrowed(
                first()?.and_then(namespace).unwrap_or_default(),
            )),
            Function::Name => Value::Text(first()?.map_or(Cow::Borrowed(""), full_name)),
        })
    }

    /// The text of a node: all text inside, or the attribute's value.
    fn string(&self, item: Item<'d>) -> Outcome<Cow<'d, str>> {
        let text = match item {
            Item::Attribute(node, at) => {
                Cow::Borrowed(node.attributes().nth(at).map_or("", |a| a.value()))
            }
            Item::Node(node) if node.is_text() || node.is_comment() => {
                Cow::Borrowed(node.text().unwrap_or_default())
            }
            Item::Node(node) => {
                let mut texts = node.descendants().filter(Node::is_text);
                let one = texts.next().and_then(|n| n.text()).unwrap_or_default();
                let mut whole = Cow::Borrowed(one);
                for more in texts {
                    self.spend(1)?;
                    whole.to_mut().push_str(more.text().unwrap_or_default());
                }
                self.spend(node.descendants().len() / 8)?;
                whole
            }
        };
        self.spend(1 + text.len() / BYTES_PER_WORK)?;
        Ok(text)
    }

    fn text(&self, value: &Value<'d>) -> Outcome<Cow<'d, str>> {
        Ok(match value {
            Value::Nodes(nodes) => match nodes.first() {
                Some(first) => self.string(*first)?,
                None => Cow::Borrowed(""),
            },
            Value::Text(text) => text.clone(),
            Value::Number(number) => Cow::Owned(number_text(*number)),
            Value::Truth(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        })
    }

    fn number(&self, value: &Value<'d>) -> Outcome<f64> {
        Ok(match value {
            Value::Number(number) => *number,
            Value::Truth(truth) => f64::from(u8::from(*truth)),
            other => number_of(&self.text(other)?),
        })
    }

    /// `XPath` 1.0 section 3.4: nodes compare when any of them does.
    fn compare(&self, how: Comparison, a: &Value<'d>, b: &Value<'d>) -> Outcome<bool> {
        match (a, b) {
            (Value::Truth(_), _) | (_, Value::Truth(_)) if how.is_equality() => {
                let equal = truth(a) == truth(b);
                Ok(equal == (how == Comparison::Equal))
            }
            (Value::Nodes(left), Value::Nodes(right)) => {
                let mut texts = Vec::with_capacity(right.len());
                for item in right {
                    texts.push(self.string(*item)?);
                }
                for item in left {
                    let text = self.string(*item)?;
                    for other in &texts {
                        self.spend(1)?;
                        if compare_texts(how, &text, other) {
                            return Ok(true);
                        }
                    }
                }
                Ok(false)
            }
            (Value::Nodes(nodes), other) => self.compare_any(how, nodes, other),
            (other, Value::Nodes(nodes)) => self.compare_any(how.turned(), nodes, other),
            (Value::Text(a), Value::Text(b)) if how.is_equality() => Ok(compare_texts(how, a, b)),
            _ => Ok(compare_numbers(how, self.number(a)?, self.number(b)?)),
        }
    }

    fn compare_any(&self, how: Comparison, nodes: &[Item<'d>], other: &Value<'d>) -> Outcome<bool> {
        for item in nodes {
            let text = self.string(*item)?;
            let holds = match other {
                Value::Text(wanted) => compare_texts(how, &text, wanted),
                Value::Number(number) => compare_numbers(how, number_of(&text), *number),
                other => compare_numbers(how, number_of(&text), self.number(other)?),
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Comparison {
    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The comparison with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

fn compare_texts(how: Comparison, a: &str, b: &str) -> bool {
    match how {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        _ => compare_numbers(how, number_of(a), number_of(b)),
    }
}

#[allow(clippy::float_cmp)] // XPath compares numbers exactly.
fn compare_numbers(how: Comparison, a: f64, b: f64) -> bool {
    match how {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Less => a < b,
        Comparison::LessOrEqual => a <= b,
        Comparison::Greater => a > b,
        Comparison::GreaterOrEqual => a >= b,
    }
}

fn truth(value: &Value<'_>) -> bool {
    match value {
        Value::Nodes(nodes) => !nodes.is_empty(),
        Value::Text(text) => !text.is_empty(),
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Truth(truth) => *truth,
    }
}

/// Digits with an optional sign and fraction; everything else is no number (section 4.4).
fn number_of(text: &str) -> f64 {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain {
        text.parse().unwrap_or(f64::NAN)
    } else {
        f64::NAN
    }
}

fn number_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    format!("{number}")
}

/// Sorts in document order: an element, its attributes, its children.
fn place(item: &Item<'_>) -> (u32, usize) {
    match item {
        Item::Node(node) => (node.id().get(), 0),
        Item::Attribute(node, at) => (node.id().get(), at + 1),
    }
}

fn passes(test: &Test, axis: Axis, item: Item<'_>) -> bool {
    match test {
        Test::Node => true,
        Test::Text => matches!(item, Item::Node(node) if node.is_text()),
        Test::Any => is_named(axis, item),
        Test::Namespace(uri) => is_named(axis, item) && namespace(item) == Some(uri.as_str()),
        Test::Name {
            namespace: wanted,
            local,
        } => {
            is_named(axis, item)
                && local_name(item) == *local
                && namespace(item) == wanted.as_deref()
        }
    }
}

/// Whether the item is of the kind that names on this axis mean.
fn is_named(axis: Axis, item: Item<'_>) -> bool {
    match item {
        Item::Attribute(..) => axis == Axis::Attribute,
        Item::Node(node) => node.is_element(),
    }
}

fn local_name(item: Item<'_>) -> Cow<'_, str> {
    match item {
        Item::Node(node) if node.is_element() => Cow::Borrowed(node.tag_name().name()),
        Item::Node(_) => Cow::Borrowed(""),
        Item::Attribute(node, at) => {
            Cow::Borrowed(node.attributes().nth(at).map_or("", |a| a.name()))
        }
    }
}

fn namespace(item: Item<'_>) -> Option<&str> {
    match item {
        Item::Node(node) => node.tag_name().namespace(),
        Item::Attribute(node, at) => node.attributes().nth(at)?.namespace(),
    }
}

/// Prefix and name as they are written, as far as the prefix can be found again.
fn full_name(item: Item<'_>) -> Cow<'_, str> {
    let local = local_name(item);
    let node = match item {
        Item::Node(node) | Item::Attribute(node, _) => node,
    };
    match namespace(item).and_then(|uri| node.lookup_prefix(uri)) {
        Some(prefix) if !prefix.is_empty() => Cow::Owned(format!("{prefix}:{local}")),
        _ => local,
    }
}
