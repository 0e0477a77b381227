//! Where one reading of the file gathers what it finds, and knows where in the file it is.
//!
//! Nothing stops at the first error: readers report here and go on, so that one run tells all.
//! A [`Place`] is small and copied freely; paths are put together only for what is reported.

use crate::domain::shown::{is_hidden, is_unsafe};
use std::borrow::Cow;
use std::fmt::Write as _;

use super::finding::{Finding, Findings, Severity};
use super::mask::{self, Hidden};
use super::slips;
use super::yaml::{Broken, Doubt, Key, Mark, Node, Value};

/// A node of the file: its position, and the number of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) mark: Mark,
    path: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

#[derive(Debug)]
enum Step<'t> {
    Root,
    Key(Cow<'t, str>),
    Item(usize),
}

/// One of the files, by its name in messages.
#[derive(Debug)]
struct Text<'t> {
    name: &'t str,
    whole: &'t str,
    lines: Vec<&'t str>,
}

#[derive(Debug)]
pub(super) struct Desk<'t> {
    /// The main file, and what it includes.
    texts: Vec<Text<'t>>,
    /// Each path as its parent's number and the last step.
    paths: Vec<(u32, Step<'t>)>,
    hidden: Vec<Hidden>,
    found: Vec<(Mark, Finding)>,
    omitted: usize,
    errors: usize,
    /// Warnings from now on are doubts.
    pub(super) doubting: bool,
    /// One of the texts is no YAML.
    pub(super) is_broken: bool,
    /// A block stands where it does not belong: names that it gives and settings that it makes may be missed elsewhere.
    pub(super) misplaced: bool,
    /// The keys at the top of the file.
    pub(super) top: &'static [(&'static str, bool)],
    /// Where a text is not what it will be once it is mended: nothing else is told of it.
    unfilled: Vec<Mark>,
}

