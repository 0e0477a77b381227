//! Which batches of a site came, which came twice, and which never will.
//!
//! A site numbers its batches from 1 at each start, and says below which number all are stored. So a hub that reads the
//! stream in its order knows what is missing for good, and drops what it has seen, however often and in whatever order
//! it is sent again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Starts of an agent that are told apart; its spool may hold batches of a few.
const BOOTS_MAX: usize = 8;
/// Batches that may be ahead of one that is missing.
const AHEAD_MAX: usize = 1_024;

/// What was seen of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inlet {
    /// The one that was heard of last stands last.
    boots: Vec<Boot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    number: u64,
    /// All before were seen or given up.
    next: u64,
    ahead: BTreeSet<u64>,
}

/// What a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not seen before; so many others are known to be lost since the last one.
    New {
        lost: u64,
    },
    Double,
}

impl Inlet {
    /// Takes note of a batch.
    pub fn take(&mut self, boot: u64, seq: u64, acked_below: u64) -> Taken {
        let place = self.boots.iter().position(|known| known.number == boot);
        let mut known = match place {
            Some(place) => self.boots.remove(place),
            None => Boot {
                number: boot,
                next: 1,
                ahead: BTreeSet::new(),
            },
        };
        let taken = known.take(seq, acked_below);
        self.boots.push(known);
        let surplus = self.boots.len().saturating_sub(BOOTS_MAX);
        self.boots.drain(..surplus);
        taken
    }
}

impl Boot {
    fn take(&mut self, seq: u64, acked_below: u64) -> Taken {
        if seq < self.next || !self.ahead.insert(seq) {
            return Taken::Double;
        }
        let mut lost = 0;
        loop {
            while self.ahead.remove(&self.next) {
                self.next += 1;
            }
            let Some(first) = self.ahead.first().copied() else {
                break;
            };
            // What is stored came before this one in the stream: it was there, and is gone.
            let known = if self.ahead.len() > AHEAD_MAX {
                first
            } else {
                first.min(acked_below)
            };
            if known <= self.next {
                break;
            }
            lost += known - self.next;
            self.next = known;
        }
        Taken::New { lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_dropped_and_gaps_counted() {
        let mut inlet = Inlet::default();
        let new = |lost| Taken::New { lost };
        for (name, seq, acked_below, expected) in [
            ("the first", 1, 1, new(0)),
            ("again", 1, 1, Taken::Double),
            ("out of order", 3, 2, new(0)),
            ("what was between", 2, 2, new(0)),
            ("one that is waited for", 6, 4, new(0)),
            ("4 and 5 were stored, and never came", 7, 7, new(2)),
            ("one of them after all", 5, 7, Taken::Double),
            ("goes on", 8, 8, new(0)),
        ] {
            assert_eq!(inlet.take(9, seq, acked_below), expected, "{name}");
        }
        assert_eq!(inlet.take(10, 1, 1), new(0), "another start of the agent");
        assert_eq!(
            inlet.take(9, 8, 8),
            Taken::Double,
            "the spool of the one before"
        );
    }

    #[test]
    fn what_is_kept_over_a_restart_still_knows() {
        let mut inlet = Inlet::default();
        inlet.take(1, 1, 1);
        inlet.take(1, 3, 1);
        let text = serde_json::to_string(&inlet).unwrap();
        let mut again: Inlet = serde_json::from_str(&text).unwrap();
        assert_eq!(again.take(1, 3, 1), Taken::Double);
        assert_eq!(again.take(1, 2, 1), Taken::New { lost: 0 });
    }

    proptest::proptest! {
        /// Whatever is lost, doubled or out of order: each batch is taken once or counted as lost, never both.
        #[test]
        fn each_batch_is_taken_once_or_counted(
            order in proptest::collection::vec((1_u64..40, 0_u64..40), 1..200),
        ) {
            let mut inlet = Inlet::default();
            let (mut taken, mut lost, mut acked) = (BTreeSet::new(), 0, 0);
            for (seq, below) in order {
                acked = acked.max(below.min(seq));
                match inlet.take(7, seq, acked) {
                    Taken::New { lost: more } => {
                        assert!(taken.insert(seq), "{seq} was taken twice");
                        lost += more;
                    }
                    Taken::Double => {}
                }
            }
            let next = inlet.boots[0].next;
            let below = taken.iter().filter(|seq| **seq < next).count() as u64;
            assert_eq!(below + lost, next - 1);
        }
    }
}
