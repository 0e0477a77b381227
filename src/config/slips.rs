//! Where a slip began: a parser sees an open quote, bracket or a line out of step only when it can't go on.
//!
//! The text up to the parser's error is read once more, as an editor's colours do: quotes, brackets and comments. That
//! is a guess; where it finds nothing odd the parser's own words stand.

use super::syntax::{Broken, Mark, Slip};

/// The same error, told where it began; `text` is that of its file.
pub(super) fn refine(text: &str, broken: Broken) -> Broken {
    let file = broken.mark.file;
    refine_in(text, broken.in_file(0)).in_file(file)
}

fn refine_in(text: &str, broken: Broken) -> Broken {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(tab) = tab(&lines, broken.mark) {
        return tab;
    }
    let found = match broken.slip {
        Some(Slip::Trailing) => quote(text, broken.mark),
        Some(Slip::Flow) => bracket(text, &lines, broken.mark),
        Some(Slip::Colon) => {
            bracket(text, &lines, broken.mark).or_else(|| step(&lines, broken.mark))
        }
        None => None,
    };
    found.unwrap_or(broken)
}

fn at(line: usize, column: usize) -> Mark {
    Mark {
        file: 0,
        line: u32::try_from(line + 1).unwrap_or(u32::MAX),
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
    }
}

/// A tab that indents, in the line of the error or the one after it.
fn tab(lines: &[&str], mark: Mark) -> Option<Broken> {
    let first = (mark.line as usize).saturating_sub(1);
    (first..=first + 1).find_map(|number| {
        let line = lines.get(number)?;
        let column = line
            .chars()
            .take_while(|c| c.is_whitespace())
            .position(|c| c == '\t')?;
        let rest = line.trim_start();
        let empty = rest.is_empty() || rest.starts_with('#');
        (!empty).then(|| {
            Broken::at(
                at(number, column),
                "not YAML: a tab can't indent",
                "use spaces",
            )
        })
    })
}

/// What was open when the error came.
#[derive(Debug, Default)]
struct Scan {
    /// Brackets, outermost first.
    open: Vec<(char, Mark)>,
    /// The last quoted text that ended on another line than it began.
    over_lines: Option<Mark>,
    /// Lines with a comment that begins inside brackets.
    cut: Vec<u32>,
}

fn scan(text: &str, until: Mark) -> Scan {
    let mut scan = Scan::default();
    let mut quote: Option<(char, Mark)> = None;
    for (number, line) in text.lines().enumerate() {
        let mut before = ' ';
        // The last character that is no blank: quotes open only where a text begins.
        let mut last = ':';
        let mut escaped = false;
        for (column, c) in line.chars().enumerate() {
            let here = at(number, column);
            if here >= until {
                return scan;
            }
            match quote {
                Some((sign, opened)) => {
                    if c == sign && !escaped {
                        quote = None;
                        if opened.line != here.line {
                            scan.over_lines = Some(opened);
                        }
                    }
                    escaped = sign == '"' && c == '\\' && !escaped;
                }
                None if c == '#' && before.is_whitespace() => {
                    if !scan.open.is_empty() {
                        scan.cut.push(here.line);
                    }
                    break;
                }
                None => {
                    let begins = matches!(last, ':' | '-' | ',' | '[' | '{');
                    match c {
                        '"' | '\'' if begins => quote = Some((c, here)),
                        '[' | '{' if begins || !scan.open.is_empty() => scan.open.push((c, here)),
                        ']' | '}' => drop(scan.open.pop()),
                        _ => {}
                    }
                }
            }
            before = c;
            if !c.is_whitespace() {
                last = c;
            }
        }
    }
    scan
}

/// Something follows a closing quote: it may be the opening one of the next text, and this one was never closed.
fn quote(text: &str, mark: Mark) -> Option<Broken> {
    let opened = scan(text, mark).over_lines?;
    Some(Broken::at(
        opened,
        "not YAML: this quote is not closed on its line",
        "add the closing quote",
    ))
}

/// A bracket that was opened on an earlier line, with something behind it there.
fn bracket(text: &str, lines: &[&str], mark: Mark) -> Option<Broken> {
    let scan = scan(text, mark);
    let (sign, opened) = *scan.open.last()?;
    let line = lines.get(opened.line as usize - 1)?;
    let behind: String = line.chars().skip(opened.column as usize).collect();
    // Written over several lines on purpose, it ends its line.
    if opened.line >= mark.line || behind.trim().is_empty() || behind.trim().starts_with('#') {
        return None;
    }
    let close = if sign == '[' { ']' } else { '}' };
    let hint = if scan.cut.contains(&opened.line) {
        "the \" #\" on its line begins a comment, so what follows is not read; quote that text"
            .to_owned()
    } else {
        format!("add the \"{close}\", or a \",\" where it goes on")
    };
    Some(Broken::at(
        opened,
        format!("not YAML: this \"{sign}\" is not closed"),
        hint,
    ))
}

/// A line that is indented otherwise than its neighbours.
fn step(lines: &[&str], mark: Mark) -> Option<Broken> {
    let indent = |number: usize| {
        let line = lines.get(number)?;
        let text = line.trim_start();
        let counts = !text.is_empty() && !text.starts_with('#');
        counts.then(|| line.chars().count() - text.chars().count())
    };
    let here = (mark.line as usize).checked_sub(1)?;
    let own = indent(here)?;
    let mut above = (0..here).rev().filter(|number| indent(*number).is_some());
    let before = above.next()?;
    let less = indent(before)?;
    // A key with its value behind it has nothing deeper below it.
    let has_value = lines[before]
        .split_once(": ")
        .is_some_and(|(_, value)| !value.trim().is_empty());
    if own <= less || !has_value {
        return None;
    }
    let odd = match above.next().and_then(indent) {
        Some(further) if further == own => (before, less, "less"),
        _ => (here, own, "more"),
    };
    let (number, column, how) = odd;
    Some(Broken::at(
        at(number, column),
        format!("not YAML: this line is indented {how} than the lines around it"),
        "keys of one mapping start in one column",
    ))
}
