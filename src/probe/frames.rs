//! Walks the frames of an HTTP/2 connection beside the library that reads them.
//!
//! The library answers floods of control frames patiently and forgets why a server said goodbye, so both are
//! noted here: how many bytes are no content, and what GOAWAY gave as its reason (RFC 9113 section 4.1, 6.8).

use super::failure::one_line;

/// Type of a frame: content.
const DATA: u8 = 0;
/// Type of a frame: the server ends the connection.
const GOAWAY: u8 = 7;
/// Bytes of a frame's head.
const HEAD: usize = 9;
/// Bytes kept of a GOAWAY: last stream, code, and some words.
const GOAWAY_BYTES_MAX: usize = 8 + 120;

/// What is known after the bytes so far.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of `head` that are there.
    have: usize,
    /// Bytes of the present frame's payload that are still to come.
    left: usize,
    /// Bytes that are no content.
    pub(super) overhead: u64,
    goaway: Vec<u8>,
}

impl Frames {
    /// Takes the next bytes of the connection.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let take = bytes.len().min(HEAD - self.have);
                self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have == HEAD {
                    self.have = 0;
                    let [a, b, c, ..] = self.head;
                    self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                    self.overhead += HEAD as u64;
                    if self.kind() == GOAWAY {
                        self.goaway.clear();
                    }
                }
                continue;
            }
            let take = bytes.len().min(self.left);
            match self.kind() {
                DATA => {}
                kind => {
                    self.overhead += take as u64;
                    if kind == GOAWAY {
                        let room = GOAWAY_BYTES_MAX.saturating_sub(self.goaway.len());
                        self.goaway.extend_from_slice(&bytes[..take.min(room)]);
                    }
                }
            }
            self.left -= take;
            bytes = &bytes[take..];
        }
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    /// The reason of a GOAWAY that is no ordinary goodbye: its name, and the server's own words.
    pub(super) fn goaway(&self) -> Option<String> {
        let code: [u8; 4] = self.goaway.get(4..8)?.try_into().ok()?;
        let reason = h2::Reason::from(u32::from_be_bytes(code));
        if reason == h2::Reason::NO_ERROR {
            return None;
        }
        let words = String::from_utf8_lossy(&self.goaway[8..]);
        Some(match words.trim() {
            "" => format!("{reason:?}"),
            words => format!("{reason:?}, {:?}", one_line(words, 100)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 1]);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn counts_what_is_no_content_however_the_bytes_are_cut() {
        let goaway = [&[0, 0, 0, 1, 0, 0, 0, 11][..], b"too many\npings"].concat();
        let wire = [
            frame(4, &[]),
            frame(DATA, &[b'x'; 1000]),
            frame(6, &[0; 8]),
            frame(GOAWAY, &goaway),
        ]
        .concat();
        for size in [1, 2, 7, 9, 10, wire.len()] {
            let mut frames = Frames::default();
            for part in wire.chunks(size) {
                frames.feed(part);
            }
            assert_eq!(frames.overhead, 4 * 9 + 8 + 22, "{size}");
            let told = frames.goaway();
            assert_eq!(
                told.as_deref(),
                Some("ENHANCE_YOUR_CALM, \"too many pings\"")
            );
        }
    }

    #[test]
    fn an_ordinary_goodbye_is_no_reason() {
        let mut frames = Frames::default();
        frames.feed(&frame(GOAWAY, &[0; 8]));
        assert_eq!(frames.goaway(), None);
    }
}
