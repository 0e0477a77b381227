//! Where a secret stands in a text, however the text writes it.
//!
//! Nobody can list all spellings: a page may escape every character or only some, in either case of letters, and
//! put one encoding into another. So the text is decoded as a reader would (percent signs, entities, backslashes,
//! base64), layer by layer, and what is found in a decoded text is traced back to the characters it came from.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};

/// Encodings within each other; more is nobody's accident.
const LAYERS: usize = 3;
/// Bytes that are decoded for each of a text, and for a short one; at the bound deeper layers are left.
///
/// Every escape and every grouping of base64, in a whole page of 256 KiB: some 50 ms and 30 MiB.
const WORK_PER_BYTE: usize = 12;
const WORK_MIN: usize = 256 * 1024;
/// Lines of base64 are at least so long where they are broken (RFC 2045 has 76, PEM 64).
const BROKEN_LINE_MIN: usize = 60;

/// Takes base64 with and without padding, and bits left over at the end.
static BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// HTML's names of characters of ASCII.
const NAMES: [(&str, char); 33] = [
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("quot", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("verbar", '|'),
    ("rcub", '}'),
    ("nbsp", ' '),
];

/// HTML's names from U+00A1 on.
const LATIN: &str = "iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 \
    acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring \
    AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times \
    Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave \
    eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute \
    ucirc uuml yacute thorn yuml";

/// What to look for.
pub(super) struct Wanted<'a> {
    pub(super) words: &'a AhoCorasick,
    /// Length of the shortest of them, bytes.
    pub(super) shortest: usize,
}

/// A text, or what a part of it stands for, with the stretch of the whole that each byte came from.
struct Reading {
    bytes: Vec<u8>,
    from: Vec<Origin>,
}

/// A stretch of the whole text. Half as large as a range, because there is one for each decoded byte.
#[derive(Clone, Copy)]
struct Origin {
    start: u32,
    end: u32,
}

impl Origin {
    fn new(start: usize, end: usize) -> Self {
        let short = |place| u32::try_from(place).unwrap_or(u32::MAX);
        Self {
            start: short(start),
            end: short(end),
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Every place at which one of the words stands, in order and without overlaps.
///
/// All texts of one layer are read before any of the next, so that the bound takes the deepest first.
pub(super) fn places(text: &[u8], wanted: &Wanted<'_>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = wanted.words.find_iter(text).map(|m| m.range()).collect();
    let mut work = WORK_MIN.max(text.len().saturating_mul(WORK_PER_BYTE));
    let mut layer = decodings(text, |place| place, wanted, &mut work);
    for depth in 1..=LAYERS {
        for reading in &layer {
            let matches = wanted.words.find_iter(&reading.bytes);
            found.extend(matches.map(|m| reading.whole(&m.range())));
        }
        if depth < LAYERS {
            let within = |reading: &Reading| {
                let whole = |place| reading.whole(&place);
                decodings(&reading.bytes, whole, wanted, &mut work)
            };
            layer = layer.iter().flat_map(within).collect();
        }
    }
    found.sort_by_key(|place| (place.start, place.end));
    let mut places: Vec<Range<usize>> = Vec::new();
    for place in found {
        match places.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => places.push(place),
        }
    }
    places
}

impl Reading {
    /// Where in the whole a stretch of this came from.
    fn whole(&self, place: &Range<usize>) -> Range<usize> {
        self.from[place.start].start as usize..self.from[place.end - 1].end as usize
    }
}

/// Reads one kind of escape.
type Escape = fn(&[u8]) -> Option<(Read, usize)>;

/// What a text says in each encoding that it may be in. One kind of escape at a time: what looks like another kind
/// may be the secret's own.
fn decodings(
    text: &[u8],
    whole: impl Fn(Range<usize>) -> Range<usize>,
    wanted: &Wanted<'_>,
    work: &mut usize,
) -> Vec<Reading> {
    let escapes: [(u8, Escape); 3] = [(b'%', percent), (b'&', entity), (b'\\', backslash)];
    let mut readings = Vec::new();
    for (sign, escape) in escapes {
        if text.contains(&sign) && afford(work, text.len()) {
            readings.extend(unescape(text, sign, escape));
        }
    }
    for run in runs(text, (wanted.shortest * 8 / 6).max(4)) {
        from_base64(text, &run, work, &mut readings);
    }
    for reading in &mut readings {
        for place in &mut reading.from {
            let found = whole(place.range());
            *place = Origin::new(found.start, found.end);
        }
    }
    readings
}

fn afford(work: &mut usize, bytes: usize) -> bool {
    let enough = *work >= bytes;
    *work = work.saturating_sub(bytes);
    enough
}

/// A stretch of base64: the place of each of its characters.
type Run = Vec<u32>;

/// Stretches that may be base64, at least so long; a line break within a long one is none of it.
fn runs(text: &[u8], min: usize) -> Vec<Run> {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    let (mut runs, mut run, mut line) = (Vec::new(), Run::new(), 0);
    let mut at = 0;
    while at < text.len() {
        if is_base64(text[at]) {
            run.push(u32::try_from(at).unwrap_or(u32::MAX));
            line += 1;
        } else if line >= BROKEN_LINE_MIN && matches!(text[at], b'\r' | b'\n') {
            at += usize::from(text[at..].starts_with(b"\r\n"));
            line = 0;
        } else {
            if run.len() >= min {
                runs.push(std::mem::take(&mut run));
            }
            run.clear();
            line = 0;
        }
        at += 1;
    }
    if run.len() >= min {
        runs.push(run);
    }
    runs
}

/// What stands in a stretch of base64. It may begin before the encoded text does ("/" of a path), so each of the
/// four ways to group its characters is tried.
fn from_base64(text: &[u8], run: &Run, work: &mut usize, readings: &mut Vec<Reading>) {
    let letter = |at: &u32| match text[*at as usize] {
        b'-' => b'+',
        b'_' => b'/',
        letter => letter,
    };
    let letters: Vec<u8> = run.iter().map(letter).collect();
    for skip in 0..4.min(letters.len()) {
        let grouped = &letters[skip..];
        // One character alone holds no byte.
        let whole = grouped.len() - usize::from(grouped.len() % 4 == 1);
        if !afford(work, whole) {
            return;
        }
        let Ok(bytes) = BASE64.decode(&grouped[..whole]) else {
            continue;
        };
        let stretch = |byte: usize| {
            let (first, last) = (byte * 8 / 6, ((byte + 1) * 8).div_ceil(6) - 1);
            Origin {
                start: run[skip + first],
                end: run[skip + last] + 1,
            }
        };
        readings.push(Reading {
            from: (0..bytes.len()).map(stretch).collect(),
            bytes,
        });
    }
}

/// The text with one kind of escape read; `None`: there is none.
fn unescape(text: &[u8], sign: u8, escape: Escape) -> Option<Reading> {
    let mut reading = Reading {
        bytes: Vec::with_capacity(text.len()),
        from: Vec::with_capacity(text.len()),
    };
    let (mut at, mut any) = (0, false);
    while at < text.len() {
        let read = (text[at] == sign).then(|| escape(&text[at..])).flatten();
        any |= read.is_some();
        let (read, length) = read.unwrap_or((Read::Byte(text[at]), 1));
        let place = Origin::new(at, at + length);
        match read {
            Read::Byte(byte) => {
                reading.bytes.push(byte);
                reading.from.push(place);
            }
            Read::Char(c) => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    reading.bytes.push(byte);
                    reading.from.push(place);
                }
            }
        }
        at += length;
    }
    any.then_some(reading)
}

