//! What is quiet at a moment, by whose wish, and until when that stays so.
//!
//! Everything is derived: silences and windows are looked up in what is stored and configured, so that
//! nothing needs a timer that survives a restart. It is worked out once for a stretch of time in which
//! nothing begins or ends, because the loop asks with every run.

use jiff::{SignedDuration, Timestamp};

use crate::domain::cell::CellKey;
use crate::domain::incident::{Incident, IncidentCell, Muted, State};
use crate::domain::moment::later;
use crate::domain::mute::{Effect, Maintenance, Matcher, Silence};
use crate::domain::plan::Plan;

/// Silences, maintenance and closed routes, as they are from one moment to the next change.
#[derive(Debug)]
pub struct Quiet {
    from: Timestamp,
    until: Timestamp,
    mutes: Vec<Window>,
    /// Maintenance that is only mentioned.
    remarks: Vec<Window>,
    /// Whether each route of the plan, in its order, is outside its hours.
    closed: Vec<bool>,
}

/// Something that is in force.
#[derive(Debug)]
struct Window {
    matcher: Matcher,
    until: Timestamp,
    name: String,
    /// Number of the silence, when it is one.
    silence: Option<u64>,
}

impl Default for Quiet {
    /// Of no moment at all.
    fn default() -> Self {
        Self {
            from: Timestamp::MAX,
            until: Timestamp::MIN,
            mutes: Vec::new(),
            remarks: Vec::new(),
            closed: Vec::new(),
        }
    }
}

impl Quiet {
    /// What is quiet now.
    #[must_use]
    pub fn at(plan: &Plan, silences: &[Silence], now: Timestamp) -> Self {
        let mut quiet = Self {
            from: now,
            until: Timestamp::MAX,
            ..Self::default()
        };
        for silence in silences.iter().filter(|silence| silence.holds(now)) {
            quiet.ends(silence.until);
            quiet.mutes.push(Window {
                matcher: silence.matcher.clone(),
                until: silence.until,
                name: silence.name(),
                silence: Some(silence.number),
            });
        }
        for maintenance in &plan.maintenance {
            let (begun_at, next_at) = around(maintenance, now);
            quiet.until = next_at.map_or(quiet.until, |next| next.min(quiet.until));
            let Some(begun_at) = begun_at else { continue };
            let until = later(begun_at, maintenance.lasting);
            quiet.ends(until);
            let window = Window {
                matcher: Matcher {
                    probes: maintenance.probes.clone(),
                    ..Matcher::default()
                },
                until,
                name: maintenance.name.clone(),
                silence: None,
            };
            match maintenance.effect {
                Effect::Annotate => quiet.remarks.push(window),
                Effect::Mute => quiet.mutes.push(Window {
                    name: format!("maintenance {}", window.name),
                    ..window
                }),
            }
        }
        for route in &plan.routes {
            let open = route.during.is_none_or(|hours| {
                if let Some(change) = hours.next_change(&plan.zone, now) {
                    quiet.ends(change);
                }
                hours.contains(&plan.zone, now)
            });
            quiet.closed.push(!open);
        }
        quiet
    }

    fn ends(&mut self, at: Timestamp) {
        self.until = self.until.min(at);
    }

    /// Whether this is what is quiet at `now`; a clock that was set back asks anew.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Since when it is known to be so.
    #[must_use]
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// When something begins or ends next.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether the route at this place of the plan is outside its hours.
    #[must_use]
    pub fn is_closed(&self, route: usize) -> bool {
        self.closed.get(route).copied().unwrap_or(false)
    }

    /// What mutes an incident: all of its failing cells must be covered, each by one or the other.
    #[must_use]
    pub fn mutes(&self, incident: &Incident) -> Option<Muted> {
        if self.mutes.is_empty() {
            return None;
        }
        let mut until = Timestamp::MAX;
        let mut by: Vec<String> = Vec::new();
        let mut silences = Vec::new();
        for member in at_fault(incident) {
            let mut longest = None;
            for window in &self.mutes {
                if window.matcher.covers(incident.number, member) {
                    longest = longest.max(Some(window.until));
                    if !by.contains(&window.name) {
                        by.push(window.name.clone());
                        silences.extend(window.silence);
                    }
                }
            }
            until = until.min(longest?);
        }
        (!by.is_empty()).then_some(Muted {
            at: self.from,
            until,
            by,
            silences,
        })
    }

    /// Names of the maintenance that all of an incident's failing cells fall into.
    #[must_use]
    pub fn remarks(&self, incident: &Incident) -> Vec<String> {
        let covers = |window: &&Window| {
            at_fault(incident).all(|member| window.matcher.covers(incident.number, member))
        };
        let found = self.remarks.iter().filter(covers);
        found.map(|window| window.name.clone()).collect()
    }

    /// Brings what an incident says of being quiet up to date, for whoever shows it while no loop does.
    pub fn show_in(&self, incident: &mut Incident) {
        let open = incident.state == State::Open;
        let telling = &incident.telling;
        let since = telling.muted.as_ref().map_or(self.from, |muted| muted.at);
        let muted = self.mutes(incident).filter(|_| open);
        let during = if open {
            self.remarks(incident)
        } else {
            Vec::new()
        };
        incident.telling.muted = muted.map(|muted| Muted { at: since, ..muted });
        incident.telling.during = during;
    }

    /// What is quiet about a change that concerns all of these cells; about one that concerns none, nothing.
    #[must_use]
    pub fn about(&self, cells: &[&CellKey]) -> Hush {
        if cells.is_empty() {
            return Hush::default();
        }
        let muted = cells.iter().all(|cell| {
            let mut windows = self.mutes.iter();
            windows.any(|window| window.matcher.covers_cell(cell))
        });
        let covers = |window: &&Window| cells.iter().all(|cell| window.matcher.covers_cell(cell));
        let during = self.remarks.iter().filter(covers);
        Hush {
            muted,
            during: during.map(|window| window.name.clone()).collect(),
        }
    }
}

/// Maintenance that goes on.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    pub maintenance: &'a Maintenance,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// The maintenance that goes on, in the order of the file.
pub fn maintenance(plan: &Plan, now: Timestamp) -> impl Iterator<Item = InForce<'_>> {
    plan.maintenance.iter().filter_map(move |maintenance| {
        let since = around(maintenance, now).0?;
        Some(InForce {
            maintenance,
            since,
            until: later(since, maintenance.lasting),
        })
    })
}

/// What is quiet about a change that is no incident.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hush {
    /// Nobody is told of it.
    pub muted: bool,
    /// Names of the maintenance that it falls into.
    pub during: Vec<String>,
}

/// The cells that fail; all of them where none does any more.
fn at_fault(incident: &Incident) -> impl Iterator<Item = &IncidentCell> {
    let none = !incident.cells.iter().any(|member| member.failing);
    let cells = incident.cells.iter();
    cells.filter(move |member| member.failing || none)
}

/// When the window that is open now began, if one is, and when the next begins.
fn around(maintenance: &Maintenance, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let lasting = SignedDuration::try_from(maintenance.lasting).unwrap_or(SignedDuration::MAX);
    let earliest = now.checked_sub(lasting).unwrap_or(Timestamp::MIN);
    let first = maintenance.begins.next_after(earliest);
    match first {
        Some(begun_at) if begun_at <= now => (Some(begun_at), maintenance.begins.next_after(now)),
        next => (None, next),
    }
}

#[cfg(test)]
mod tests;
