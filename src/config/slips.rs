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
    let mark = broken.mark;
    let found = glued(&lines, mark).or_else(|| match broken.slip {
        Some(Slip::Trailing) => quote(text, mark)
            .or_else(|| odd_quote(&lines, mark))
            .or_else(|| comma(text, mark)),
        Some(Slip::Anchor) => bare_within(&lines, mark),
        Some(Slip::Flow) => in_brackets(text, &lines, mark),
        Some(Slip::Colon) => bare(&lines, mark.line as usize, 1)
            .or_else(|| not_opened(text, &lines, mark))
            .or_else(|| in_brackets(text, &lines, mark))
            .or_else(|| step(&lines, mark)),
        Some(Slip::Step) => step(&lines, mark).or_else(|| first_in_step(&lines, mark)),
        Some(Slip::Escape) => open_on_its_line(&lines, mark),
        Some(Slip::Comment) => {
            bare(&lines, mark.line as usize, 0).or_else(|| next_in_step(&lines, mark))
        }
        Some(Slip::Behind) => {
            bare(&lines, mark.line as usize, 1).or_else(|| whole_in_step(&lines, mark))
        }
        None => None,
    });
    found.unwrap_or(broken)
}

/// Behind `more`: the line may also belong to one that was lost.
const ONE_COLUMN: &str = "keys of one mapping start in one column";

/// A key at the beginning of a line or behind a bracket or comma: where it begins, the key, and what follows it.
fn head(text: &str) -> Option<(usize, &str, &str)> {
    let trimmed = text.trim_start();
    let trimmed = trimmed.strip_prefix("- ").map_or(trimmed, str::trim_start);
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let end = trimmed.find(|c| !is_key(c)).unwrap_or(trimmed.len());
    let (key, rest) = trimmed.split_at(end);
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic());
    let before = text.len() - trimmed.len();
    begins.then(|| (text[..before].chars().count(), key, rest))
}

/// What begins a value that is no plain text.
const OPENS: [char; 4] = ['"', '\'', '[', '{'];

fn no_space(line: usize, column: usize, key: &str) -> Broken {
    Broken::at(
        at(line, column),
        format!("not YAML: no space stands behind the colon of \"{key}\""),
        format!("write \"{key}: …\""),
    )
}

fn no_colon(line: usize, column: usize, key: &str) -> Broken {
    Broken::at(
        at(line, column),
        format!("not YAML: no colon stands behind \"{key}\""),
        format!("write \"{key}: …\""),
    )
}

/// `body:"…"`, or `tls { … }`, in the line of the error.
fn glued(lines: &[&str], mark: Mark) -> Option<Broken> {
    let number = (mark.line as usize).checked_sub(1)?;
    let line = lines.get(number)?;
    let (column, key, rest) = head(line)?;
    if rest
        .strip_prefix(':')
        .is_some_and(|rest| rest.starts_with(OPENS))
    {
        return Some(no_space(number, column, key));
    }
    let bare = rest.starts_with(' ') && rest.trim_start().starts_with(OPENS);
    bare.then(|| no_colon(number, column, key))
}

/// A line that reads as a plain text and was most likely a key with its value; `above` lines up from `line`.
fn bare(lines: &[&str], line: usize, above: usize) -> Option<Broken> {
    let counts = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    // A carriage return alone ends a line for YAML and not here.
    let up = (0..line.min(lines.len())).rev();
    let mut up = up.filter(|number| counts(&lines[*number]));
    let number = up.nth(above)?;
    let text = lines[number]
        .split(" #")
        .next()
        .unwrap_or_default()
        .trim_end();
    let (column, key, rest) = head(text)?;
    if text.contains(": ") || text.ends_with(':') {
        return None;
    }
    match rest.chars().next() {
        Some(':') if !rest.starts_with("://") => Some(no_space(number, column, key)),
        Some(' ') => Some(no_colon(number, column, key)),
        _ => None,
    }
}

