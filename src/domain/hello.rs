//! The `ClientHello` as it stands on the wire, and its fingerprint, JA4.
//!
//! JA4 is the fingerprint that CDNs let their customers match (AWS WAF, Cloudflare, Fastly). It sorts what it
//! hashes, so that it is the same on each connection although rustls shuffles its extensions. Of the methods of
//! that family it is the only one here: it alone is free of patents (<https://github.com/FoxIO-LLC/ja4>, read
//! 2026-11-29). What is read comes from strangers too: it is bounded, and nothing in it is trusted.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Bytes of a handshake message that are read; a hello with post-quantum shares has 2 KiB.
const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of the payload of a record at most (RFC 8446 section 5.2).
const RECORD_MAX: usize = 16 * 1024 + 256;

const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// Of the record and of the message, before its body.
const HEADERS: usize = 9;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Hello(Hello),
    /// The beginning of one.
    More,
    /// Something else, or more than anybody says in a hello.
    Not,
}

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The version of the message itself; since TLS 1.3 it is the one before.
    legacy_version: u16,
    /// What it can speak, GREASE left out; empty before TLS 1.3.
    versions: Vec<u16>,
    suites: Vec<u16>,
    extensions: Vec<u16>,
    signatures: Vec<u16>,
    /// The name that it asks for.
    pub sni: Option<String>,
    pub alpn: Vec<Vec<u8>>,
    /// It offers to take up an earlier session, which makes another fingerprint of it.
    pub resumes: bool,
    /// On the wire, in one record.
    pub bytes: usize,
    /// The groups for which it brings a share, by IANA's numbers.
    pub shares: Vec<u16>,
}

/// Reads the first bytes that a client sent; what follows the hello is not looked at.
#[must_use]
pub fn read(wire: &[u8]) -> Read {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        match whole(&message) {
            Whole::Yes(body) => return hello(body).map_or(Read::Not, Read::Hello),
            Whole::Never => return Read::Not,
            Whole::NotYet => {}
        }
        // Type 22 is a handshake; the version is 3.x whatever will be spoken.
        if rest.iter().zip([22, 3]).any(|(is, should)| *is != should) {
            return Read::Not;
        }
        let [_, _, _, high, low, payload @ ..] = rest else {
            return Read::More;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > RECORD_MAX {
            return Read::Not;
        }
        let here = &payload[..payload.len().min(length)];
        message.extend_from_slice(here);
        rest = &payload[here.len()..];
        if here.len() < length {
            return match whole(&message) {
                Whole::Yes(body) => hello(body).map_or(Read::Not, Read::Hello),
                Whole::Never => Read::Not,
                Whole::NotYet => Read::More,
            };
        }
    }
}

enum Whole<'a> {
    Yes(&'a [u8]),
    NotYet,
    Never,
}

/// The body of a handshake message that may have come in part.
fn whole(message: &[u8]) -> Whole<'_> {
    match message {
        [1, high, middle, low, body @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            match body.get(..length) {
                _ if length > MESSAGE_MAX => Whole::Never,
                Some(body) => Whole::Yes(body),
                None => Whole::NotYet,
            }
        }
        [] | [1, ..] => Whole::NotYet,
        _ => Whole::Never,
    }
}

fn hello(body: &[u8]) -> Option<Hello> {
    let mut rest = Bytes(body);
    let legacy_version = rest.number()?;
    rest.take(32)?;
    rest.list8()?;
    let suites = rest.list16()?.numbers()?;
    rest.list8()?;
    let mut hello = Hello {
        legacy_version,
        versions: Vec::new(),
        suites,
        extensions: Vec::new(),
        signatures: Vec::new(),
        sni: None,
        alpn: Vec::new(),
        resumes: false,
        bytes: body.len() + HEADERS,
        shares: Vec::new(),
    };
    if rest.0.is_empty() {
        return Some(hello);
    }
    let mut all = rest.list16()?;
    while !all.0.is_empty() {
        let kind = all.number()?;
        let mut content = all.list16()?;
        if is_grease(kind) {
            continue;
        }
        hello.extensions.push(kind);
        match kind {
            SERVER_NAME if !content.0.is_empty() => {
                let mut names = content.list16()?;
                names.take(1)?;
                let name = names.list16()?;
                hello.sni = Some(String::from_utf8_lossy(name.0).into_owned());
            }
            SIGNATURE_ALGORITHMS => hello.signatures = content.list16()?.numbers()?,
            ALPN => {
                let mut names = content.list16()?;
                while !names.0.is_empty() {
                    hello.alpn.push(names.list8()?.0.to_vec());
                }
            }
            PRE_SHARED_KEY => hello.resumes = true,
            KEY_SHARE => hello.shares = shares(content).unwrap_or_default(),
            SUPPORTED_VERSIONS => hello.versions = content.list8()?.numbers()?,
            _ => {}
        }
    }
    Some(hello)
}