/// What an escape stands for.
enum Read {
    Byte(u8),
    Char(char),
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok()?;
    let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    sound
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// `%2F`, and `%u002F` of old scripts.
fn percent(text: &[u8]) -> Option<(Read, usize)> {
    if let Some(code) = hex(text.get(1..3)) {
        return Some((Read::Byte(u8::try_from(code).ok()?), 3));
    }
    if !matches!(text.get(1), Some(b'u' | b'U')) {
        return None;
    }
    utf16(text, 2, 6, |text| {
        matches!(text, [b'%', b'u' | b'U', ..]).then_some(2)
    })
}

/// `\u002F`, `\u{2f}`, `\x2f`, `\/`, `\n`.
fn backslash(text: &[u8]) -> Option<(Read, usize)> {
    let plain = |c: u8| Some((Read::Byte(c), 2));
    match text.get(1)? {
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text.iter().take(12).position(|b| *b == b'}')?;
            let c = char::from_u32(hex(text.get(3..end))?)?;
            Some((Read::Char(c), end + 1))
        }
        b'u' => utf16(text, 2, 6, |text| text.starts_with(b"\\u").then_some(2)),
        b'x' => Some((Read::Char(char::from_u32(hex(text.get(2..4))?)?), 4)),
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'b' => plain(8),
        b'f' => plain(12),
        c if c.is_ascii_punctuation() => plain(*c),
        _ => None,
    }
}

/// Four hexadecimal digits between two places, and four more where they are half of a character.
fn utf16(
    text: &[u8],
    from: usize,
    to: usize,
    again: impl Fn(&[u8]) -> Option<usize>,
) -> Option<(Read, usize)> {
    let unit = |at: Option<u32>| u16::try_from(at?).ok();
    let first = unit(hex(text.get(from..to)))?;
    if let Some(Ok(c)) = char::decode_utf16([first]).next() {
        return Some((Read::Char(c), to));
    }
    let rest = text.get(to..)?;
    let skip = again(rest)?;
    let second = unit(hex(rest.get(skip..skip + 4)))?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((Read::Char(c), to + skip + 4))
}

/// `&quot;`, `&#34;`, `&#x22;`; the semicolon may be missing, as browsers allow.
fn entity(text: &[u8]) -> Option<(Read, usize)> {
    let body = &text[1..text.len().min(14)];
    let digits = |from: usize, is: fn(&u8) -> bool| {
        let count = body[from..].iter().take_while(|b| is(b)).count();
        (count > 0).then_some(&body[from..from + count])
    };
    let (c, length) = match body {
        [b'#', b'x' | b'X', ..] => {
            let digits = digits(2, u8::is_ascii_hexdigit)?;
            (char::from_u32(hex(Some(digits))?)?, 2 + digits.len())
        }
        [b'#', ..] => {
            let digits = digits(1, u8::is_ascii_digit)?;
            let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
            (char::from_u32(code)?, 1 + digits.len())
        }
        _ => {
            let name = std::str::from_utf8(digits(0, u8::is_ascii_alphanumeric)?).ok()?;
            (named(name)?, name.len())
        }
    };
    let closed = body.get(length) == Some(&b';');
    Some((Read::Char(c), 1 + length + usize::from(closed)))
}

fn named(name: &str) -> Option<char> {
    let ascii = NAMES.iter().find(|(known, _)| *known == name);
    ascii.map(|(_, c)| *c).or_else(|| {
        let place = LATIN.split(' ').position(|known| known == name)?;
        char::from_u32(0xA1 + u32::try_from(place).ok()?)
    })
}
