//! Every literal that is searched in bodies, in one list for one pass.

use std::sync::LazyLock;

use super::page::{Markers, Page, has, starts};
use super::table::{SERVERS, VENDORS};
use super::{Sign, gateway, origin};
use crate::domain::observation::Answer;

/// Literals that readers and the rules about origins and gates ask for beyond those of the table.
const EXTRA: &[&str] = &[
    // Cloudflare's pages, for the note about one that came from behind another front.
    "hcaptcha",
    // Articles and tickets, which quote.
    "<article",
    // SOAP faults.
    "faultcode",
    "fault>",
    "fault ",
    // Gates in place of the content (`soft`).
    "signed in",
    "sign in",
    "logged in",
    "log in",
    "login required",
    "session has expired",
    "session expired",
    "session has timed out",
    "authentication required",
    "type=\"password\"",
    "type='password'",
    "name=\"samlrequest\"",
    "name='samlrequest'",
    "login.microsoftonline.com",
    "consent.",
    "before you continue",
    "http-equiv=\"refresh\"",
    "http-equiv='refresh'",
    "http-equiv=refresh",
    "visitor system",
    "\"extensions\"",
    "<nav",
];

/// All literals, each once.
fn all() -> Vec<&'static str> {
    let signs = VENDORS.iter().copied().flatten().flat_map(|row| row.signs);
    let mut literals: Vec<&'static str> = signs
        .flat_map(Sign::literals)
        .chain(EXTRA)
        .copied()
        .chain(gateway::literals())
        .chain(origin::APPLICATION_PAGES.iter().map(|(marker, _)| *marker))
        .collect();
    literals.sort_unstable();
    literals.dedup();
    literals
}

static MARKERS: LazyLock<Markers> = LazyLock::new(|| Markers::of(&all(), is_edges));

/// Whether a `Server` value is an edge's or a filter's own name.
pub(crate) fn is_edges(server: &str) -> bool {
    server.is_empty()
        || origin::EDGE_SERVERS
            .iter()
            .chain(SERVERS.iter())
            .any(|edge| starts(server, edge))
        || origin::FILTERS.iter().any(|filter| has(server, filter))
}

/// The number of a literal.
pub(super) fn marker(literal: &str) -> Option<u16> {
    MARKERS.id(literal)
}

impl<'a> Page<'a> {
    /// The answer, looked through for every literal.
    pub(crate) fn new(answer: &'a Answer) -> Self {
        Self::of(answer, &MARKERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::MARKERS_MAX;

    #[test]
    fn a_page_can_hold_them_all() {
        assert!(all().len() <= MARKERS_MAX);
    }
}