impl Hello {
    /// The fingerprint that it would have without the offer to take up an earlier session; `None`: it makes none.
    #[must_use]
    pub fn ja4_fresh(&self) -> Option<String> {
        let mut fresh = self.clone();
        let of_session = |kind: &u16| [PRE_SHARED_KEY, EARLY_DATA].contains(kind);
        fresh.extensions.retain(|kind| !of_session(kind));
        self.resumes.then(|| fresh.ja4())
    }

    /// The fingerprint, like `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    #[must_use]
    pub fn ja4(&self) -> String {
        let version = self.versions.iter().max().unwrap_or(&self.legacy_version);
        let version = match version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            _ => "00",
        };
        let named = if self.extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let (suites, extensions) = (self.suites.len().min(99), self.extensions.len().min(99));
        let hashed = |kind: &&u16| ![SERVER_NAME, ALPN].contains(kind);
        let kinds: Vec<u16> = self.extensions.iter().filter(hashed).copied().collect();
        let mut listed = hex(&sorted(&kinds));
        if !self.signatures.is_empty() {
            listed = format!("{listed}_{}", hex(&self.signatures));
        }
        format!(
            "t{version}{named}{suites:02}{extensions:02}{}_{}_{}",
            self.first_alpn(),
            short_hash(&hex(&sorted(&self.suites))),
            if kinds.is_empty() {
                short_hash("")
            } else {
                short_hash(&listed)
            },
        )
    }

    /// First and last character of the protocol that it likes best; those of its hex form when it has odd ones.
    fn first_alpn(&self) -> String {
        let name = self.alpn.first().map(Vec::as_slice).unwrap_or_default();
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return "00".to_owned();
        };
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            return format!("{}{}", char::from(*first), char::from(*last));
        }
        format!("{:x}{:x}", first >> 4, last & 15)
    }
}

/// Values that some clients throw in so that servers stay tolerant (RFC 8701).
/// The groups of the shares; `None`: they can't be read.
fn shares(content: Bytes<'_>) -> Option<Vec<u16>> {
    let mut content = content;
    let mut list = content.list16()?;
    let mut groups = Vec::new();
    while !list.0.is_empty() {
        let group = list.number()?;
        list.list16()?;
        if !is_grease(group) {
            groups.push(group);
        }
    }
    Some(groups)
}

fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 15 == 10
}

fn sorted(numbers: &[u16]) -> Vec<u16> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers
}

fn hex(numbers: &[u16]) -> String {
    let each: Vec<String> = numbers.iter().map(|n| format!("{n:04x}")).collect();
    each.join(",")
}

/// The first twelve hex digits of SHA-256; of nothing it is zeros, as JA4 has it.
#[must_use]
pub fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    let mut hash = String::with_capacity(12);
    for byte in Sha256::digest(text).iter().take(6) {
        // Writing to a string can't fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// What is still to be read of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Bytes with their count before them, in one byte.
    fn list8(&mut self) -> Option<Self> {
        let count = *self.take(1)?.first()?;
        self.take(usize::from(count)).map(Self)
    }

    /// The same, in two bytes.
    fn list16(&mut self) -> Option<Self> {
        let count = self.number()?;
        self.take(usize::from(count)).map(Self)
    }

    /// All of it as numbers, GREASE left out.
    fn numbers(mut self) -> Option<Vec<u16>> {
        let mut numbers = Vec::with_capacity(self.0.len() / 2);
        while !self.0.is_empty() {
            let number = self.number()?;
            if !is_grease(number) {
                numbers.push(number);
            }
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests;
