//! Changes near the onset, with how often chance alone would bring one so near.

use super::story::Story;
use crate::domain::incident::Beside;
use crate::domain::share;

/// A change that is nearer than this comes at the same time, seconds.
const SAME_S: i64 = 60;
/// Above this chance a change of the right kind is none that anybody should go by.
const UNLIKELY: f64 = 0.1;
/// Below this chance a change is worth a second look, even when it is of another kind than the fault.
const TELLING: f64 = 0.05;

impl Story<'_> {
    /// A sentence for each change ("3 h before, …"), most telling first.
    pub(super) fn beside(&self) -> Vec<String> {
        if !self.named() && !self.guesses() {
            return Vec::new();
        }
        self.incident
            .beside
            .iter()
            .map(|one| self.change(one))
            .collect()
    }

    fn change(&self, change: &Beside) -> String {
        let lead = self.incident.onset_at.duration_since(change.at).as_secs();
        let when = match lead.abs() {
            ..SAME_S => "At the same time".to_owned(),
            length if lead > 0 => format!("{} before", span(length)),
            length => format!("{} after", span(length)),
        };
        let chance = if change.related && change.chance < UNLIKELY {
            format!(
                "hardly a coincidence (by chance in {})",
                share::cases(change.chance)
            )
        } else if !change.related && change.chance < TELLING {
            "a change of this kind does not explain the failure".to_owned()
        } else {
            format!(
                "it may well be a coincidence (by chance in {})",
                share::cases(change.chance)
            )
        };
        format!("{when}, {}; {chance}", change.text.trim_end_matches('.'))
    }
}

/// `40 min`, `3 h`, `2 days`, rounded.
pub(super) fn span(seconds: i64) -> String {
    let rounded = |unit: i64| (seconds + unit / 2) / unit;
    match seconds {
        ..7200 => format!("{} min", rounded(60)),
        7200..172_800 => format!("{} h", rounded(3600)),
        _ => format!("{} days", rounded(86_400)),
    }
}
