//! The operator's own words for messages: a text with places for facts, checked before it is used.
//!
//! A template may use the facts of its receiver's kind and no others: support staff are told no codes and no
//! guesses, so a Teams template has none to tell. Facts are marked in what comes out, so that whoever lays it
//! out can make them harmless; what the operator wrote is taken as it stands. Size and time are bounded.

use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};

/// Of the template's own text.
pub const BYTES_MAX: usize = 4 << 10;
/// Of what comes out; every place for such a text is far smaller.
const OUTPUT_MAX: usize = 64 << 10;
/// Steps of one rendering; a message takes a hundred.
const FUEL: u64 = 20_000;
/// Stand around a fact in what comes out; taken out of the facts themselves.
const BEGIN: char = '\u{e000}';
const END: char = '\u{e001}';

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Slack.
    Engineers,
    /// Teams.
    Support,
}

/// A fact's shape; what a template may do with it follows from that.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Text(String),
    /// Texts, to be joined or walked through.
    List(Vec<String>),
    Number(u64),
    Flag(bool),
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Fact {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// Names and an example of each fact. A text that is not known is empty.
type Known = &'static [(&'static str, Example)];

#[derive(Debug, Clone, Copy)]
enum Example {
    Text(&'static str),
    /// May be empty.
    Maybe(&'static str),
    List(&'static [&'static str]),
    Number(u64),
    Flag,
}

const COMMON: Known = &[
    ("reason", Example::Text("opened")),
    ("service", Example::Text("GMC")),
    ("incident", Example::Number(42)),
    ("reference", Example::Text("INC-42")),
    ("resolved", Example::Flag),
    ("watched_again", Example::Flag),
    ("unwatched", Example::Flag),
    ("whole", Example::Flag),
    ("our_side", Example::Flag),
    ("cause_known", Example::Flag),
    ("comes_and_goes", Example::Flag),
    ("well_between", Example::Flag),
    ("since", Example::Text("14:05")),
    ("first", Example::Maybe("13:10")),
    ("until", Example::Maybe("14:57")),
    ("lasted", Example::Maybe("52 min")),
    ("next_update", Example::Maybe("15:05")),
    ("place", Example::Text("London time")),
    ("what", Example::Maybe("Submitting recommendations")),
    ("affects", Example::Maybe("Revalidation users")),
    ("workaround", Example::Maybe("Use the web")),
    ("tell", Example::Maybe("We know about it.")),
    ("remarks", Example::List(&["delivered late"])),
];

const ENGINEERS: Known = &[
    ("state", Example::Text("STILL DOWN 45 min")),
    ("headline", Example::Text("GMC refuses `legacy`")),
    ("when", Example::Text("since 14:05 GMT")),
    (
        "because",
        Example::List(&["`legacy` is refused everywhere"]),
    ),
    (
        "ruled_out",
        Example::List(&["your IPs: `legacy` passes from one of them"]),
    ),
    (
        "before",
        Example::Maybe("Third time since Wed 3 Feb; the others lasted 12 min each"),
    ),
    ("why", Example::Maybe("`legacy` is refused everywhere")),
    (
        "why_not",
        Example::Maybe("your IPs: `legacy` passes from one of them"),
    ),
    (
        "beside",
        Example::List(&["3 h before, Cloudflare appeared"]),
    ),
    (
        "acknowledged",
        Example::Maybe("Acknowledged by alice at 14:20 GMT"),
    ),
    ("subject", Example::Text("api.example")),
    ("probes", Example::List(&["gmc-connect"])),
    ("confidence", Example::Maybe("99 %")),
    ("next_step", Example::Maybe("Ask the GMC")),
    ("expected", Example::Text("HTTP 200")),
    ("got", Example::Text("HTTP 403")),
    ("failed_runs", Example::Number(7)),
    ("reference_ids", Example::List(&["84f1c2d3"])),
];

const SUPPORT: Known = &[
    ("word", Example::Text("STILL A PROBLEM")),
    ("doing", Example::Text("The technical team has been told")),
];

/// What a fact of `reason` may be.
const REASONS: [&str; 7] = [
    "opened",
    "changed",
    "reminder",
    "resolved",
    "unwatched",
    "reopened",
    "acknowledged",
];

impl Audience {
    fn known(self) -> impl Iterator<Item = &'static (&'static str, Example)> {
        let own = match self {
            Self::Engineers => ENGINEERS,
            Self::Support => SUPPORT,
        };
        COMMON.iter().chain(own)
    }

    /// Names of the facts that its templates may use.
    pub fn facts(self) -> impl Iterator<Item = &'static str> + Clone {
        let names: Vec<&'static str> = self.known().map(|(name, _)| *name).collect();
        names.into_iter()
    }
}

/// A part of what came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// It is a fact, and not what the operator wrote.
    pub fact: bool,
}

/// A checked text with places for facts.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.text)
    }
}