impl<'t> Desk<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        let mut desk = Self {
            texts: Vec::new(),
            paths: vec![(0, Step::Root)],
            hidden: Vec::new(),
            found: Vec::new(),
            omitted: 0,
            errors: 0,
            doubting: false,
            is_broken: false,
            misplaced: false,
            top: &[],
            unfilled: Vec::new(),
        };
        desk.add_text(file, text);
        desk
    }

    /// A further file; returns its number.
    pub(super) fn add_text(&mut self, name: &'t str, text: &'t str) -> u16 {
        self.texts.push(Text {
            name,
            whole: text,
            lines: text.lines().collect(),
        });
        (self.texts.len() - 1) as u16
    }

    /// The main file's name in messages.
    pub(super) fn main_file(&self) -> &'t str {
        self.texts[0].name
    }

    /// Where `place` is, for a message that stands at `here`: `on line 3`, of another file with its name.
    pub(super) fn line_of(&self, place: Mark, here: Mark) -> String {
        if place.file == here.file {
            format!("on line {}", place.line)
        } else {
            let name = self.texts[place.file as usize].name;
            format!("in {name}, line {}", place.line)
        }
    }

    /// The place of a key at the root whose node is not read here.
    pub(super) fn beside(&mut self, mark: Mark, key: &'static str) -> Place {
        Place {
            mark,
            path: self.path(Place::default(), Step::Key(Cow::Borrowed(key))),
        }
    }

    pub(super) fn root(node: &Node<'_>) -> Place {
        Place {
            mark: node.mark,
            path: 0,
        }
    }

    /// The place of `node` under `key`.
    ///
    /// A collection that begins on a later line is shown at its key: its own position is that of its
    /// first key, which is not what an error about the whole is about.
    pub(super) fn under(&mut self, parent: Place, key: &Key<'t>, node: &Node<'_>) -> Place {
        let collection = !matches!(node.value, Value::Scalar { .. });
        let empty = !collection && node.mark == node.end;
        let mark = if empty || collection && node.mark.line != key.mark.line {
            key.mark
        } else {
            node.mark
        };
        Place {
            mark,
            ..self.at_key(parent, key)
        }
    }

    /// The place of `key` itself.
    pub(super) fn at_key(&mut self, parent: Place, key: &Key<'t>) -> Place {
        Place {
            mark: key.mark,
            path: self.path(parent, Step::Key(key.text.clone())),
        }
    }

    pub(super) fn item(&mut self, parent: Place, index: usize, node: &Node<'_>) -> Place {
        Place {
            mark: node.mark,
            path: self.path(parent, Step::Item(index)),
        }
    }

    fn path(&mut self, parent: Place, step: Step<'t>) -> u32 {
        let number = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
        self.paths.push((parent.path, step));
        number
    }

    pub(super) fn error(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.errors += 1;
        self.add(Severity::Error, place, message.into(), hint.into());
    }

    /// That something is missed elsewhere, which a block that was found in a wrong place may bring.
    pub(super) fn missed(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if !self.misplaced {
            self.error(place, message, hint);
        }
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The same of a text that could not be filled in: what else is wrong with it nobody knows yet.
    pub(super) fn unfilled(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.error(place, message, hint);
        self.unfilled.push(place.mark);
    }

    pub(super) fn warning(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, message.into(), hint.into());
    }

    fn add(&mut self, severity: Severity, place: Place, message: String, hint: String) {
        // What several probes share is held against each of them.
        let known =
            |(mark, known): &&(Mark, Finding)| *mark == place.mark && known.message == message;
        let told = self.unfilled.contains(&place.mark) || self.found.iter().any(|it| known(&it));
        if told && place != Place::default() {
            return;
        }
        if self.found.len() >= Findings::KEPT_MAX {
            self.omitted += 1;
            return;
        }
        let path = self.path_text(place);
        let finding = Finding {
            severity,
            file: self.texts[place.mark.file as usize].name.to_owned(),
            line: place.mark.line,
            column: place.mark.column,
            path,
            message: one_line(message),
            hint: one_line(hint),
            source_line: String::new(),
            caret: 0,
            doubt: self.doubting,
        };
        self.found.push((place.mark, finding));
    }

    /// Whether a further finding would only be counted, so that looking for its mend is in vain.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= Findings::KEPT_MAX
    }

    /// Warns when an unquoted text of one line looks cut at " #", where YAML begins a comment.
    ///
    /// Written close, as in `AcmeApp/4.2 #17`, it is hardly meant as one; comments have a blank behind the sign.
    pub(super) fn doubt_comment(&mut self, place: Place, text: &str) {
        let line = (place.mark.line as usize).checked_sub(1);
        let lines = &self.texts[place.mark.file as usize].lines;
        let Some(line) = line.and_then(|index| lines.get(index)) else {
            return;
        };
        let column = place.mark.column.saturating_sub(1) as usize;
        let rest: String = line.chars().skip(column).collect();
        let Some(behind) = rest.strip_prefix(text) else {
            return;
        };
        let glued = behind
            .strip_prefix(" #")
            .and_then(|comment| comment.chars().next())
            .is_some_and(|c| !c.is_whitespace() && c != '#');
        if glued {
            self.warning(
                place,
                format!(
                    "{} ends before \" #\", where YAML begins a comment",
                    quote(text)
                ),
                "quote the whole text if the rest belongs to it",
            );
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// What the parser says; of a line with a sign that nobody sees, that as well.
    pub(super) fn broken(&mut self, broken: Broken) {
        self.is_broken = true;
        let text = self.texts[broken.mark.file as usize].whole;
        let mut broken = slips::refine(text, broken);
        let lines = text.lines().enumerate();
        let near = lines
            .map(|(index, line)| (index as u32 + 1, line))
            .filter(|(number, _)| {
                (1..=broken.mark.line).contains(number) && number + 1 >= broken.mark.line
            });
        let odd = near
            .filter_map(|(number, line)| Some((number, unseen(line)?)))
            .last();
        if let Some((number, sign)) = odd {
            broken.hint = format!("line {number} holds {sign}; write it anew");
        }

        self.hide_credentials(broken.mark);
        let place = Place {
            mark: broken.mark,
            path: 0,
        };
        self.error(place, broken.message, broken.hint);
    }

    /// The file does what it says, and that is hardly meant.
    pub(super) fn doubt_at(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let before = std::mem::replace(&mut self.doubting, true);
        self.warning(place, message, hint);
        self.doubting = before;
    }

    /// Doubts about places that have no path.
    pub(super) fn doubts(&mut self, doubts: Vec<Doubt>) {
        for Doubt {
            mark,
            message,
            hint,
        } in doubts
        {
            self.doubt_at(Place { mark, path: 0 }, message, hint);
        }
    }

    /// Keeps what a line of `credentials` holds out of sight: of a file that is no YAML nobody knows which part is a secret.
    fn hide_credentials(&mut self, mark: Mark) {
        let number = mark.line as usize;
        let text = self.texts[mark.file as usize].whole;
        let above = text.lines().take(number);
        let section =
            above.filter(|line| !line.starts_with([' ', '\t', '#', '-']) && !line.is_empty());
        let of_secrets = section
            .last()
            .is_some_and(|line| line.starts_with("credentials"));
        let line = text
            .lines()
            .nth(number.saturating_sub(1))
            .unwrap_or_default();
        if let Some((key, value)) = line.split_once(':').filter(|_| of_secrets) {
            let column = key.chars().count() as u32 + 3;
            let end = column + value.chars().count() as u32;
            self.hidden.push(Hidden {
                start: Mark { column, ..mark },
                end: Mark {
                    column: end,
                    ..mark
                },
            });
        }
    }

    /// Keeps the text of `node` out of every line that is shown.
    pub(super) fn hide(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Scalar { .. } => self.hidden.push(Hidden {
                start: node.mark,
                end: node.end,
            }),
            Value::List(items) => items.iter().for_each(|item| self.hide(item)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| self.hide(value)),
        }
    }

    pub(super) fn hides(&self, node: &Node<'_>) -> bool {
        self.hidden.iter().any(|hidden| hidden.start == node.mark)
    }

    /// Keeps the text that begins at `place` out of sight.
    pub(super) fn hide_at(&mut self, place: Place) {
        self.hidden.push(Hidden {
            start: place.mark,
            end: place.mark,
        });
    }

    /// The key that a place stands behind; empty for an item of a list.
    pub(super) fn key_of(&self, place: Place) -> &str {
        match self.paths.get(place.path as usize) {
            Some((_, Step::Key(key))) => key,
            _ => "",
        }
    }

    fn path_text(&self, place: Place) -> String {
        let mut steps = Vec::new();
        let mut number = place.path;
        while let Some((parent, step)) = self.paths.get(number as usize) {
            if matches!(step, Step::Root) {
                break;
            }
            steps.push(step);
            number = *parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&clean(key));
                }
                Step::Item(index) => {
                    // Writing to a string can't fail.
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        path
    }

    /// Everything found, in the order of the files, with the lines it is about.
    pub(super) fn finish(self) -> Findings {
        let mut found = self.found;
        found.sort_by_key(|(mark, _)| *mark);
        for (mark, finding) in &mut found {
            let lines = &self.texts[mark.file as usize].lines;
            if let Some(line) = (mark.line as usize)
                .checked_sub(1)
                .and_then(|index| lines.get(index))
            {
                (finding.source_line, finding.caret) = mask::show(line, *mark, &self.hidden);
            }
        }
        Findings {
            findings: found.into_iter().map(|(_, finding)| finding).collect(),
            omitted: self.omitted,
        }
    }
}

