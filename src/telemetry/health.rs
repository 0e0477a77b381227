//! What of the vitals a person must know: is it alive, and would anybody be told?
//!
//! Two questions, two answers. **Alive**: the loop answers and runs end; a restart may mend what is not.
//! **Ready**: besides, the file on the disk is the one in force, the store can be written, and messages
//! arrive; a person must mend what is not.

use std::time::Duration;

use jiff::Timestamp;

use super::vitals::Vitals;

/// A message that is due for longer is not merely on its way.
pub const UNDELIVERED_MAX: Duration = Duration::from_secs(5 * 60);

/// One thing that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// One line.
    pub text: String,
}

/// Whether runs are made at all.
#[must_use]
pub fn alive(vitals: &Vitals) -> Vec<Check> {
    let runs = &vitals.runs;
    let (ok, text) = match &vitals.stalled {
        Some(why) => (false, why.clone()),
        None => (
            true,
            format!(
                "{} ended since the start, {} under way",
                runs.ended, runs.in_flight
            ),
        ),
    };
    vec![check("runs", ok, text)]
}

/// Whether anybody would be told, and of what the file says.
#[must_use]
pub fn ready(vitals: &Vitals, now: Timestamp) -> Vec<Check> {
    let mut checks = alive(vitals);
    checks.push(configuration(vitals));
    checks.push(match vitals.store.failing_since {
        Some(since) => {
            let why = vitals
                .store
                .last_error
                .as_deref()
                .unwrap_or("no reason given");
            check(
                "store",
                false,
                format!("not written since {}: {why}", to_the_second(since)),
            )
        }
        None => check(
            "store",
            true,
            format!("{} rows written", vitals.store.written_rows),
        ),
    });
    checks.push(delivery(vitals, now));
    if let Some(hub) = &vitals.hub {
        checks.push(check("hub", hub.is_ready(vitals.at), hub.said()));
    }
    checks
}

/// What is finer says nothing to a person.
fn to_the_second(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%dT%H:%M:%SZ")
}

fn configuration(vitals: &Vitals) -> Check {
    let generation = vitals.plan.generation;
    match &vitals.reload {
        Some(reload) if reload.error.is_some() => {
            let error = reload.error.as_deref().unwrap_or_default();
            // The whole of it is in the log; the first line names file, line and fault.
            let first = error.lines().next().unwrap_or_default();
            let text = format!(
                "not taken at {}, number {generation} stays in force: {first}",
                to_the_second(reload.at)
            );
            check("configuration", false, text)
        }
        _ => match &vitals.edited {
            Some(edited) => check(
                "configuration",
                false,
                format!(
                    "{} was edited (seen {}) and is not in force; SIGHUP (`systemctl reload edgewatch`) reads it again",
                    edited.what,
                    to_the_second(edited.since)
                ),
            ),
            None => check(
                "configuration",
                true,
                format!(
                    "number {generation}, since {}",
                    to_the_second(vitals.plan.since)
                ),
            ),
        },
    }
}

fn delivery(vitals: &Vitals, now: Timestamp) -> Check {
    let late: Vec<String> = vitals
        .outbox
        .iter()
        .filter_map(|due| {
            let age = now.duration_since(due.due_since);
            let late = age.is_positive() && age.unsigned_abs() > UNDELIVERED_MAX;
            late.then(|| {
                format!(
                    "{} for {} for {} s",
                    counted(due.messages),
                    due.receiver,
                    age.as_secs()
                )
            })
        })
        .collect();
    if late.is_empty() {
        let waiting: u64 = vitals.outbox.iter().map(|due| due.messages).sum();
        return check("delivery", true, format!("{} waiting", counted(waiting)));
    }
    check(
        "delivery",
        false,
        format!("not delivered: {}", late.join(", ")),
    )
}

fn counted(messages: u64) -> String {
    if messages == 1 {
        "1 message".to_owned()
    } else {
        format!("{messages} messages")
    }
}

fn check(name: &'static str, ok: bool, text: String) -> Check {
    Check { name, ok, text }
}

#[cfg(test)]
mod tests {
    use super::super::vitals::tests::{at, well};
    use super::super::vitals::{Edited, Reload};
    use super::*;
    use crate::domain::keeping::Due;

    /// What is not well, as `name: text`.
    fn wrong(vitals: &Vitals) -> Vec<String> {
        ready(vitals, vitals.at)
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| format!("{}: {}", check.name, check.text))
            .collect()
    }

    #[test]
    fn each_fault_is_named() {
        assert!(wrong(&well()).is_empty());

        let mut vitals = well();
        vitals.stalled = Some("no run has ended for 999 s".to_owned());
        assert_eq!(wrong(&vitals), ["runs: no run has ended for 999 s"]);
        assert!(!alive(&vitals)[0].ok);

        let mut vitals = well();
        vitals.reload = Some(Reload {
            at: at("2026-11-22T11:30:00Z"),
            error: Some("probes.yaml:1:1: probs: unknown key\n 1 | probs".to_owned()),
            changes: Vec::new(),
        });
        assert_eq!(
            wrong(&vitals),
            [
                "configuration: not taken at 2026-11-22T11:30:00Z, number 1 stays in force: probes.yaml:1:1: probs: unknown key"
            ]
        );
        assert!(alive(&vitals)[0].ok, "a restart would not mend it");
        vitals.reload = Some(Reload {
            at: vitals.at,
            error: None,
            changes: Vec::new(),
        });
        assert!(wrong(&vitals).is_empty());
        vitals.edited = Some(Edited {
            what: "probes.yaml".to_owned(),
            since: at("2026-11-22T11:50:00Z"),
        });
        assert_eq!(
            wrong(&vitals),
            [
                "configuration: probes.yaml was edited (seen 2026-11-22T11:50:00Z) and is not in force; SIGHUP (`systemctl reload edgewatch`) reads it again"
            ]
        );
        assert!(alive(&vitals)[0].ok, "a restart is not what it needs");

        let mut vitals = well();
        vitals.store.failing_since = Some(at("2026-11-22T11:59:00Z"));
        vitals.store.last_error = Some("disk full".to_owned());
        assert_eq!(
            wrong(&vitals),
            ["store: not written since 2026-11-22T11:59:00Z: disk full"]
        );
    }

    #[test]
    fn messages_have_five_minutes_from_when_they_are_due() {
        let due = |receiver: &str, since: &str| Due {
            receiver: receiver.to_owned(),
            messages: 2,
            due_since: at(since),
        };
        let mut vitals = well();
        vitals.outbox = vec![
            due("engineers", "2026-11-22T11:55:00Z"),
            due("support", "2026-11-22T12:09:00Z"),
        ];
        assert!(wrong(&vitals).is_empty());
        vitals.outbox.push(due("late", "2026-11-22T11:54:59Z"));
        assert_eq!(
            wrong(&vitals),
            ["delivery: not delivered: 2 messages for late for 301 s"]
        );
    }
}