impl Template {
    /// Checks a template: its syntax, every fact it mentions, and that it comes to an end for each reason.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend that where we know.
    pub fn new(text: &str, audience: Audience) -> Result<Self, Fault> {
        if text.len() > BYTES_MAX {
            return Err(Fault::plain(format!(
                "is longer than {} KiB",
                BYTES_MAX / 1024
            )));
        }
        // An editor ends a file with a line break.
        let template = Self {
            text: text.trim_end().into(),
        };
        let environment = environment();
        let compiled = environment
            .template_from_str(&template.text)
            .map_err(|e| Fault::of(&e))?;
        let mut strange: Vec<String> = compiled
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| audience.facts().all(|known| known != name))
            .collect();
        strange.sort_unstable();
        if let Some(unknown) = strange.into_iter().next() {
            return Err(Fault {
                message: format!("there is no fact \"{unknown}\""),
                unknown: Some(unknown),
            });
        }
        for reason in REASONS {
            for full in [true, false] {
                let facts = examples(audience, reason, full);
                template.render(&facts).map_err(Fault::plain)?;
            }
        }
        Ok(template)
    }

    /// Fills in the facts.
    ///
    /// # Errors
    /// A sentence that says why it came to nothing; the facts are not in it.
    pub fn render(&self, facts: &[(&'static str, Fact)]) -> Result<Vec<Piece>, String> {
        let environment = environment();
        let compiled = environment
            .template_from_str(&self.text)
            .map_err(|e| sentence(&e))?;
        let values = facts.iter().map(|(name, fact)| (*name, value(fact)));
        let mut out = Bounded(Vec::new());
        compiled
            .render_captured_to(Value::from_pairs(values), &mut out)
            .map_err(|e| sentence(&e))?;
        let text = String::from_utf8(out.0).map_err(|_| "is no text".to_owned())?;
        Ok(pieces(&text))
    }
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    /// The name that no fact has.
    pub unknown: Option<String>,
}

impl Fault {
    fn plain(message: String) -> Self {
        Self {
            message,
            unknown: None,
        }
    }

    fn of(error: &minijinja::Error) -> Self {
        Self::plain(sentence(error))
    }
}

fn sentence(error: &minijinja::Error) -> String {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "does not come to an end".to_owned(),
        ErrorKind::WriteFailure => "makes more than 64 KiB of text".to_owned(),
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    match error.line() {
        Some(line) if line > 1 => format!("{what} (line {line} of the template)"),
        _ => what,
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, _, value| {
        let text = value.to_string();
        write!(out, "{BEGIN}{text}{END}").map_err(Into::into)
    });
    environment
}

/// A text that stops taking more at its bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn value(fact: &Fact) -> Value {
    let clean = |text: &String| text.replace([BEGIN, END], "");
    match fact {
        Fact::Text(text) => Value::from(clean(text)),
        Fact::List(list) => list.iter().map(clean).collect(),
        Fact::Number(number) => Value::from(*number),
        Fact::Flag(flag) => Value::from(*flag),
    }
}

/// Takes the marks apart; facts that stand next to each other stay two pieces.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (fact, after) = after.split_once(END).unwrap_or((after, ""));
        for (text, is_fact) in [(before, false), (fact, true)] {
            if !text.is_empty() {
                pieces.push(Piece {
                    text: text.replace([BEGIN, END], ""),
                    fact: is_fact,
                });
            }
        }
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece {
            text: rest.replace(END, ""),
            fact: false,
        });
    }
    pieces
}

/// Every fact as it may be; `full`: with all that can be missing.
fn examples(audience: Audience, reason: &str, full: bool) -> Vec<(&'static str, Fact)> {
    audience
        .known()
        .map(|(name, example)| {
            let fact = match example {
                Example::Text(_) if *name == "reason" => Fact::Text(reason.to_owned()),
                Example::Text(text) => Fact::Text((*text).to_owned()),
                Example::Maybe(text) => Fact::Text(if full { *text } else { "" }.to_owned()),
                Example::List(list) => {
                    let list = list.iter().filter(|_| full);
                    Fact::List(list.map(|text| (*text).to_owned()).collect())
                }
                Example::Number(number) => Fact::Number(*number),
                Example::Flag => Fact::Flag(match *name {
                    "resolved" | "unwatched" => reason == *name,
                    _ => full,
                }),
            };
            (*name, fact)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Template::new(text, Audience::Support).unwrap_err().message
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("{{ wat }}", "there is no fact \"wat\""),
            (
                "{% if what %}{{ zeta }}{% endif %}{{ alpha }}",
                "there is no fact \"alpha\"",
            ),
            // Engineers' facts are not for support staff.
            ("{{ headline }}", "there is no fact \"headline\""),
            (
                "{{ what",
                "syntax error: unexpected end of input, expected end of variable block",
            ),
            (
                "\n{% if %}",
                "syntax error: unexpected end of block (line 2 of the template)",
            ),
            (
                "{{ what | shout }}",
                "unknown filter: filter shout is unknown",
            ),
            (
                "{% for a in 'x' * 9999 %}{% for b in 'x' * 9999 %}{% endfor %}{% endfor %}",
                "does not come to an end",
            ),
            (
                "{% for a in 'x' * 99 %}{{ 'x' * 9999 }}{% endfor %}",
                "makes more than 64 KiB of text",
            ),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
        assert_eq!(message(&"x".repeat(BYTES_MAX + 1)), "is longer than 4 KiB");
        // A mistake that shows only in some states is found as well.
        let some = "{% if reason == \"resolved\" %}{{ what | shout }}{% endif %}";
        assert!(Template::new(some, Audience::Support).is_err());
    }

    #[test]
    fn facts_are_told_from_what_the_operator_wrote() {
        let template = Template::new(
            "*{{ what }}{{ place }}* {% for r in remarks %}[{{ r }}]{% endfor %}\n",
            Audience::Support,
        )
        .unwrap();
        let facts = vec![
            ("what", Fact::Text("a \u{e001}*b*".into())),
            ("place", Fact::Text("c".into())),
            ("remarks", Fact::List(vec!["d".into()])),
        ];
        let pieces = template.render(&facts).unwrap();
        let shown: Vec<(&str, bool)> = pieces.iter().map(|p| (p.text.as_str(), p.fact)).collect();
        assert_eq!(
            shown,
            [
                ("*", false),
                ("a *b*", true),
                ("c", true),
                ("* [", false),
                ("d", true),
                ("]", false)
            ]
        );
        // What is not given is an error, not an empty place.
        assert!(template.render(&facts[1..]).is_err());
    }
}
