//! Reference ids that never repeat within one edge.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts, and scrambles the count so that ids look like those of a vendor.
#[derive(Debug)]
pub(super) struct Ids {
    seed: u64,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> Id {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        Id(scramble(self.seed.wrapping_add(count)))
    }
}

/// One id, in the shapes that vendors give theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

impl Id {
    /// 16 hexadecimal digits.
    pub(super) fn hex16(self) -> String {
        format!("{:016x}", self.0)
    }

    pub(super) fn hex32(self) -> String {
        format!("{:016x}{:016x}", self.0, scramble(self.0))
    }

    /// 8 hexadecimal digits; may repeat.
    pub(super) fn hex8(self) -> String {
        format!("{:08x}", self.0 >> 32)
    }

    /// 19 or 20 decimal digits, without leading zero.
    pub(super) fn digits(self) -> String {
        // Below 2^63 after the shift, so the sum fits and has 19 digits.
        (1_000_000_000_000_000_000 + (self.0 >> 1)).to_string()
    }

    /// 54 characters of the base64 alphabet for URLs, and its padding.
    pub(super) fn base64(self) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::with_capacity(56);
        let mut bits = self.0;
        for n in 0..54 {
            if n % 10 == 0 && n > 0 {
                bits = scramble(bits);
            }
            let index = (bits >> (n % 10 * 6)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
        text.push_str("==");
        text
    }
}

/// The finaliser of `SplitMix64`: one to one, so that different counts stay different
/// (<https://prng.di.unimi.it/splitmix64.c>, 2026-11).
fn scramble(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let ids = Ids::new(7);
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let id = ids.next();
            assert!(seen.insert(id.hex16()));
            assert!(seen.insert(id.digits()));
            assert!(seen.insert(id.base64()));
            assert_eq!(id.hex16().len(), 16);
            assert_eq!(id.hex32().len(), 32);
            assert_eq!(id.hex8().len(), 8);
            assert!((19..=20).contains(&id.digits().len()));
            assert_eq!(id.base64().len(), 56);
        }
    }
}
