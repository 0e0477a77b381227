//! The headers of two requests laid over each other: which are sent, with what, where, and how they are written.

use std::collections::BTreeSet;

use super::search::Set;
use crate::domain::cell::Client;
use crate::domain::head::Line;
use crate::domain::probe::{Part, Probe, Template};

/// One change of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only the failing request has it.
    Added(usize),
    /// Only the passing request has it; the place is of that one.
    Gone(usize),
    /// Both have it, with other values: places in the failing and in the passing request.
    Value(usize, usize),
    /// It stands elsewhere: its place in the failing request.
    Moved(usize),
    /// Names are written in other letters.
    Spelling,
}

/// Two heads, and what leads from the passing one to the failing one.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    pub(super) passing: Vec<Line>,
    pub(super) failing: Vec<Line>,
    pub(super) changes: Vec<Kind>,
}

impl Heads {
    pub(super) fn new(passing: Vec<Line>, failing: Vec<Line>) -> Self {
        let place = |list: &[Line], line: &Line| list.iter().position(|l| l.key == line.key);
        let mut changes: Vec<Kind> = (0..passing.len())
            .filter(|at| place(&failing, &passing[*at]).is_none())
            .map(Kind::Gone)
            .collect();
        // Both have them: by their place in the failing request, where they stand in the passing one.
        let common: Vec<(usize, usize)> = failing
            .iter()
            .enumerate()
            .filter_map(|(at, line)| Some((at, place(&passing, line)?)))
            .collect();
        let kept = longest_rising(&common);
        for (at, line) in failing.iter().enumerate() {
            let Some(other) = place(&passing, line) else {
                changes.push(Kind::Added(at));
                continue;
            };
            if line.value != passing[other].value {
                changes.push(Kind::Value(at, other));
            }
            if !kept.contains(&at) {
                changes.push(Kind::Moved(at));
            }
        }
        if common
            .iter()
            .any(|(at, other)| failing[*at].name != passing[*other].name)
        {
            changes.push(Kind::Spelling);
        }
        Self {
            passing,
            failing,
            changes,
        }
    }

    /// The head with these of its changes.
    pub(super) fn lines(&self, changes: &Set) -> Vec<Line> {
        let made: Vec<&Kind> = changes
            .iter()
            .filter_map(|at| self.changes.get(*at))
            .collect();
        let is_made = |kind: &Kind| made.contains(&kind);
        let mut list: Vec<Line> = Vec::new();
        for (at, line) in self.passing.iter().enumerate() {
            let other = self.failing.iter().position(|l| l.key == line.key);
            let moved = other.is_some_and(|other| is_made(&Kind::Moved(other)));
            if !moved && !is_made(&Kind::Gone(at)) {
                list.push(self.line(line, at, other, &is_made));
            }
        }
        for (at, line) in self.failing.iter().enumerate() {
            let other = self.passing.iter().position(|l| l.key == line.key);
            let new = match other {
                None if is_made(&Kind::Added(at)) => line.clone(),
                Some(other) if is_made(&Kind::Moved(at)) => {
                    self.line(&self.passing[other], other, Some(at), &is_made)
                }
                _ => continue,
            };
            // Behind what it follows in the failing request, of what is there.
            let before = self.failing[..at].iter().rev();
            let mut places =
                before.filter_map(|before| list.iter().position(|l| l.key == before.key));
            let place = places.next().map_or(0, |place| place + 1);
            list.insert(place, new);
        }
        list
    }

    /// A header that both have, with its value and spelling.
    fn line(
        &self,
        passing: &Line,
        at: usize,
        failing: Option<usize>,
        is_made: &impl Fn(&Kind) -> bool,
    ) -> Line {
        let mut line = passing.clone();
        if let Some(other) = failing {
            let theirs = &self.failing[other];
            if is_made(&Kind::Value(other, at)) {
                line.value.clone_from(&theirs.value);
                line.of_probe |= theirs.of_probe;
            }
            if is_made(&Kind::Spelling) {
                line.name.clone_from(&theirs.name);
            }
        }
        line
    }
}

