//! Looks for one word, in every form that text takes on its way, through files and stores.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::secrets::MARKER;

/// Where it was found, and in what.
pub(crate) type Found = Vec<String>;

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By whole name, and by ending.
    pub(crate) files: BTreeMap<String, usize>,
    pub(crate) bytes: usize,
    pub(crate) stores: usize,
    pub(crate) values: usize,
    /// Values that were compressed.
    pub(crate) unpacked: usize,
}

/// Bytes of one unpacked value; none of ours is as large.
const UNPACKED_MAX: u64 = 64 << 20;
/// A layer of encoding in another; more is nobody's accident.
const LAYERS: usize = 3;

/// All files below a directory.
pub(crate) fn directory(path: &Path, seen: &mut Seen, found: &mut Found) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            directory(&path, seen, found);
        } else if path.is_file() {
            file(&path, seen, found);
        }
    }
}

fn file(path: &Path, seen: &mut Seen, found: &mut Found) {
    let bytes = std::fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let kind = match path
        .extension()
        .filter(|_| name.starts_with(|c: char| c.is_ascii_digit()))
    {
        Some(ending) => ending.to_string_lossy().into_owned(),
        None => name,
    };
    *seen.files.entry(kind).or_default() += 1;
    seen.bytes += bytes.len();
    let place = path.display().to_string();
    text(&bytes, &place, found);
    if bytes.starts_with(b"SQLite format 3\0")
        && let Err(why) = store(path, seen, found)
    {
        found.push(format!(
            "{place}: can't be read, so it may be anywhere: {why}"
        ));
    }
}

/// Every value of every table: a long one lies in pages all over the file.
fn store(path: &Path, seen: &mut Seen, found: &mut Found) -> rusqlite::Result<()> {
    // Reading what a killed process left writes beside it.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("store");
    for part in ["", "-wal"] {
        let from = format!("{}{part}", path.display());
        if Path::new(&from).exists() {
            std::fs::copy(from, format!("{}{part}", copy.display())).unwrap();
        }
    }
    let connection = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                let place = || format!("{}: table {table}", path.display());
                match row.get_ref(column)? {
                    ValueRef::Text(bytes) => text(bytes, &place(), found),
                    ValueRef::Blob(bytes) => {
                        text(bytes, &place(), found);
                        for unpacked in unpack(bytes) {
                            seen.unpacked += 1;
                            text(&unpacked, &place(), found);
                        }
                    }
                    _ => continue,
                }
                seen.values += 1;
            }
        }
    }
    seen.stores += 1;
    Ok(())
}

/// What the bytes are when they are compressed, by each way that fits.
fn unpack(bytes: &[u8]) -> Vec<Vec<u8>> {
    fn whole(reader: impl std::io::Read) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let read = reader.take(UNPACKED_MAX).read_to_end(&mut out);
        (read.is_ok() && !out.is_empty()).then_some(out)
    }
    let zstd = ruzstd::decoding::StreamingDecoder::new(bytes).ok();
    [
        whole(flate2::read::DeflateDecoder::new(bytes)),
        whole(flate2::read::ZlibDecoder::new(bytes)),
        whole(flate2::read::GzDecoder::new(bytes)),
        zstd.and_then(whole),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Notes each file or table once, whatever the number of places in it.
fn text(bytes: &[u8], place: &str, found: &mut Found) {
    if let Some(around) = shows(bytes, LAYERS) {
        let line = format!("{place}: …{around}…");
        if !found
            .iter()
            .any(|known| known.starts_with(&format!("{place}: ")))
        {
            found.push(line);
        }
    }
}

fn shows(bytes: &[u8], layers: usize) -> Option<String> {
    if let Some(at) = NEEDLES.find(bytes) {
        let around = &bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())];
        return Some(String::from_utf8_lossy(around).escape_debug().collect());
    }
    let layers = layers.checked_sub(1)?;
    decoded(bytes).and_then(|decoded| shows(&decoded, layers))
}

