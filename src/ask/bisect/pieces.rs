//! A text in pieces: XML elements, JSON members, form fields, words; what can't be read so, in words alone.
//!
//! Put together again in their order, the pieces are the text, byte for byte. A piece that is left out takes with it
//! what stands in it, so that what is left can still be read by whoever expects XML or JSON.

/// Deeper texts are taken as words.
const DEPTH_MAX: usize = 64;
/// A run of letters and digits longer than this is no word, and is cut into parts.
const WORD_MAX: usize = 24;
const PART: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Element,
    /// An object or a list.
    Group,
    Member,
    /// What is between quotes.
    Quoted,
    /// A number, `true`, `null`.
    Scalar,
    Form,
    Field,
    Word,
    /// A comment, a declaration.
    Mark,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// Two pieces of the same key are one, with other things in it perhaps.
    pub(super) key: String,
    pub(super) open: String,
    pub(super) close: String,
    /// Between what stands in it.
    pub(super) between: &'static str,
    pub(super) inside: Vec<Piece>,
}

impl Piece {
    fn new(kind: Kind, key: impl Into<String>, open: impl Into<String>) -> Self {
        Self {
            kind,
            key: key.into(),
            open: open.into(),
            close: String::new(),
            between: "",
            inside: Vec::new(),
        }
    }
}

/// Reads a text into pieces, as what it looks like.
pub(super) fn read(text: &str) -> Vec<Piece> {
    let found = match text.trim_start().chars().next() {
        None => None,
        Some('<') => xml(text),
        Some('{' | '[') => json(text),
        Some(_) => form(text).map(|form| vec![form]),
    };
    found.unwrap_or_else(|| words(text))
}

/// A query or a form: fields joined by `&`.
pub(super) fn form(text: &str) -> Option<Piece> {
    let fits = |c: char| !c.is_whitespace() && c != '<' && c != '{';
    let first = text.split('&').next()?;
    if !text.chars().all(fits) || !first.contains('=') {
        return None;
    }
    let mut form = Piece::new(Kind::Form, "form", "");
    form.between = "&";
    form.inside = text
        .split('&')
        .map(|field| {
            let end = field.find('=').map_or(field.len(), |at| at + 1);
            let (name, value) = field.split_at(end);
            let mut field = Piece::new(Kind::Field, name.trim_end_matches('='), name);
            field.inside = words(value);
            field
        })
        .collect();
    Some(form)
}

/// Words, each with what follows it until the next one.
pub(super) fn words(text: &str) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = length(rest, |c| c.is_alphanumeric() || c == '_');
        if end > WORD_MAX {
            end = rest
                .char_indices()
                .nth(PART)
                .map_or(rest.len(), |(at, _)| at);
        } else {
            end += others(&rest[end..]);
        }
        let (word, more) = rest.split_at(end);
        found.push(Piece::new(Kind::Word, word.trim(), word));
        rest = more;
    }
    found
}

fn length(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|c| !fits(c)).unwrap_or(text.len())
}

/// How far there is no word: an entity, an escape and a credential are none, and are never cut.
fn others(text: &str) -> usize {
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        let rest = &text[end + c.len_utf8()..];
        let more = match c {
            '&' => {
                let name = length(rest, |c| c.is_ascii_alphanumeric() || c == '#');
                let entity = (1..=8).contains(&name) && rest[name..].starts_with(';');
                if entity { name + 1 } else { 0 }
            }
            '\\' if rest.starts_with('u') => length(rest, |c| c.is_ascii_alphanumeric()).min(5),
            '\\' => rest.chars().next().map_or(0, char::len_utf8),
            '%' => length(rest, |c| c.is_ascii_hexdigit()).min(2),
            c if c.is_alphanumeric() || c == '_' => break,
            _ => 0,
        };
        end += c.len_utf8() + more;
    }
    end
}

/// The elements of a well-formed text; `None`: it is none.
fn xml(text: &str) -> Option<Vec<Piece>> {
    let mut open: Vec<(String, Piece)> = Vec::new();
    let mut top: Vec<Piece> = Vec::new();
    let mut blanks = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let depth = open.len();
        let place = open
            .last_mut()
            .map_or(&mut top, |(_, piece)| &mut piece.inside);
        let Some(mark) = rest.strip_prefix('<') else {
            let (said, more) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
            if said.trim().is_empty() {
                blanks.push_str(said);
            } else {
                place.extend(words(said));
            }
            rest = more;
            continue;
        };
        let before = std::mem::take(&mut blanks);
        let end = match mark.chars().next()? {
            '!' if mark.starts_with("!--") => mark.find("-->")? + 4,
            '!' if mark.starts_with("![CDATA[") => mark.find("]]>")? + 4,
            '?' => mark.find("?>")? + 3,
            _ => tag_end(mark)? + 2,
        };
        let (tag, more) = rest.split_at(end);
        rest = more;
        if let Some(name) = tag.strip_prefix("</") {
            let (named, mut piece) = open.pop()?;
            if name.trim_end_matches('>').trim_end() != named {
                return None;
            }
            piece.close = before + tag;
            open.last_mut()
                .map_or(&mut top, |(_, piece)| &mut piece.inside)
                .push(piece);
        } else if let Some(said) = tag.strip_prefix("<![CDATA[") {
            let mut piece = Piece::new(Kind::Quoted, "<![", before + "<![CDATA[");
            piece.inside = words(said.strip_suffix("]]>")?);
            "]]>".clone_into(&mut piece.close);
            place.push(piece);
        } else if tag.starts_with("<!") || tag.starts_with("<?") {
            place.push(Piece::new(Kind::Mark, tag, before + tag));
        } else {
            let name: String = tag[1..]
                .chars()
                .take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/'))
                .collect();
            if name.is_empty() || depth >= DEPTH_MAX {
                return None;
            }
            // An element that is closed at once holds nothing, and can't be given anything.
            if tag.ends_with("/>") {
                let key = format!("<{name}/");
                place.push(Piece::new(Kind::Element, key, before + tag));
            } else {
                let piece = Piece::new(Kind::Element, format!("<{name}"), before + tag);
                open.push((name, piece));
            }
        }
    }
    if !blanks.is_empty() {
        top.push(Piece::new(Kind::Mark, "", blanks));
    }
    open.is_empty().then_some(top)
}