/// The longest part of a list whose second numbers rise: their first numbers.
fn longest_rising(pairs: &[(usize, usize)]) -> BTreeSet<usize> {
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(pairs.len());
    for (at, (_, value)) in pairs.iter().enumerate() {
        let before = (0..at)
            .filter(|other| pairs[*other].1 < *value)
            .max_by_key(|other| best[*other].0);
        best.push((before.map_or(1, |other| best[other].0 + 1), before));
    }
    let mut kept = BTreeSet::new();
    let mut at = (0..pairs.len()).max_by_key(|at| best[*at].0);
    while let Some(place) = at {
        kept.insert(pairs[place].0);
        at = best[place].1;
    }
    kept
}

/// Puts a head into a client and a probe, so that it is sent as it stands.
pub(super) fn put(lines: &[Line], client: &mut Client, probe: &mut Probe) {
    client.headers.clear();
    probe.headers.clear();
    client.user_agent.clear();
    for line in lines {
        let plain = line.value.as_ref().and_then(plain);
        let value = match (&line.value, plain) {
            (Some(_), Some(text)) if line.key == ("user-agent".to_owned(), 0) => {
                client.user_agent = text;
                None
            }
            (Some(_), Some(text)) if !line.of_probe || line.key.1 > 0 => Some(text),
            (Some(template), _) => {
                probe.headers.push((line.name.clone(), template.clone()));
                None
            }
            (None, _) => None,
        };
        client.headers.push((line.name.clone(), value));
    }
    if client.program.is_none() && !lines.iter().any(|line| line.key.0 == "accept") {
        // Its place alone: it is not sent.
        client.headers.push(("Accept".to_owned(), None));
    }
}

/// A text without credentials.
fn plain(template: &Template) -> Option<String> {
    let parts = template.parts.iter();
    parts
        .map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Credential(..) => None,
        })
        .collect()
}

/// Bytes of a header on an HTTP/1.1 wire.
pub(super) fn bytes(line: &Line) -> i64 {
    let value = line.value.as_ref().map_or(0, |value| value.masked().len());
    (line.name.len() + value + 4) as i64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn lines(text: &[(&str, &str)]) -> Vec<Line> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let each = text.iter().map(|(name, value)| {
            let nth = seen.entry(name.to_ascii_lowercase()).or_default();
            *nth += 1;
            Line {
                key: (name.to_ascii_lowercase(), *nth - 1),
                name: (*name).to_owned(),
                value: Some(Template::text(*value)),
                of_probe: false,
            }
        });
        each.collect()
    }

    fn names(lines: &[Line]) -> String {
        let each: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        each.join(" ")
    }

    #[test]
    fn one_header_that_moves_is_one_change() {
        let passing = lines(&[
            ("Host", ""),
            ("User-Agent", "x"),
            ("Accept", "a"),
            ("X", "1"),
        ]);
        let failing = lines(&[
            ("Host", ""),
            ("Accept", "a"),
            ("Y", "2"),
            ("User-Agent", "x"),
        ]);
        let heads = Heads::new(passing, failing);
        assert_eq!(
            heads.changes,
            [Kind::Gone(3), Kind::Moved(1), Kind::Added(2)]
        );
        let names = |changes: &[usize]| names(&heads.lines(&changes.iter().copied().collect()));
        assert_eq!(names(&[]), "Host User-Agent Accept X");
        assert_eq!(names(&[1]), "Host Accept User-Agent X");
        assert_eq!(names(&[2]), "Host User-Agent Accept Y X");
        assert_eq!(names(&[0, 1, 2]), "Host Accept Y User-Agent");
    }

    proptest! {
        #[test]
        fn both_ends_are_the_heads(
            passing in prop::collection::vec(("[a-fA-C]", "[xy]"), 0..8),
            failing in prop::collection::vec(("[a-fA-C]", "[xy]"), 0..8),
        ) {
            let of = |list: &[(String, String)]| {
                let list: Vec<(&str, &str)> =
                    list.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                lines(&list)
            };
            let (passing, failing) = (of(&passing), of(&failing));
            let heads = Heads::new(passing.clone(), failing.clone());
            prop_assert_eq!(heads.lines(&Set::new()), passing);
            let all: Set = (0..heads.changes.len()).collect();
            prop_assert_eq!(heads.lines(&all), failing);
        }
    }
}
