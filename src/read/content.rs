//! Opens what a body is packed in: the root part of a multipart message, and the charset of its text.
//!
//! SOAP with attachments and MTOM send the envelope as the root of `multipart/related` (RFC 2387); without
//! opening it no fault, code or page in it is read. A charset is declared in the header, in the XML
//! declaration or in a `meta` element, often wrongly: bytes that are UTF-8 are taken as such, a mark at the
//! start outweighs what is declared, and UTF-16 without a mark shows by its zero bytes.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use crate::domain::observation::Answer;

/// A declaration inside the body is looked for in this many bytes (the HTML standard's own bound).
const DECLARATION_BYTES: usize = 1024;
/// Parts of a multipart body that are looked at for the root.
const PARTS_MAX: usize = 20;

/// The bytes that hold the message, with the media type they are declared as.
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) declared: Cow<'a, str>,
}

/// The root part of a multipart body, or the body itself.
pub(crate) fn root(answer: &Answer) -> Content<'_> {
    let declared = answer.header("content-type").unwrap_or_default();
    let whole = Content {
        bytes: &answer.body.bytes,
        declared: Cow::Borrowed(declared),
    };
    let is_related = declared
        .trim_start()
        .get(..17)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/related"));
    if !is_related {
        return whole;
    }
    let Some(boundary) = parameter(declared, "boundary").filter(|b| !b.is_empty()) else {
        return whole;
    };
    let start = parameter(declared, "start");
    let mark = format!("--{boundary}");
    let mut parts = split(&answer.body.bytes, mark.as_bytes());
    // The first part is the root unless `start` names another (RFC 2387 section 3.2).
    let first = parts.next();
    let named = start.as_ref().and_then(|start| {
        first
            .iter()
            .copied()
            .chain(parts)
            .take(PARTS_MAX)
            .find(|part| {
                part_header(part.0, "content-id").is_some_and(|id| id.trim() == start.as_str())
            })
    });
    match named.or(first) {
        Some((head, bytes)) => Content {
            bytes,
            declared: Cow::Owned(part_header(head, "content-type").unwrap_or_default()),
        },
        None => whole,
    }
}

/// Head and body of each part, in their order; the last may be cut off.
fn split<'a, 'm>(
    body: &'a [u8],
    mark: &'m [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'm> {
    let mut rest = find(body, mark).and_then(|at| body.get(at + mark.len()..));
    std::iter::from_fn(move || {
        let part = rest.take()?;
        if part.starts_with(b"--") {
            return None;
        }
        let end = find(part, mark);
        rest = end.and_then(|at| part.get(at + mark.len()..));
        let part = part.get(..end.unwrap_or(part.len()))?;
        let (at, blank) = find(part, b"\r\n\r\n")
            .map(|at| (at, 4))
            .or_else(|| Some((find(part, b"\n\n")?, 2)))?;
        let (head, body) = (part.get(..at)?, part.get(at + blank..)?);
        Some((head, body.trim_ascii_end()))
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn part_header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// A parameter of a media type, without its quotes.
fn parameter(declared: &str, name: &str) -> Option<String> {
    let mut rest = declared;
    loop {
        let at = rest.find(';')?;
        rest = rest.get(at + 1..)?.trim_start();
        let (found, value) = rest.split_once('=')?;
        if !found.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        let value = value.trim_start();
        return Some(match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?.to_owned(),
            None => value.split([';', ' ', ',']).next()?.to_owned(),
        });
    }
}

/// The message as text.
pub(crate) fn text(answer: &Answer) -> Cow<'_, str> {
    let content = root(answer);
    if let Some(encoding) = charset(content.bytes, &content.declared) {
        return encoding.decode(content.bytes).0;
    }
    let bytes = content.bytes;
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// The message in UTF-8, byte for byte where it is that already.
pub(crate) fn utf8<'a>(content: &Content<'a>) -> Cow<'a, [u8]> {
    match charset(content.bytes, &content.declared) {
        Some(encoding) => match encoding.decode(content.bytes).0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        None => Cow::Borrowed(content.bytes),
    }
}

/// The charset to decode from; `None` for UTF-8 and for what nobody declares.
fn charset(bytes: &[u8], declared: &str) -> Option<&'static Encoding> {
    if bytes.starts_with(b"\xff\xfe") {
        return Some(UTF_16LE);
    }
    if bytes.starts_with(b"\xfe\xff") {
        return Some(UTF_16BE);
    }
    let label =
        parameter(declared, "charset").and_then(|label| Encoding::for_label(label.as_bytes()));
    match bytes {
        // The first character of markup or data is ASCII, so that its other half is zero.
        [b'<' | b'{' | b'[' | b'"', 0, ..] => return Some(UTF_16LE),
        [0, b'<' | b'{' | b'[' | b'"', ..] => return Some(UTF_16BE),
        _ => {}
    }
    let ascii_safe = label.is_none_or(Encoding::is_ascii_compatible);
    if ascii_safe && std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    label.or_else(|| inside(bytes))
}

