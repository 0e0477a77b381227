//! Says that nothing can be kept, while nothing can be kept.
//!
//! Messages go by way of the store, so that none is lost; a store that can't be written would keep silent about
//! that, and about every incident. So this is told past it: once, and again only for incidents that came since.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::keeping::Health;
use crate::domain::moment::elapsed;
use crate::surroundings::notice::Notice;

/// A store that is slow or locked for a moment is no news.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two messages.
const GAP: Duration = Duration::from_secs(60);
/// Incidents that one message names.
const NAMED: usize = 10;

/// An incident that is open: its number, when it was opened, and what is wrong.
pub(super) type Open = (u64, Timestamp, String);

/// What was told of it.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    last: Timestamp,
    since: Timestamp,
    named: BTreeSet<u64>,
    /// Since when it can be written again.
    over: Option<Timestamp>,
}

/// What there is to say.
#[derive(Debug, PartialEq)]
pub(super) enum Say {
    /// Past the store.
    Cannot(Notice),
    /// By way of the store, as everything else.
    CanAgain(Notice),
}

impl Unwritten {
    /// Looks how writing goes; `plain` is a notice of ours without words, `open` what is open.
    pub(super) fn look(&mut self, health: &Health, plain: Notice, open: &[Open]) -> Option<Say> {
        let now = plain.at;
        let Some(since) = health.failing_since else {
            return self.can_again(plain);
        };
        if elapsed(since, now) < PATIENCE {
            return None;
        }
        let since = self.told.as_ref().map_or(since, |told| told.since);
        let missing: Vec<&Open> = open.iter().filter(|(_, at, _)| *at >= since).collect();
        if let Some(told) = &mut self.told {
            told.over = None;
            let news = missing.iter().any(|(n, ..)| !told.named.contains(n));
            if !news || elapsed(told.last, now) < GAP {
                return None;
            }
        }
        let mut because: Vec<String> = health.last_error.iter().cloned().collect();
        let named = missing.iter().take(NAMED);
        because.extend(named.map(|(number, _, headline)| format!("INC-{number}: {headline}")));
        if missing.len() > NAMED {
            because.push(format!("and {} more", missing.len() - NAMED));
        }
        self.told = Some(Told {
            last: now,
            since,
            named: missing.iter().map(|(number, ..)| *number).collect(),
            over: None,
        });
        Some(Say::Cannot(Notice {
            headline: "edgewatch cannot write: incidents are not recorded, and are told to nobody until it can"
                .to_owned(),
            because,
            next_step: Some(
                "Make room or mend the disk; probing goes on, and what is still wrong then is told at once".to_owned(),
            ),
            ..plain
        }))
    }

    fn can_again(&mut self, plain: Notice) -> Option<Say> {
        let told = self.told.as_mut()?;
        let over = *told.over.get_or_insert(plain.at);
        if elapsed(over, plain.at) < GAP {
            return None;
        }
        self.told = None;
        Some(Say::CanAgain(Notice {
            headline: "edgewatch can write again: incidents are recorded and told as before"
                .to_owned(),
            ..plain
        }))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    /// The second, since when writing fails, and the incidents that are open with the second of their opening.
    type Look<'a> = (i64, Option<i64>, &'a [(u64, i64)]);

    /// Plays looks; returns what was said, in short.
    fn said(looks: &[Look<'_>]) -> Vec<String> {
        let mut it = Unwritten::default();
        let said = looks.iter().filter_map(|(second, failing, open)| {
            let health = Health {
                failing_since: failing.map(at),
                last_error: Some("the disk is full".to_owned()),
                ..Health::default()
            };
            let open: Vec<Open> = open
                .iter()
                .map(|(number, opened)| (*number, at(*opened), "refused".to_owned()))
                .collect();
            let plain = Notice::of_ourselves(at(*second));
            Some(match it.look(&health, plain, &open)? {
                Say::Cannot(notice) => format!("{second}: {}", notice.because.join(", ")),
                Say::CanAgain(_) => format!("{second}: again"),
            })
        });
        said.collect()
    }

    #[test]
    fn it_is_said_once_and_for_what_comes_since() {
        let none: &[(u64, i64)] = &[];
        assert_eq!(
            said(&[
                (0, None, none),
                (5, Some(1), none),
                (6, None, none),
                (99, None, none)
            ]),
            Vec::<String>::new(),
            "for a moment only"
        );
        let known: &[(u64, i64)] = &[(1, 0)];
        let more: &[(u64, i64)] = &[(1, 0), (2, 30)];
        assert_eq!(
            said(&[
                (10, Some(1), known),
                (11, Some(1), known),
                (40, Some(1), more),
                (71, Some(1), more),
                (200, Some(1), more),
                // A row got through in between: it is the same trouble.
                (205, None, more),
                (210, Some(206), more),
                (220, Some(206), more),
                (300, None, more),
                (360, None, more),
                (420, None, more),
            ]),
            [
                "11: the disk is full",
                "71: the disk is full, INC-2: refused",
                "360: again",
            ]
        );
    }
}
