//! A body as far as it may be read, with its content codings undone.
//!
//! Two bounds hold: on what is read from the wire, and on what is kept after decoding, so that
//! neither an endless body nor a decompression bomb costs more than a page does.

use std::io::Read;

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest as _, Sha256};

use crate::domain::observation::Body;
use crate::domain::secret::Secrets;

/// The least that is read from the wire of a body, whatever the probe keeps.
const WIRE_BYTES_MIN: u64 = 1024 * 1024;
/// Codings undone one upon another; nobody has a reason for more.
const CODINGS_MAX: usize = 2;
/// Kept of a coded body beyond `body_bytes_max`, for what does not compress.
const CODED_SLACK: usize = 4096;
/// Bytes of a plain and of a coded body that are undone elsewhere than between the steps of other runs.
const HEAVY: usize = 64 * 1024;
const HEAVY_CODED: usize = 4 * 1024;
/// Members of gzip and frames of Zstandard in one body.
const PARTS_MAX: usize = 64;
/// The window that a Zstandard body may ask for (RFC 9659 section 3).
const ZSTD_WINDOW_MAX: u64 = 8 * 1024 * 1024;

/// A body while it is read.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    /// Coded bytes kept for decoding, or plain ones kept for good.
    keep_max: usize,
    wire: u64,
    wire_max: u64,
    /// `Content-Encoding`, first applied first.
    codings: Vec<String>,
    /// The body ended where it should.
    complete: bool,
}

impl Gathered {
    /// `body_bytes_max` is the probe's; `encodings` are the values of `Content-Encoding`.
    pub(super) fn new<'a>(body_bytes_max: usize, encodings: impl Iterator<Item = &'a str>) -> Self {
        let codings: Vec<String> = encodings
            .flat_map(|value| value.split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity")
            .collect();
        let slack = if codings.is_empty() { 0 } else { CODED_SLACK };
        Self {
            bytes: Vec::new(),
            keep_max: body_bytes_max.saturating_add(slack),
            wire: 0,
            wire_max: (body_bytes_max as u64)
                .saturating_mul(4)
                .max(WIRE_BYTES_MIN),
            codings,
            complete: false,
        }
    }

    /// Whether undoing and hashing it takes longer than a step of a run should.
    pub(super) fn is_heavy(&self) -> bool {
        self.bytes.len() > HEAVY || (!self.codings.is_empty() && self.bytes.len() > HEAVY_CODED)
    }

    pub(super) fn wire_bytes(&self) -> u64 {
        self.wire
    }

    /// Takes the next bytes; `false` when no more may be read.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.wire += bytes.len() as u64;
        let room = self.keep_max - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.wire < self.wire_max
    }

    pub(super) fn end(&mut self) {
        self.complete = true;
    }

    /// The body as it is kept.
    pub(super) fn finish(self, body_bytes_max: usize, secrets: &Secrets) -> Body {
        let wire_bytes = self.wire;
        let all_here = self.bytes.len() as u64 == self.wire;
        // The bound on the wire was reached before the end.
        let stopped = !self.complete && self.wire >= self.wire_max;
        let mut decode_error = None;
        let (bytes, more) = if self.codings.is_empty() || self.bytes.is_empty() {
            (self.bytes, false)
        } else {
            let whole = self.complete && all_here;
            match undo(&self.codings, &self.bytes, whole, body_bytes_max) {
                Ok(decoded) => (decoded.bytes, decoded.more),
                Err(error) => {
                    decode_error = Some(error);
                    (self.bytes, false)
                }
            }
        };
        let mut bytes = secrets.mask_bytes(Bytes::from(bytes));
        let cut = bytes.len() > body_bytes_max;
        bytes.truncate(body_bytes_max);
        Body {
            sha256: if bytes.is_empty() {
                String::new()
            } else {
                sha256(&bytes)
            },
            bytes,
            wire_bytes,
            truncated: more || cut || stopped || !all_here,
            decode_error,
        }
    }
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

struct Decoded {
    bytes: Vec<u8>,
    /// There was more than the bound lets through.
    more: bool,
}