/// Libraries that draw their errors over several lines are put on one.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) {
        let words: Vec<&str> = text.split_whitespace().collect();
        return words.join(" ").replace(char::is_control, "\u{fffd}");
    }
    text
}

/// Text from the file in quotes, cut and without control characters.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", clean(text))
}

/// Text from the file, cut to what a message can bear and without control characters.
pub(super) fn clean(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut cleaned: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(|c| {
            let escape = is_unsafe(c);
            let escaped = escape.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!escape).then_some(c))
        })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// The first sign of a text that nobody sees, or that looks like another: `U+00A0 (a blank that is none to YAML)`.
pub(super) fn unseen(text: &str) -> Option<String> {
    let what = |c: char| match c {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Some("a blank that is none to YAML")
        }
        c if is_hidden(c) => Some("which nobody can see"),
        '\u{370}'..='\u{3ff}' => Some("a Greek letter"),
        '\u{400}'..='\u{52f}' => Some("a Cyrillic letter"),
        '\u{2018}'..='\u{201f}' => Some("a typographic quotation mark"),
        _ => None,
    };
    text.chars()
        .find_map(|c| Some(format!("U+{:04X} ({})", u32::from(c), what(c)?)))
}

/// What other programs call it, and what it is called here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("matches", "regex"),
    ("contains", "body"),
    ("from", "at"),
    ("start", "at"),
    ("begins", "at"),
    ("end", "until"),
    ("duration", "for"),
    ("interval", "every"),
];

