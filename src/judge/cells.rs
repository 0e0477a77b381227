//! A set of cells as bits.

/// A set of cells of one universe; all sets that are combined have the same length.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellSet(Box<[u64]>);

impl CellSet {
    /// The cells for which `member` holds, of `len` in all.
    pub fn filter(len: usize, mut member: impl FnMut(usize) -> bool) -> Self {
        let mut words = vec![0_u64; len.div_ceil(64)];
        for cell in 0..len {
            if member(cell) {
                words[cell / 64] |= 1 << (cell % 64);
            }
        }
        Self(words.into())
    }

    #[must_use]
    pub fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)].into())
    }

    #[must_use]
    pub fn contains(&self, cell: usize) -> bool {
        self.0[cell / 64] >> (cell % 64) & 1 == 1
    }

    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub fn add_all(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sets() {
        let a = CellSet::filter(130, |c| c % 2 == 0);
        let b = CellSet::filter(130, |c| c % 3 == 0);
        assert_eq!(a.and(&b).iter().collect::<Vec<_>>()[..3], [0, 6, 12]);
        assert_eq!(a.len(), 65);
        assert!(a.minus(&b).contains(128) && !a.minus(&b).contains(126));
        let mut c = CellSet::none(130);
        assert!(c.is_empty());
        c.add_all(&a);
        assert_eq!(c, a);
    }
}