/// The charset that an XML declaration or a `meta` element names.
fn inside(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..DECLARATION_BYTES).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let after = |mark: &str| {
        let rest = head.get(head.find(mark)? + mark.len()..)?;
        let rest = rest.trim_start().strip_prefix('=')?.trim_start();
        let rest = rest.trim_start_matches(['"', '\'']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
        Encoding::for_label(rest.get(..end.unwrap_or(rest.len()))?.as_bytes())
    };
    if head.trim_start().starts_with("<?xml") {
        return after("encoding");
    }
    after("charset")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::tests::answer;

    fn read(declared: &str, body: &[u8]) -> String {
        let mut answer = answer(200, &[("content-type", declared)], "");
        answer.body.bytes = body.to_vec().into();
        text(&answer).into_owned()
    }

    #[test]
    fn charsets() {
        let check = |name: &str, declared: &str, body: &[u8], expected: &str| {
            assert_eq!(read(declared, body), expected, "{name}");
        };
        check(
            "declared",
            "text/html; charset=ISO-8859-1",
            b"caf\xe9",
            "café",
        );
        check("a mark", "", b"\xff\xfeh\0i\0", "hi");
        check(
            "a mark that contradicts",
            "text/xml; charset=latin1",
            b"\xef\xbb\xbf\xc3\xa9",
            "é",
        );
        check("UTF-16 without a mark", "text/xml", b"\0<\0a\0/\0>", "<a/>");
        check(
            "little ends first",
            "text/xml; charset=utf-16",
            b"<\0a\0/\0>\0",
            "<a/>",
        );
        check(
            "declared in the page",
            "text/html",
            b"<meta charset='windows-1251'>\xcd\xe5\xf2",
            "<meta charset='windows-1251'>Нет",
        );
        check(
            "declared as of old",
            "text/html",
            b"<meta http-equiv=content-type content=\"text/html; charset=gbk\">\xb7\xc0\xbb\xf0\xc7\xbd",
            "<meta http-equiv=content-type content=\"text/html; charset=gbk\">防火墙",
        );
        check(
            "declared in XML",
            "text/xml",
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xfc</a>",
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>ü</a>",
        );
        check(
            "UTF-8 declared as something else",
            "text/html; charset=latin1",
            "ü".as_bytes(),
            "ü",
        );
        check("nothing declared", "text/html", b"a\xff", "a\u{fffd}");
        check(
            "an unknown charset",
            "text/html; charset=klingon",
            b"a",
            "a",
        );
    }

    #[test]
    fn the_root_of_a_multipart_message() {
        let body = b"preamble\r\n--b 1\r\nContent-ID: <two>\r\n\r\nattachment\r\n--b 1\r\nContent-Type: application/xop+xml; charset=utf-8\r\nContent-ID: <one>\r\n\r\n<a/>\r\n--b 1--\r\n";
        let check = |name: &str, declared: &str, expected: &str| {
            assert_eq!(read(declared, body), expected, "{name}");
        };
        check(
            "named",
            "Multipart/Related; type=\"text/xml\"; start=\"<one>\"; boundary=\"b 1\"",
            "<a/>",
        );
        check(
            "the first",
            "multipart/related; boundary=\"b 1\"",
            "attachment",
        );
        check(
            "a root that is not there",
            "multipart/related; boundary=\"b 1\"; start=\"<x>\"",
            "attachment",
        );
        let whole = String::from_utf8_lossy(body).into_owned();
        check("without a boundary", "multipart/related", &whole);
        check("another boundary", "multipart/related; boundary=c", &whole);
        check(
            "another kind",
            "multipart/form-data; boundary=\"b 1\"",
            &whole,
        );
    }
}