/// The name in `known` that `name` most likely stands for.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
    let ours = elsewhere.map(|(_, ours)| *ours);
    alike(name, known.clone()).or_else(|| {
        let mut known = known;
        known.find(|known| Some(*known) == ours)
    })
}

/// The one with the most letters in common.
fn alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Below this two names have little more than letters in common.
    const LIKENESS_MIN: f64 = 0.84;
    const SLIP: f64 = 0.9;
    let lower = name.to_lowercase();
    known
        .map(|candidate| {
            let candidate_lower = candidate.to_lowercase();
            let likeness = strsim::jaro_winkler(&lower, &candidate_lower);
            // One letter lost, doubled or changed with its neighbour, also where there are few.
            let lengths = (lower.chars().count(), candidate.chars().count());
            let slip = lengths.0 != lengths.1 || is_turned(&lower, &candidate_lower);
            let one_off = lengths.0 > 1 && lengths.1 > 2 && slip;
            let near = one_off && strsim::osa_distance(&lower, &candidate_lower) == 1;
            (candidate, if near { likeness.max(SLIP) } else { likeness })
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, likeness)| *likeness >= LIKENESS_MIN)
        .map(|(candidate, _)| candidate)
}

/// Whether both have the same letters.
fn is_turned(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

/// `did you mean "…"?` for the nearest of `known`, or what there is to choose from, behind `label`.
pub(super) fn suggest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    label: &str,
) -> String {
    const LISTED_MAX: usize = 30;
    if let Some(candidate) = nearest(name, known.clone()) {
        return format!("did you mean \"{candidate}\"?");
    }
    let listed: Vec<&str> = known.clone().take(LISTED_MAX).collect();
    if listed.is_empty() {
        return "there are none".to_owned();
    }
    let more = known.count() - listed.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{label}: {}{more}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_or_lists_all() {
        for (name, expected) in [
            ("evry", "did you mean \"every\"?"),
            ("Timeout", "did you mean \"timeout\"?"),
            ("xyz", "keys: every, timeout"),
            ("interval", "did you mean \"every\"?"),
            ("matches", "keys: every, timeout"),
        ] {
            let hint = suggest(name, ["every", "timeout"].into_iter(), "keys");
            assert_eq!(hint, expected, "{name}");
        }
        assert_eq!(suggest("x", [].into_iter(), "known"), "there are none");
    }

    #[test]
    fn quotes_without_control_characters() {
        assert_eq!(quote("a\u{1b}[31m\n"), "\"a\\u{1b}[31m\\n\"");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 83);
    }
}
