//! A door of our own that turns people away: it is we who act, and those who call us are the affected ones.

use super::story::Story;
use crate::domain::diagnosis::Level;
use crate::domain::plan::Door;
use crate::words::terms;

impl Story<'_> {
    /// The door of ours that all of it is about.
    pub(super) fn door(&self) -> Option<Door> {
        self.plan.door(&self.incident.probes)
    }

    /// Who passes at our door where another is turned away: asked plainly it looks healthy.
    pub(super) fn passes_at_our_door(&self) -> Option<String> {
        self.door()?;
        let [Level::Client(name)] = self.blamed() else {
            return None;
        };
        let pair = self.closest().filter(|pair| pair.failing.client == *name)?;
        Some(format!("; `{}` passes", pair.passing.client))
    }

    /// What we do about it.
    pub(super) fn door_step(&self) -> Option<String> {
        let door = self.door()?;
        let edge = self
            .edge()
            .map_or_else(String::new, |edge| format!(" at {edge}"));
        let reaches = format!("{} can't reach us until then", door.caller());
        let id = self.incident.reference_ids.last();
        let id = id.map_or_else(String::new, |id| {
            let vendor = self.specimen.map_or("", |run| &*run.verdict.vendor);
            format!(" (look up {} `{id}`)", terms::reference(vendor))
        });
        Some(if self.incident.kind.is_refusal() {
            let whom = match self.blamed() {
                [] => "these requests".to_owned(),
                levels => self.whom(levels),
            };
            format!("Allow {whom} ourselves{edge}{id}: nobody else can, and {reaches}")
        } else {
            format!("Mend our own door {}{id}: {reaches}", door.host)
        })
    }
}
