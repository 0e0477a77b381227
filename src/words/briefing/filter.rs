//! A filter of our own that lists addresses, and does not know the new ones of a partner.
//!
//! Connections from one egress fail, to addresses that are none of those by which it got through before; others get
//! through to these very addresses. That is how an outgoing filter looks that was not told, and nothing at the partner's
//! looks so: whoever allows us does it by our address, which is the same as before.

use super::story::Story;
use crate::domain::cell::EgressName;
use crate::domain::ways::ReachedAddress;
use crate::words::terms;

/// Addresses that a sentence names.
const NAMED_MAX: usize = 4;

/// What shows it.
pub(super) struct Filter<'a> {
    egress: &'a EgressName,
    /// Those that fail, and the former ones.
    new: &'a [String],
    old: &'a [ReachedAddress],
}

impl<'a> Story<'a> {
    /// The egress whose filter it may be.
    pub(super) fn filter(&self) -> Option<Filter<'a>> {
        let (run, way) = self.incident.our_filter()?;
        self.specimen?;
        Some(Filter {
            egress: &run.cell.egress,
            new: &run.resolved,
            old: &way.addresses,
        })
    }

    /// That it looks so.
    pub(super) fn filter_statement(&self) -> Option<String> {
        let Filter { egress, new, old } = self.filter()?;
        let (host, _) = self.hosts();
        let last = old.iter().map(|old| old.last_at).max()?;
        let last = last.to_zoned(self.plan.zone.clone());
        Some(format!(
            "from egress `{egress}` nothing reaches the new addresses of {host} ({}), others get through to them: it looks like a filter on our side that lists addresses. Before ({}) it reached {}",
            named(new.iter().cloned()),
            last.strftime("last known on %-d %b"),
            named(old.iter().rev().map(|old| old.address.to_string()))
        ))
    }

    /// Who does what.
    pub(super) fn filter_step(&self) -> Option<String> {
        let Filter { egress, new, old } = self.filter()?;
        let former = old.last()?.address;
        Some(format!(
            "Let whoever keeps the outgoing list of egress `{egress}` add {}; {} is asked for nothing. Would tell: whether a former address ({former}) still accepts a connection from there",
            named(new.iter().cloned()),
            self.partner()
        ))
    }
}

fn named(addresses: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = addresses.collect();
    let mut shown: Vec<String> = all.iter().take(NAMED_MAX).cloned().collect();
    if all.len() > NAMED_MAX {
        shown.push(format!("{} more", all.len() - NAMED_MAX));
    }
    terms::list(&shown, "and")
}
