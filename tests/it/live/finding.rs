//! What was found, by the cells that are blamed and not by names: comparable between the daemon and `replay`.

use std::collections::BTreeSet;

use edgewatch::domain::diagnosis::{Cause, Level};
use edgewatch::domain::incident::{Incident, Subject};
use edgewatch::domain::verdict::Factor;
use edgewatch::lab::plan::Planned;
use edgewatch::lab::scenario::{Expect, Scenario, When};
use serde_json::Value;

/// All that is blamed at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Cells of the scenario.
    pub(crate) cells: BTreeSet<usize>,
    /// In the words of `replay`.
    pub(crate) natures: BTreeSet<String>,
    /// Hosts at which our own rate is blamed.
    pub(crate) rates: BTreeSet<String>,
    pub(crate) intermittent: bool,
}

impl Finding {
    pub(crate) fn is_nothing(&self) -> bool {
        self.cells.is_empty() && self.rates.is_empty()
    }

    /// What the open incidents of the daemon blame.
    pub(crate) fn of_daemon<'a>(
        scenario: &Scenario,
        planned: &Planned,
        incidents: impl Iterator<Item = &'a Incident>,
    ) -> Self {
        let mut it = Self::default();
        for incident in incidents {
            it.intermittent |= incident.diagnosis.fails.is_some();
            it.blame(
                scenario,
                planned,
                &incident.subject,
                &incident.diagnosis.cause,
            );
        }
        it
    }

    fn blame(&mut self, scenario: &Scenario, planned: &Planned, subject: &Subject, cause: &Cause) {
        let nature = match cause {
            Cause::Unknown { .. } => return,
            Cause::AnyOf(causes) => {
                for cause in causes {
                    self.blame(scenario, planned, subject, cause);
                }
                return;
            }
            Cause::OwnRate { .. } => {
                let hosts = scenario.universe.hosts.iter();
                let here = |host: &&String| {
                    let Subject::Host(subject) = subject else {
                        return false;
                    };
                    subject.split(':').next() == Some(host.as_str())
                };
                self.rates.extend(hosts.filter(here).cloned());
                self.natures.insert("rate".to_owned());
                return;
            }
            Cause::OurNetwork { egresses } if egresses.len() < planned.plan.egresses.len() => {
                vec!["network"]
            }
            _ => natures(cause.levels()),
        };
        self.natures.extend(nature.into_iter().map(str::to_owned));
        for (number, key) in planned.cells.iter().enumerate() {
            let about = *subject == Subject::OurNetwork
                || edgewatch::incident::partner::is_about(subject, &planned.plan, key);
            if about && cause.covers(key).unwrap_or(true) {
                self.cells.insert(number);
            }
        }
    }

    /// What a line of `replay --format json` names to the end.
    pub(crate) fn of_replay(scenario: &Scenario, line: &Value) -> Self {
        let mut it = Self::default();
        let incidents = line["incidents"].as_array().unwrap();
        let open = incidents.iter().filter(|i| i["recovered_s"].is_null());
        let causes = open.flat_map(|incident| incident["causes"].as_array().unwrap());
        for cause in causes.filter(|cause| cause["withdrawn_s"].is_null()) {
            it.natures
                .insert(cause["nature"].as_str().unwrap().to_owned());
            it.intermittent |= cause["intermittent"] == true;
            if cause["rate"].is_null() {
                let when: When = serde_json::from_value(cause["when"].clone()).unwrap();
                it.add(&when, scenario);
            } else {
                it.rates
                    .insert(cause["when"]["host"].as_str().unwrap().to_owned());
            }
        }
        it
    }

    /// What a scenario expects to be named.
    pub(crate) fn expected(scenario: &Scenario) -> Self {
        let mut it = Self::default();
        let Expect {
            causes,
            intermittent,
            ..
        } = &scenario.expect;
        it.intermittent = *intermittent;
        for cause in causes {
            match &cause.rate {
                Some(rate) => it.rates.extend(rate.host.clone()),
                None => it.add(&cause.when.clone().unwrap_or_default(), scenario),
            }
        }
        it
    }

    fn add(&mut self, when: &When, scenario: &Scenario) {
        let cells = when.cells(&scenario.universe).into_iter().enumerate();
        self.cells
            .extend(cells.filter(|(_, hit)| *hit).map(|(number, _)| number));
    }

    /// Whether both blame the same, of the same nature.
    pub(crate) fn agrees(&self, replay: &Self) -> bool {
        (&self.cells, &self.rates) == (&replay.cells, &replay.rates)
            && self.intermittent == replay.intermittent
            // Of a pair of factors `replay` writes the first only.
            && replay.natures.is_subset(&self.natures)
    }
}

/// The natures of the levels that must come together; of no level it is the target's own.
fn natures(levels: &[Level]) -> Vec<&'static str> {
    let mut natures: Vec<&str> = levels
        .iter()
        .filter_map(|level| match level {
            Level::Client(_) | Level::Family { .. } | Level::Stack { .. } => Some("client"),
            Level::Egress(_) | Level::Region { .. } | Level::IpFamily { .. } => Some("network"),
            Level::Credential(_) => Some("credential"),
            Level::Http { .. } => Some("protocol"),
            Level::AllBut { factor, .. } => Some(match factor {
                Factor::Egress => "network",
                Factor::Credential => "credential",
                _ => "client",
            }),
            Level::Probe(_) | Level::Method { .. } | Level::Path { .. } | Level::Host { .. } => {
                None
            }
        })
        .collect();
    if natures.is_empty() {
        natures.push("target");
    }
    natures
}

/// The names of cells, for who reads that a test failed.
pub(crate) fn names(plan: &Planned, cells: &BTreeSet<usize>) -> Vec<String> {
    cells
        .iter()
        .map(|cell| plan.cells[*cell].to_string())
        .collect()
}

/// Causes of incidents, for the same.
pub(crate) fn causes<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<String> {
    incidents
        .map(|incident| {
            let diagnosis = &incident.diagnosis;
            format!(
                "INC-{} {:?}: {:?} ({:.3}); {:?}",
                incident.number,
                incident.subject,
                diagnosis.cause,
                diagnosis.confidence,
                diagnosis.would_tell
            )
        })
        .collect()
}
