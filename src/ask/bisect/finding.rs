//! What a bisection found, in words: the smallest difference that flips the answer.

use super::head::Kind as HeadKind;
use super::merge::Text;
use super::pieces::Kind;
use super::request::{Mixed, Part, http};
use super::search::{Found, Set, Size};
use crate::domain::cell::{Client, IpFamily};
use crate::domain::head::{self, Line};
use crate::domain::verdict::Rule;
use crate::words::evidence::cut;
use crate::words::terms;

/// Characters of a header's value or a body's text that a sentence quotes.
const QUOTED_MAX: usize = 120;

/// One thing of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    pub rule: Rule,
    /// As it follows "because of".
    pub what: String,
    /// What the passing request has in its place, if anything.
    pub instead: Option<String>,
}

/// Everything of a set of changes, words of one place together.
#[must_use]
pub fn things(mixed: &Mixed, changes: &Set) -> Vec<Thing> {
    let mut things: Vec<Thing> = Vec::new();
    let mut words: Vec<(Vec<&str>, bool, Vec<&Text>)> = Vec::new();
    for at in changes {
        let part = &mixed.parts[*at];
        match mixed.text(part) {
            Some(text) if is_word(text) => {
                let (path, of_body) = (path(text), matches!(part, Part::Body(_)));
                match words
                    .iter_mut()
                    .find(|(p, b, _)| *p == path && *b == of_body)
                {
                    Some((_, _, list)) => list.push(text),
                    None => words.push((path, of_body, vec![text])),
                }
            }
            _ => things.push(thing(mixed, part)),
        }
    }
    for (path, of_body, texts) in words {
        things.push(of_words(mixed, &path, of_body, &texts));
    }
    things
}

fn is_word(text: &Text) -> bool {
    text.kind == Kind::Word && text.failing.is_some()
}

fn path(text: &Text) -> Vec<&str> {
    let names = text.path.iter().map(String::as_str);
    names.filter(|name| !name.is_empty()).collect()
}

fn of_words(mixed: &Mixed, path: &[&str], of_body: bool, texts: &[&Text]) -> Thing {
    let named = |wanted: fn(&Text) -> Option<&String>| {
        let words = texts.iter().filter_map(|text| wanted(text));
        let words: Vec<String> = words
            .map(|word| format!("`{}`", cut(&mixed.shown(word), QUOTED_MAX)))
            .collect();
        (!words.is_empty()).then(|| terms::list(&words, "and"))
    };
    let failing = named(|text| text.failing.as_ref()).unwrap_or_default();
    let noun = if texts.len() == 1 { "word" } else { "words" };
    Thing {
        rule: if of_body {
            Rule::Body
        } else {
            Rule::FirewallRule
        },
        what: format!("the {noun} {failing} in {}", place(path, of_body)),
        instead: named(|text| text.passing.as_ref()),
    }
}

/// Where in the request something stands.
fn place(path: &[&str], of_body: bool) -> String {
    match (path, of_body) {
        ([], true) => "the body".to_owned(),
        (path, true) => format!("`/{}` of the body", path.join("/")),
        ([], false) => "the query".to_owned(),
        (path, false) => format!("the query key `{}`", path.join(".")),
    }
}

