//! The first flight of a client in HTTP/2, in the form that Akamai made known.
//!
//! `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-headers`, like `1:65536;4:6291456|15663105|0|m,a,s,p`
//! (<https://blackhat.com/docs/eu-17/materials/eu-17-Shuster-Passive-Fingerprinting-Of-HTTP2-Clients-wp.pdf>, read
//! 2026-11-29). Programs keep it under whatever user agent.

/// What every client says first (RFC 9113 section 3.4).
pub const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

/// The form, once the first request's headers have come; `None` before that, or when it is no HTTP/2.
#[must_use]
pub fn form(wire: &[u8]) -> Option<String> {
    let mut rest = wire.strip_prefix(MAGIC)?;
    let (mut settings, mut window, mut priorities) = (None, "00".to_owned(), Vec::new());
    loop {
        let (head, after) = rest.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = number(&head[5..])? & 0x7fff_ffff;
        let payload = after.get(..length)?;
        rest = &after[length..];
        match (kind, payload) {
            // Bit 0 acknowledges the other side's.
            (SETTINGS, pairs) if flags & 1 == 0 && settings.is_none() => {
                let each = pairs.chunks_exact(6).map(|pair| {
                    let value = number(&pair[2..]).unwrap_or_default();
                    format!("{}:{value}", u16::from_be_bytes([pair[0], pair[1]]))
                });
                settings = Some(each.collect::<Vec<_>>().join(";"));
            }
            (WINDOW_UPDATE, increment) if stream == 0 && increment.len() == 4 => {
                window = (number(increment)? & 0x7fff_ffff).to_string();
            }
            (PRIORITY, [parent @ .., weight]) if parent.len() == 4 => {
                let parent = number(parent)?;
                priorities.push(format!(
                    "{stream}:{}:{}:{}",
                    parent >> 31,
                    parent & 0x7fff_ffff,
                    u16::from(*weight) + 1
                ));
            }
            (HEADERS, block) => {
                let priorities = match priorities.as_slice() {
                    [] => "0".to_owned(),
                    several => several.join(","),
                };
                return Some(format!(
                    "{}|{window}|{priorities}|{}",
                    settings.unwrap_or_default(),
                    pseudo(fragment(block, flags)?)
                ));
            }
            _ => {}
        }
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The compressed headers of a HEADERS frame, without padding and priority.
fn fragment(block: &[u8], flags: u8) -> Option<&[u8]> {
    const PADDED: u8 = 0x8;
    const WITH_PRIORITY: u8 = 0x20;
    let mut block = block;
    if flags & PADDED != 0 {
        let (padding, rest) = block.split_first()?;
        block = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    }
    if flags & WITH_PRIORITY != 0 {
        block = block.get(5..)?;
    }
    Some(block)
}

/// The order of the pseudo-headers by their first letters, as far as it can be read.
///
/// Clients name them by the static table of HPACK (RFC 7541 appendix A), so nothing needs to be decompressed.
fn pseudo(block: &[u8]) -> String {
    let mut letters: Vec<&str> = Vec::new();
    let mut rest = block;
    while let Some(&first) = rest.first() {
        // Indexed; literal that is remembered; change of the table's size; literal that is not.
        let (bits, has_value) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let Some(index) = integer(&mut rest, bits) else {
            break;
        };
        if (0x20..0x40).contains(&first) {
            continue;
        }
        let letter = match index {
            1 => "a",
            2 | 3 => "m",
            4 | 5 => "p",
            6 | 7 => "s",
            _ => break,
        };
        letters.push(letter);
        if has_value {
            let Some(after) = integer(&mut rest, 7).and_then(|length| rest.get(length..)) else {
                break;
            };
            rest = after;
        }
    }
    letters.join(",")
}

/// A number in the low `bits` of the first byte and what follows it (RFC 7541 section 5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        for shift in [0, 7, 14] {
            let (byte, others) = after.split_first()?;
            after = others;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = after;
                return Some(number);
            }
        }
        return None;
    }
    *rest = after;
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
        frame.extend([0, 0, 0, stream]);
        frame.extend(payload);
        frame
    }

    /// As a browser would open it.
    fn flight() -> Vec<u8> {
        let mut wire = MAGIC.to_vec();
        wire.extend(frame(
            SETTINGS,
            0,
            0,
            &[0, 1, 0, 1, 0, 0, 0, 4, 0, 0x60, 0, 0],
        ));
        wire.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0xef, 0, 1]));
        wire.extend(frame(SETTINGS, 1, 0, &[]));
        wire.extend(frame(PRIORITY, 0, 3, &[0x80, 0, 0, 0, 200]));
        // GET, an authority of four bytes, https, a path that is not remembered; padded, with a priority.
        let block = [
            0x82, 0x41, 4, b'a', b'.', b'b', b'c', 0x87, 0x04, 2, b'/', b'x', 0x7a, 1, b'u',
        ];
        let mut padded = vec![2, 0, 0, 0, 0, 15];
        padded.extend(block);
        padded.extend([0, 0]);
        wire.extend(frame(HEADERS, 0x2d, 1, &padded));
        wire
    }

    #[test]
    fn each_part_has_its_place() {
        let expected = "1:65536;4:6291456|15663105|3:1:0:201|m,a,s,p";
        assert_eq!(form(&flight()).as_deref(), Some(expected));
        let mut short = MAGIC.to_vec();
        short.extend(frame(SETTINGS, 0, 0, &[]));
        short.extend(frame(HEADERS, 4, 1, &[0x3f, 0xe1, 0x1f, 0x84, 0x83, 0x90]));
        assert_eq!(form(&short).as_deref(), Some("|00|0|p,m"));
        for cut in 0..flight().len() {
            assert_eq!(form(&flight()[..cut]), None, "{cut} bytes");
        }
        assert_eq!(form(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_sends_is_too_odd(at in 24..90_usize, with: Vec<u8>) {
            let mut wire = flight();
            let at = at.min(wire.len());
            let end = (at + with.len()).min(wire.len());
            wire.splice(at..end, with);
            let _ = form(&wire);
        }
    }
}