/// What is out of order within brackets.
fn in_brackets(text: &str, lines: &[&str], mark: Mark) -> Option<Broken> {
    let scanned = scan(text, mark);
    let opened = scanned.open.last().map(|(_, opened)| *opened);
    if let (Some(opened), Some(quoted)) = (opened, scanned.over_lines)
        && quoted > opened
    {
        return quote(text, mark);
    }
    let number = (mark.line as usize).checked_sub(1)?;
    let column = (mark.column as usize).checked_sub(1)?;
    let line = lines.get(number)?;
    let before: String = line.chars().take(column).collect();
    let from = before.rfind(['{', ',', '[']).map_or(0, |place| place + 1);
    let (skipped, part) = before.split_at(from);
    if opened.is_some()
        && let Some((begins, key, rest)) = head(part)
        && rest.starts_with(' ')
        && (rest.trim_start().starts_with(OPENS) || rest.trim().is_empty())
        && line.chars().nth(column).is_some_and(|c| OPENS.contains(&c))
    {
        return Some(no_colon(number, skipped.chars().count() + begins, key));
    }
    if let Some(place) = before.rfind("; ").filter(|_| opened.is_some()) {
        let column = before[..place].chars().count();
        let message = "not YAML: a \";\" separates nothing here";
        return Some(Broken::at(at(number, column), message, "write \",\""));
    }
    bracket(text, lines, mark)
}

/// `{ Accept "…", … }`: a key within brackets without its colon, anywhere before the error.
fn bare_within(lines: &[&str], mark: Mark) -> Option<Broken> {
    let number = (mark.line as usize).checked_sub(1)?;
    let line = lines.get(number)?;
    let before: String = line.chars().take(mark.column as usize).collect();
    let mut quoted = None;
    let mut last = ':';
    for (place, c) in before.char_indices() {
        match quoted {
            Some(sign) if c == sign => quoted = None,
            None if matches!(c, '"' | '\'') && matches!(last, ':' | '-' | ',' | '[' | '{') => {
                quoted = Some(c);
            }
            None if matches!(c, '{' | ',') => {
                let part = &line[place + 1..];
                if let Some((begins, key, rest)) = head(part)
                    && rest.starts_with(' ')
                    && rest.trim_start().starts_with(OPENS)
                {
                    let column = line[..=place].chars().count() + begins;
                    return Some(no_colon(number, column, key));
                }
            }
            _ => {}
        }
        if !c.is_whitespace() {
            last = c;
        }
    }
    None
}

/// A line with a bracket that closes what nothing opened there: the opening one is lost.
fn not_opened(text: &str, lines: &[&str], mark: Mark) -> Option<Broken> {
    if !scan(text, mark).open.is_empty() {
        // Opened on a line before.
        return None;
    }
    let line = lines.get((mark.line as usize).checked_sub(1)?)?;
    let mut open = Vec::new();
    let mut quoted = None;
    for c in line.chars() {
        match (quoted, c) {
            (Some(sign), c) if c == sign => quoted = None,
            (None, '"' | '\'') => quoted = Some(c),
            (None, '{' | '[') => open.push(c),
            (None, '}' | ']') => {
                let other = if c == '}' { '{' } else { '[' };
                if open.pop() != Some(other) {
                    return Some(Broken::at(
                        mark,
                        format!("not YAML: a \"{c}\" of this line closes what nothing opened"),
                        format!("add the \"{other}\" before what it closes"),
                    ));
                }
            }
            _ => {}
        }
    }
    None
}

/// A line with an odd number of quotes: one is lost, and where, nobody can tell.
fn odd_quote(lines: &[&str], mark: Mark) -> Option<Broken> {
    let line = lines.get((mark.line as usize).checked_sub(1)?)?;
    let odd = line.matches('"').count() % 2 == 1 && !line.contains('\\');
    odd.then(|| {
        Broken::at(
            mark,
            "not YAML: of the quotes on this line one has no other",
            "add it; what follows here was taken for the text between the others",
        )
    })
}

/// Within brackets what follows a closing quote lacks a comma.
fn comma(text: &str, mark: Mark) -> Option<Broken> {
    (!scan(text, mark).open.is_empty()).then(|| {
        Broken::at(
            mark,
            "not YAML: a \",\" is missing before this",
            "add it, or put all of the text between the quotes",
        )
    })
}