/// Where a tag ends, not in a quoted value.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    tag.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        None
    })
}

/// The members of a JSON text; `None`: it is none.
fn json(text: &str) -> Option<Vec<Piece>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut reader = Json { text, at: 0 };
    let value = reader.value(0)?;
    (reader.at == text.len()).then(|| vec![value])
}

/// Reads what is known to be JSON.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        taken
    }

    fn blanks(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        self.take(length(rest, |c| c.is_ascii_whitespace()))
    }

    /// Up to behind the closing quote.
    fn quoted(&mut self) -> Option<&'a str> {
        let mut escaped = false;
        let rest = &self.text[self.at..];
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = !escaped && *c == '"';
            escaped = !escaped && *c == '\\';
            ends
        });
        Some(self.take(end?.0 + 1))
    }

    fn value(&mut self, depth: usize) -> Option<Piece> {
        let before = self.blanks();
        let first = self.text[self.at..].chars().next()?;
        let mut piece = match first {
            '{' | '[' if depth < DEPTH_MAX => self.group(before, first, depth)?,
            '"' => {
                let quoted = self.quoted()?;
                let mut piece = Piece::new(Kind::Quoted, "\"", format!("{before}\""));
                piece.inside = words(&quoted[1..quoted.len() - 1]);
                "\"".clone_into(&mut piece.close);
                piece
            }
            _ => {
                let rest = &self.text[self.at..];
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
                let scalar = self.take(length(rest, fits));
                if scalar.is_empty() {
                    return None;
                }
                Piece::new(Kind::Scalar, scalar, format!("{before}{scalar}"))
            }
        };
        let behind = self.blanks();
        match piece.kind {
            Kind::Scalar => piece.open.push_str(behind),
            _ => piece.close.push_str(behind),
        }
        Some(piece)
    }

    fn group(&mut self, before: &str, first: char, depth: usize) -> Option<Piece> {
        self.at += 1;
        let mut piece = Piece::new(Kind::Group, first, format!("{before}{first}"));
        piece.between = ",";
        let last = if first == '{' { '}' } else { ']' };
        loop {
            let start = self.at;
            let blanks = self.blanks();
            match self.text[self.at..].chars().next()? {
                c if c == last => {
                    self.at += 1;
                    piece.close = format!("{blanks}{last}");
                    return Some(piece);
                }
                ',' => self.at += 1,
                '"' if first == '{' => {
                    let name = self.quoted()?;
                    let colon = self.blanks().len() + 1;
                    self.at += 1;
                    let open = &self.text[start..self.at];
                    debug_assert!(open.len() >= name.len() + colon);
                    let mut member = Piece::new(Kind::Member, name.trim_matches('"'), open);
                    member.inside.push(self.value(depth + 1)?);
                    piece.inside.push(member);
                }
                _ => {
                    self.at = start;
                    piece.inside.push(self.value(depth + 1)?);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[Piece], between: &str) -> String {
        let each: Vec<String> = pieces
            .iter()
            .map(|piece| {
                let inside = written(&piece.inside, piece.between);
                format!("{}{inside}{}", piece.open, piece.close)
            })
            .collect();
        each.join(between)
    }

    #[test]
    fn pieces_are_the_text() {
        for (text, kind) in [
            ("", None),
            ("plain words, and more.", Some(Kind::Word)),
            ("a=1&b=two%20words&c", Some(Kind::Form)),
            (
                "<?xml version='1.0'?>\n<a x=\"1>2\">\n  <b>some &lt;text&gt;</b><c/>\n <!-- no --> <d><![CDATA[a < b]]></d>\n</a>\n",
                Some(Kind::Mark),
            ),
            ("<a><b></a>", Some(Kind::Word)),
            (
                "{ \"a\" : [1, 2.5 ,\"x \\\" y\"], \"b\":{}, \"c\": null , \"d\":[ ] }\n",
                Some(Kind::Group),
            ),
            ("{broken", Some(Kind::Word)),
        ] {
            let pieces = read(text);
            assert_eq!(written(&pieces, ""), text);
            assert_eq!(pieces.first().map(|p| p.kind), kind, "{text}");
        }
    }

    #[test]
    fn words_keep_what_can_not_be_cut() {
        let cut = |text: &str| -> Vec<String> {
            let words = words(text);
            words.into_iter().map(|piece| piece.open).collect()
        };
        assert_eq!(cut("drop table, now"), ["drop ", "table, ", "now"]);
        assert_eq!(cut("a&lt;b"), ["a&lt;", "b"]);
        assert_eq!(cut("a\\nb\\u00e9c"), ["a\\n", "b\\u00e9", "c"]);
        assert_eq!(cut("a%20b"), ["a%20", "b"]);
        assert_eq!(cut(&"x".repeat(30)).len(), 2);
    }
}
