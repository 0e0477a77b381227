//! The outer form of DER: tags, lengths and what they hold (X.690), as far as certificates and key stores need it.
//!
//! Nothing is copied, nothing is understood, and a length beyond the bytes is the end.

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

impl<'a> Value<'a> {
    /// The values within, until one can't be read.
    pub fn parts(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.content;
        std::iter::from_fn(move || {
            let (value, after) = read(rest)?;
            rest = after;
            Some(value)
        })
    }

    /// The value at a place within.
    #[must_use]
    pub fn part(self, place: usize) -> Option<Value<'a>> {
        self.parts().nth(place)
    }
}

/// The first value, and what stands behind it; `None` where there is no whole one.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&tag, after) = bytes.split_first()?;
    let (&first, mut after) = after.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, rest) = after.split_at_checked(count)?;
        after = rest;
        digits
            .iter()
            .fold(0, |all, digit| all << 8 | usize::from(*digit))
    };
    let (content, rest) = after.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - rest.len()];
    let value = Value {
        tag,
        content,
        whole,
    };
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_far_as_they_go() {
        let bytes = [0x30, 0x07, 0x02, 0x01, 0x05, 0x04, 0x02, 0x61, 0x62, 0xff];
        let (value, rest) = read(&bytes).expect("a sequence");
        assert_eq!((value.tag, value.whole.len(), rest), (0x30, 9, &[0xff][..]));
        assert_eq!(value.part(1).map(|part| part.content), Some(&b"ab"[..]));
        assert_eq!(value.parts().count(), 2);
        let long: Vec<u8> = [0x04, 0x82, 0x01, 0x00]
            .into_iter()
            .chain([7; 256])
            .collect();
        assert_eq!(read(&long).map(|(value, _)| value.content.len()), Some(256));
        for cut in [
            &bytes[..5],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 1],
            &[],
        ] {
            assert_eq!(read(cut), None, "{cut:?}");
        }
    }
}