/// A quoted text that seems to hold a sign it can't, because its end is on another line.
fn open_on_its_line(lines: &[&str], mark: Mark) -> Option<Broken> {
    let line = lines.get((mark.line as usize).checked_sub(1)?)?;
    let mut rest = line.chars().skip(mark.column as usize);
    let mut escaped = false;
    let closed = rest.any(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    (!closed).then(|| not_closed(mark))
}

fn not_closed(opened: Mark) -> Broken {
    Broken::at(
        opened,
        "not YAML: this quote is not closed on its line",
        "add the closing quote",
    )
}

fn at(line: usize, column: usize) -> Mark {
    Mark {
        file: 0,
        line: u32::try_from(line + 1).unwrap_or(u32::MAX),
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
    }
}

/// A tab that indents, in the line of the error or the one before or after it; what is empty is no line.
fn tab(lines: &[&str], mark: Mark) -> Option<Broken> {
    let first = (mark.line as usize).saturating_sub(1);
    let mut behind = (first + 1)..lines.len();
    let next = behind.find(|number| !lines[*number].trim().is_empty());
    let near = (first.saturating_sub(1)..=first).chain(next);
    near.into_iter().find_map(|number| {
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
    scan(text, mark).over_lines.map(not_closed)
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
    let closed_behind = behind
        .split_once(" #")
        .is_some_and(|(_, comment)| comment.contains(close));
    let hint = if scan.cut.contains(&opened.line) && closed_behind {
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

/// How far a line is indented; `None` where it is empty or a comment.
fn indent(lines: &[&str], number: usize) -> Option<usize> {
    let line = lines.get(number)?;
    let text = line.trim_start();
    let counts = !text.is_empty() && !text.starts_with('#');
    counts.then(|| line.chars().count() - text.chars().count())
}

fn out_of_step(number: usize, column: usize, how: &str) -> Broken {
    let lost = if how == "more" {
        ", and what stands below a key further in; is the line above it gone?"
    } else {
        ""
    };
    Broken::at(
        at(number, column),
        format!("not YAML: this line is indented {how} than the lines around it"),
        format!("{ONE_COLUMN}{lost}"),
    )
}

/// A line that is indented otherwise than its neighbours.
fn step(lines: &[&str], mark: Mark) -> Option<Broken> {
    let here = (mark.line as usize).checked_sub(1)?;
    let own = indent(lines, here)?;
    let mut above = (0..here)
        .rev()
        .filter(|number| indent(lines, *number).is_some());
    let before = above.next()?;
    let less = indent(lines, before)?;
    // A key with its value behind it has nothing deeper below it.
    let has_value = lines[before]
        .split_once(": ")
        .is_some_and(|(_, value)| !value.trim().is_empty());
    if own <= less || !has_value {
        return None;
    }
    Some(
        match above.next().and_then(|number| indent(lines, number)) {
            Some(further) if further == own => out_of_step(before, less, "less"),
            _ => out_of_step(here, own, "more"),
        },
    )
}

/// A line that is in step with those behind it: the only one before it, the first of its mapping, is not.
fn first_in_step(lines: &[&str], mark: Mark) -> Option<Broken> {
    let here = (mark.line as usize).checked_sub(1)?;
    let own = indent(lines, here)?;
    let above = (0..here)
        .rev()
        .filter_map(|number| Some((number, indent(lines, number)?)));
    let deeper: Vec<(usize, usize)> = above.take_while(|(_, indent)| *indent > own).collect();
    let (first, column) = *deeper.last()?;
    let alone = deeper
        .iter()
        .all(|(number, indent)| *number == first || *indent > column);
    alone.then(|| out_of_step(first, column, "more"))
}

/// The line behind a comment that goes on with a text.
fn next_in_step(lines: &[&str], mark: Mark) -> Option<Broken> {
    let here = mark.line as usize;
    let next = (here..lines.len()).find(|number| indent(lines, *number).is_some())?;
    let (own, before) = (indent(lines, next)?, indent(lines, here.checked_sub(1)?)?);
    (own > before).then(|| out_of_step(next, own, "more"))
}

/// All that stands before is further in: one line, as a rule.
fn whole_in_step(lines: &[&str], mark: Mark) -> Option<Broken> {
    let here = (mark.line as usize).checked_sub(1)?;
    let own = indent(lines, here)?;
    let first = (0..here).find(|number| indent(lines, *number).is_some())?;
    let column = indent(lines, first)?;
    (column > own).then(|| out_of_step(first, column, "more"))
}