fn thing(mixed: &Mixed, part: &Part) -> Thing {
    let (passing, failing) = (&mixed.passing, &mixed.failing);
    let say = |rule: Rule, what: String, instead: String| Thing {
        rule,
        what,
        instead: Some(instead),
    };
    match part {
        Part::Egress => say(
            Rule::Ip,
            format!("egress `{}`", failing.egress.name),
            format!("egress `{}`", passing.egress.name),
        ),
        Part::Family => {
            let family = |family: IpFamily| match family {
                IpFamily::Any => "either IP version",
                IpFamily::V4 => "IPv4",
                IpFamily::V6 => "IPv6",
            };
            say(
                Rule::Ip,
                family(failing.egress.family).to_owned(),
                family(passing.egress.family).to_owned(),
            )
        }
        Part::Credential => say(
            Rule::Auth,
            format!("credential `{}`", failing.credential),
            format!("`{}`", passing.credential),
        ),
        Part::Method => say(
            Rule::FirewallRule,
            format!("method {}", failing.probe.method),
            format!("{}", passing.probe.method),
        ),
        Part::Path => say(
            Rule::FirewallRule,
            format!("path `{}`", failing.probe.url.path()),
            format!("`{}`", passing.probe.url.path()),
        ),
        Part::Http => say(
            Rule::FirewallRule,
            http(failing.client.http).to_owned(),
            http(passing.client.http).to_owned(),
        ),
        Part::Tls => {
            let range = |client: &Client| {
                let (min, max) = (client.tls.min.as_str(), client.tls.max.as_str());
                if min == max {
                    format!("TLS {min} alone")
                } else {
                    format!("TLS {min} to {max}")
                }
            };
            say(
                Rule::FirewallRule,
                range(&failing.client),
                range(&passing.client),
            )
        }
        Part::Program => {
            let by = |client: &Client| match &client.program {
                Some(program) => format!("`{}`", program.command.first().map_or("", |c| c)),
                None => "edgewatch itself".to_owned(),
            };
            say(
                Rule::FirewallRule,
                format!("the program that asks, {}", by(&failing.client)),
                by(&passing.client),
            )
        }
        Part::Head(at) => header(mixed, &mixed.heads.changes[*at]),
        Part::Query(_) | Part::Body(_) => {
            let of_body = matches!(part, Part::Body(_));
            let text = mixed.text(part);
            text.map_or_else(
                || say(Rule::Body, "the body".to_owned(), String::new()),
                |text| piece(mixed, text, of_body),
            )
        }
    }
}

/// An element, a member, a field, that is there, changed or gone.
fn piece(mixed: &Mixed, text: &Text, of_body: bool) -> Thing {
    let rule = if of_body {
        Rule::Body
    } else {
        Rule::FirewallRule
    };
    if text.layout {
        return Thing {
            rule,
            what: "blanks and quotes of the body".to_owned(),
            instead: None,
        };
    }
    let noun = match (text.kind, of_body) {
        (Kind::Element, _) => "the element",
        (Kind::Member, _) => "the member",
        (Kind::Field, true) => "the field",
        (Kind::Field, false) => "the query key",
        (Kind::Form, true) => "the form",
        (Kind::Form, false) => "the query",
        (Kind::Group | Kind::Quoted | Kind::Scalar, _) => "the value",
        (Kind::Word, _) => "the word",
        (Kind::Mark, _) => "the mark",
    };
    let path = path(text);
    let named = |name: &String| {
        let name = cut(&mixed.shown(name), QUOTED_MAX);
        match text.kind {
            Kind::Form => String::new(),
            Kind::Element | Kind::Member => {
                let mut all: Vec<&str> = path.clone();
                all.push(&name);
                format!(" `/{}`", all.join("/"))
            }
            Kind::Word | Kind::Group | Kind::Quoted | Kind::Scalar => {
                format!(" `{name}` in {}", place(&path, of_body))
            }
            Kind::Field | Kind::Mark => format!(" `{name}`"),
        }
    };
    match (&text.failing, &text.passing) {
        (Some(failing), passing) => Thing {
            rule,
            what: format!("{noun}{}", named(failing)),
            instead: passing
                .as_ref()
                .filter(|passing| *passing != failing)
                .map(|passing| format!("`{}`", cut(&mixed.shown(passing), QUOTED_MAX))),
        },
        (None, Some(passing)) => Thing {
            rule,
            what: format!("the lack of {noun}{}", named(passing)),
            instead: None,
        },
        (None, None) => Thing {
            rule,
            what: noun.to_owned(),
            instead: None,
        },
    }
}

