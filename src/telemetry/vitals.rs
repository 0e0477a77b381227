//! What the daemon knows of itself: is it at work, on which plan, what it left out.
//!
//! The one shape for `/status`, for the store and for `edgewatch status`. Keys are stable: a field may
//! come, none may go or change its meaning. Times are RFC 3339 in UTC.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::hubs::HubFacts;
use crate::domain::keeping::{Due, Health};
use crate::domain::site::Sites;

/// The name under which the store keeps them.
pub const NOTE: &str = "vitals";

/// What the daemon knows of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    pub version: String,
    pub pid: u32,
    pub started_at: Timestamp,
    /// When these facts were taken.
    pub at: Timestamp,
    /// When it stopped in good order; `None`: it runs, or died.
    pub stopped_at: Option<Timestamp>,
    /// Where it can be asked.
    pub listen: Option<SocketAddr>,
    pub plan: PlanFacts,
    /// The last reload, if there was one.
    pub reload: Option<Reload>,
    /// What of the file and those that it names is another on the disk than in force.
    #[serde(default)]
    pub edited: Option<Edited>,
    pub runs: Runs,
    pub incidents_open: u64,
    pub store: Health,
    pub outbox: Vec<Due>,
    /// `None`: no dead-man's switch is configured.
    pub heartbeat: Option<HeartbeatFacts>,
    /// Why it is not at work although it runs.
    pub stalled: Option<String>,
    /// In force, oldest first; at most [`SILENCES_TOLD`] of them.
    #[serde(default)]
    pub silences: Vec<SilenceFacts>,
    /// Silences in force beyond those.
    #[serde(default)]
    pub more_silences: u64,
    /// Maintenance that goes on.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceFacts>,
    /// How agents at other sites are; `None`: it is no hub of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<Sites>,
    /// How it stands beside other hubs; `None`: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubFacts>,
}

/// Silences that are told one by one; the note is written every few seconds.
pub const SILENCES_TOLD: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceFacts {
    pub silence: u64,
    /// What it covers, in words ("probe connect, client legacy").
    pub what: String,
    pub until: Timestamp,
    pub by: String,
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceFacts {
    pub name: String,
    /// `mute` or `annotate`.
    pub effect: String,
    /// Empty: every probe.
    pub probes: Vec<String>,
    pub since: Timestamp,
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFacts {
    pub service: String,
    /// Without controls.
    pub probes: u64,
    pub controls: u64,
    pub cells: u64,
    /// 1 at the start, one more with each reload that was taken.
    pub generation: u64,
    /// Since when it is in force.
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    pub at: Timestamp,
    /// Why the file was not taken; `None`: it was.
    pub error: Option<String>,
    /// What it changed, by parts of the file.
    #[serde(default)]
    pub changes: Vec<String>,
}

/// Files that were edited, and not read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Their names.
    pub what: String,
    /// When that was seen first.
    pub since: Timestamp,
}

/// Counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub ended: u64,
    pub panicked: u64,
    pub in_flight: u64,
    /// Due, and waiting for their host's turn.
    pub waiting: u64,
    /// Not made because their time had passed.
    pub skipped_late: u64,
    /// Not made because the cell's last one was still going on.
    pub skipped_in_flight: u64,
    /// Not made because too many were under way.
    #[serde(default)]
    pub skipped_no_room: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatFacts {
    pub sent: u64,
    pub failed: u64,
    /// Not sent, because the daemon was not at work.
    pub withheld: u64,
    pub last_sent_at: Option<Timestamp>,
    /// Why the last one failed, or why none can be sent; never the URL.
    pub error: Option<String>,
}

impl Vitals {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // Strings, numbers and lists of these: nothing that JSON can't hold.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// From JSON.
    ///
    /// # Errors
    /// What is wrong with it; most likely another version wrote it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A daemon that runs and has nothing to complain of, at 12:00.
    pub(crate) fn well() -> Vitals {
        Vitals {
            version: "0.1.0".to_owned(),
            pid: 7,
            started_at: at("2026-11-22T11:00:00Z"),
            at: at("2026-11-22T12:00:00Z"),
            stopped_at: None,
            listen: "127.0.0.1:9464".parse().ok(),
            plan: PlanFacts {
                service: "GMC".to_owned(),
                probes: 2,
                controls: 1,
                cells: 9,
                generation: 1,
                since: at("2026-11-22T11:00:00Z"),
            },
            reload: None,
            edited: None,
            runs: Runs {
                ended: 120,
                ..Runs::default()
            },
            incidents_open: 0,
            store: Health::default(),
            outbox: Vec::new(),
            heartbeat: None,
            stalled: None,
            silences: Vec::new(),
            more_silences: 0,
            maintenance: Vec::new(),
            sites: None,
            hub: None,
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut vitals = well();
        vitals.stopped_at = Some(at("2026-11-22T12:00:00.5Z"));
        vitals.reload = Some(Reload {
            at: at("2026-11-22T11:30:00Z"),
            error: Some("a \"quoted\" line".to_owned()),
            changes: Vec::new(),
        });
        vitals.outbox.push(Due {
            receiver: "engineers".to_owned(),
            messages: 2,
            due_since: at("2026-11-22T11:59:00Z"),
        });
        vitals.heartbeat = Some(HeartbeatFacts::default());
        vitals.silences.push(SilenceFacts {
            silence: 3,
            what: "client legacy".to_owned(),
            until: at("2026-11-22T14:00:00Z"),
            by: "ann".to_owned(),
            why: None,
        });
        vitals.maintenance.push(MaintenanceFacts {
            name: "weekend work".to_owned(),
            effect: "mute".to_owned(),
            probes: vec!["connect".to_owned()],
            since: at("2026-11-22T10:00:00Z"),
            until: at("2026-11-22T18:00:00Z"),
        });
        let text = vitals.to_json().to_string();
        assert_eq!(Vitals::from_json(&text), Ok(vitals));
        assert!(
            text.contains(r#""started_at":"2026-11-22T11:00:00Z""#),
            "{text}"
        );
        assert!(Vitals::from_json("{}").is_err());
        // An older version knew of no silences.
        let mut older = well().to_json();
        for key in ["silences", "more_silences", "maintenance", "edited"] {
            older.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(Vitals::from_json(&older.to_string()), Ok(well()));
    }
}