/// Undoes the codings, last applied first; `whole` says that `bytes` are all there are.
fn undo(codings: &[String], bytes: &[u8], whole: bool, max: usize) -> Result<Decoded, String> {
    if codings.len() > CODINGS_MAX {
        return Err(format!(
            "{} content codings one upon another; at most {CODINGS_MAX} are undone",
            codings.len()
        ));
    }
    let mut done: Option<Decoded> = None;
    for (left, coding) in codings.iter().enumerate().rev() {
        let input = done.as_ref().map_or(bytes, |d| &d.bytes);
        let whole = whole && !done.as_ref().is_some_and(|d| d.more);
        let max = if left == 0 { max } else { max + CODED_SLACK };
        // These libraries meet whatever a stranger sends. A panic of theirs must not cost the run.
        let outcome = std::panic::catch_unwind(|| decode(coding, input, max));
        let (decoded, error) =
            outcome.unwrap_or_else(|_| (Decoded::none(), Some("the decoder failed".to_owned())));
        match error {
            // The start of a body that was cut decodes up to the cut.
            Some(error) if whole || decoded.bytes.is_empty() => {
                return Err(format!("content coding {coding}: {error}"));
            }
            Some(_) => {
                done = Some(Decoded {
                    more: true,
                    ..decoded
                });
            }
            None => done = Some(decoded),
        }
    }
    Ok(done.unwrap_or_else(Decoded::none))
}

impl Decoded {
    fn none() -> Self {
        Self {
            bytes: Vec::new(),
            more: false,
        }
    }
}

/// Undoes one coding; what was decoded before an error comes along with it.
fn decode(coding: &str, input: &[u8], max: usize) -> (Decoded, Option<String>) {
    match coding {
        "gzip" | "x-gzip" => read(Gzip::new(input), max),
        "deflate" if is_zlib(input) => read(ZlibDecoder::new(input), max),
        // RFC 9110 section 8.4.1.2: some send raw deflate data under this name.
        "deflate" => read(DeflateDecoder::new(input), max),
        "br" => read(Decompressor::new(input, 4096), max),
        "zstd" => read(Zstd::new(input), max),
        _ => {
            let known = "not known to edgewatch, which undoes gzip, deflate, br and zstd";
            (Decoded::none(), Some(known.to_owned()))
        }
    }
}

/// Whether the data begin with a zlib header, RFC 1950 section 2.2.
fn is_zlib(input: &[u8]) -> bool {
    match input {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn read(mut reader: impl Read, max: usize) -> (Decoded, Option<String>) {
    let mut decoded = Decoded::none();
    let mut chunk = [0; 8192];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return (decoded, None),
            Ok(n) => {
                let room = max - decoded.bytes.len();
                decoded.bytes.extend_from_slice(&chunk[..n.min(room)]);
                if n > room {
                    decoded.more = true;
                    return (decoded, None);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (decoded, Some(error.to_string())),
        }
    }
}

/// All members of a gzip body, one after another.
struct Gzip<'a> {
    rest: &'a [u8],
    member: Option<GzDecoder<&'a [u8]>>,
    parts: usize,
}

impl<'a> Gzip<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            member: None,
            parts: 0,
        }
    }
}

impl Read for Gzip<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(member) = &mut self.member {
                let n = member.read(into)?;
                if n > 0 {
                    return Ok(n);
                }
                self.rest = member.get_ref();
                self.member = None;
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
            one_part_more(&mut self.parts)?;
            self.member = Some(GzDecoder::new(self.rest));
        }
    }
}

/// Counts the parts of a body, each of which costs a decoder, however little it holds.
fn one_part_more(parts: &mut usize) -> std::io::Result<()> {
    *parts += 1;
    if *parts > PARTS_MAX {
        let message = format!("more than {PARTS_MAX} parts, which is edgewatch's limit");
        return Err(std::io::Error::other(message));
    }
    Ok(())
}

/// All frames of a Zstandard body, one after another.
struct Zstd<'a> {
    rest: &'a [u8],
    parts: usize,
    frame: Option<StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

impl<'a> Zstd<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            parts: 0,
            frame: None,
        }
    }
}

impl Read for Zstd<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let n = frame.read(into)?;
                if n > 0 {
                    return Ok(n);
                }
                self.rest = frame.get_ref();
                self.frame = None;
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
            one_part_more(&mut self.parts)?;
            let frame = StreamingDecoder::new_with_max_window_size(self.rest, ZSTD_WINDOW_MAX)
                .map_err(std::io::Error::other)?;
            self.frame = Some(frame);
        }
    }
}