/// The word as bytes may have it, but for what [`decoded`] undoes; letters are small.
fn needles() -> Vec<Vec<u8>> {
    let debug: Vec<String> = MARKER.bytes().map(|b| b.to_string()).collect();
    let hex: Vec<String> = MARKER.bytes().map(|b| format!("{b:02x}")).collect();
    let mut needles = vec![
        MARKER.as_bytes().to_vec(),
        hex.concat().into_bytes(),
        debug.join(", ").into_bytes(),
    ];
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{MARKER}", "x".repeat(before)));
        // Its first and last letters depend on what stands beside the word.
        let first = [0, 2, 3][before];
        let last = encoded.len() - usize::from(!(before + MARKER.len()).is_multiple_of(3));
        needles.push(encoded.as_bytes()[first..last].to_ascii_lowercase());
    }
    needles
}

/// One layer of escapes undone: `%75`, `\u0075`, `&#117;`; `None` when there are none.
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    // Nearly always there is nothing to undo, and looking for that is quick.
    let text = String::from_utf8_lossy(bytes);
    let begins = |begin: char, more: &str, digits: usize, radix: u32| {
        text.match_indices(begin).any(|(at, _)| {
            let rest = text.as_bytes()[at + 1..].strip_prefix(more.as_bytes());
            rest.is_some_and(|rest| number(rest, 0, digits, radix).is_some_and(|n| n < 128))
        })
    };
    if !begins('%', "", 2, 16) && !begins('\\', "u", 4, 16) && !begins('&', "#", 2, 10) {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let mut changed = false;
    while let Some(byte) = bytes.get(at) {
        let escape = match byte {
            b'%' => number(bytes, at + 1, 2, 16).map(|value| (value, 3)),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                number(bytes, at + 2, 4, 16).map(|value| (value, 6))
            }
            b'&' if bytes.get(at + 1) == Some(&b'#') => (2..=3).find_map(|digits| {
                let end = bytes.get(at + 2 + digits) == Some(&b';');
                let value = end.then(|| number(bytes, at + 2, digits, 10))?;
                Some((value?, digits + 3))
            }),
            _ => None,
        };
        if let Some((value, length)) = escape.filter(|(value, _)| *value < 128) {
            out.push(u8::try_from(value).unwrap());
            at += length;
            changed = true;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    changed.then_some(out)
}

fn number(bytes: &[u8], at: usize, digits: usize, radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(bytes.get(at..at + digits)?).ok()?;
    u32::from_str_radix(text, radix).ok()
}

static NEEDLES: LazyLock<Needles> = LazyLock::new(|| Needles::new(needles()));

/// Looks for several words at once, small and capital letters alike: Horspool's way, as these are many bytes and
/// tests are not optimised.
struct Needles {
    all: Vec<Vec<u8>>,
    /// Of the shortest; of the others that much of their beginning counts.
    length: usize,
    /// How far to go on from a byte at the end of the window, and whether a word may stand there.
    steps: [(usize, bool); 256],
}

impl Needles {
    fn new(all: Vec<Vec<u8>>) -> Self {
        let length = all.iter().map(Vec::len).min().unwrap();
        let mut steps = [(length, false); 256];
        for needle in &all {
            for (place, byte) in needle[..length].iter().enumerate() {
                for byte in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                    let step = &mut steps[usize::from(byte)];
                    match length - 1 - place {
                        0 => step.1 = true,
                        left => step.0 = step.0.min(left),
                    }
                }
            }
        }
        Self { all, length, steps }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let mut end = self.length - 1;
        while let Some(byte) = bytes.get(end) {
            let (step, may) = self.steps[usize::from(*byte)];
            if may {
                let at = end + 1 - self.length;
                let first = bytes[at].to_ascii_lowercase();
                for needle in &self.all {
                    if needle[0] == first
                        && let Some(window) = bytes.get(at..at + needle.len())
                        && window.eq_ignore_ascii_case(needle)
                    {
                        return Some(at);
                    }
                }
            }
            end += step;
        }
        None
    }
}
