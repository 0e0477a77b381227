//! Several hubs of one plan: one leads, the others stand by.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How a hub stands beside others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFacts {
    /// Of this one.
    pub name: String,
    /// This one decides and tells; else it stands by.
    pub leads: bool,
    /// Who leads, as far as is known here.
    pub leader: Option<String>,
    /// One more with each hub that took the lead.
    pub epoch: u64,
    /// Since when this one leads, or stands by.
    pub since: Timestamp,
    /// When the one that leads was heard last.
    pub heard_at: Option<Timestamp>,
    /// When this store had all that the log has.
    pub caught_up_at: Option<Timestamp>,
    /// The last entry of the log that is in this store, and how many more the log has.
    pub entry: u64,
    pub behind: u64,
    /// Why this one would not take over, in a sentence.
    pub trouble: Option<String>,
}

/// Who had not all of the log for longer is not ready to take over.
const BEHIND_MAX: SignedDuration = SignedDuration::from_secs(10);

impl HubFacts {
    /// It leads, or could at once.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        let fresh = |at: Timestamp| now.duration_since(at) <= BEHIND_MAX;
        self.leads || self.trouble.is_none() && self.caught_up_at.is_some_and(fresh)
    }

    /// One line for people.
    #[must_use]
    pub fn said(&self) -> String {
        let Self { name, epoch, .. } = self;
        if self.leads {
            return format!(
                "{name} leads, epoch {epoch}, {} entries in the log",
                self.entry
            );
        }
        let leader = match &self.leader {
            Some(leader) => format!("{leader} leads, epoch {epoch}"),
            None => "nobody leads".to_owned(),
        };
        let trouble = self.trouble.as_ref();
        let trouble = trouble.map_or_else(String::new, |why| {
            format!("; it would not take over: {why}")
        });
        format!(
            "{name} stands by: {leader}, {} entries behind{trouble}",
            self.behind
        )
    }
}

/// A hub's name: for people, and one word.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn check_hub_name(name: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(name.to_owned())
    } else {
        Err("write up to 32 small letters, digits and hyphens, like \"berlin\"".to_owned())
    }
}