fn header(mixed: &Mixed, change: &HeadKind) -> Thing {
    let heads = &mixed.heads;
    let rule = |line: &Line| match line.name.to_ascii_lowercase().as_str() {
        "user-agent" => Rule::UserAgent,
        "referer" => Rule::Referer,
        "origin" => Rule::Origin,
        "content-type" => Rule::ContentType,
        _ => Rule::Header,
    };
    match change {
        HeadKind::Added(at) => {
            let line = &heads.failing[*at];
            Thing {
                rule: rule(line),
                what: format!("`{}`", shown(line)),
                instead: None,
            }
        }
        HeadKind::Gone(at) => {
            let line = &heads.passing[*at];
            Thing {
                rule: rule(line),
                what: format!("the lack of `{}`", shown(line)),
                instead: None,
            }
        }
        HeadKind::Value(at, other) => {
            let line = &heads.failing[*at];
            Thing {
                rule: rule(line),
                what: format!("`{}`", shown(line)),
                instead: Some(format!("`{}`", shown(&heads.passing[*other]))),
            }
        }
        HeadKind::Moved(at) => {
            let behind = |list: &[Line], at: usize| match at.checked_sub(1) {
                Some(before) => format!("behind `{}`", list[before].name),
                None => "as the first".to_owned(),
            };
            let line = &heads.failing[*at];
            let name = |other: &&Line| other.name.eq_ignore_ascii_case(&line.name);
            let place = heads.passing.iter().position(|other| name(&other));
            Thing {
                rule: Rule::Header,
                what: format!(
                    "the order of the headers: `{}` {}",
                    line.name,
                    behind(&heads.failing, *at)
                ),
                instead: place.map(|at| behind(&heads.passing, at)),
            }
        }
        HeadKind::Spelling => {
            let pairs = heads.failing.iter().filter_map(|line| {
                let mut others = heads.passing.iter();
                let other = others.find(|o| o.name.eq_ignore_ascii_case(&line.name))?;
                (other.name != line.name).then_some((line, other))
            });
            let first = pairs.into_iter().next();
            Thing {
                rule: Rule::Header,
                what: match first {
                    Some((line, _)) => format!("how names of headers are written, `{}`", line.name),
                    None => "how names of headers are written".to_owned(),
                },
                instead: first.map(|(_, other)| format!("`{}`", other.name)),
            }
        }
    }
}

/// A header as people read it.
fn shown(line: &Line) -> String {
    cut(&head::shown(line), QUOTED_MAX)
}

/// Says what was found; `happens` begins the sentence ("GMC refuses the request"), `with` and `without` are answers.
pub(super) fn sentence(
    mixed: &Mixed,
    found: &Found,
    happens: &str,
    with: &str,
    without: &str,
) -> String {
    match found {
        Found::BothFail => {
            format!(
                "Both requests fail in the same way ({with}), so nothing in which they differ decides it."
            )
        }
        Found::BothPass => format!(
            "Both requests get through now ({without}), so there is nothing to find; what comes and goes can't be bisected."
        ),
        Found::Changes { needed, enough } => {
            let things = things(mixed, needed);
            let each: Vec<String> = things.iter().map(said).collect();
            let (first, rest) = each
                .split_first()
                .map_or(("", [].as_slice()), |(f, r)| (f, r));
            let mut text = format!("{happens} because of {first}");
            if !rest.is_empty() {
                let rest = terms::list(rest, "and");
                text = format!("{text}, together with {rest}: without one of them it gets through");
            }
            text = format!("{text}. With it: {with}; without it: {without}.");
            match enough {
                Some(true) | None => text,
                Some(false) => format!(
                    "{text} Leaving it out of the failing request is not enough: something else in it is refused as well."
                ),
            }
        }
        Found::Size { of, passes, fails } => {
            let (head, body) = mixed.passing_bytes();
            let (what, more) = match of {
                Size::Head => ("the size of the headers", head),
                Size::Body => ("the size of the body", body),
            };
            format!(
                "{happens} because of {what}, not of what is in it: about {} bytes pass ({without}), {} do not ({with}).",
                passes + more,
                fails + more
            )
        }
        Found::Many(within) => {
            let things = things(mixed, within);
            let each: Vec<String> = things.iter().map(said).collect();
            format!(
                "{happens} because of several things together, which lie among: {}. With them {with}.",
                terms::list(&each, "and")
            )
        }
    }
}

/// `Accept: text/xml` (the passing request has …).
fn said(thing: &Thing) -> String {
    match &thing.instead {
        Some(instead) => format!("{} (in place of {instead})", thing.what),
        None => thing.what.clone(),
    }
}
