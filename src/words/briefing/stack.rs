//! What stays open because edgewatch asks with a TLS of its own.
//!
//! The user agent is the client's, the TLS hello is that of rustls. An edge that judges the hello may refuse
//! edgewatch alone, or a program that edgewatch only speaks for: neither is ruled out by any pair of its own runs.

use super::story::Story;
use crate::domain::diagnosis::Cause;
use crate::domain::verdict::{Factor, Kind};

impl Story<'_> {
    /// A sentence wherever a rule on the TLS fingerprint would look just like this.
    pub(super) fn over_our_tls(&self) -> Option<String> {
        let by_tls = self.probes.iter().any(|p| p.url.scheme() == "https");
        let edge = matches!(self.incident.kind, Kind::EdgeBlock | Kind::EdgeChallenge);
        if !by_tls || !edge || self.our_side() {
            return None;
        }
        let of_client = |factor: Factor| factor.dimension() == Factor::Client;
        let blamed = self.blamed();
        if blamed.iter().any(|level| of_client(level.factor())) {
            return Some(
                "judged over rustls, edgewatch's own TLS: a rule on the TLS fingerprint would look the same, or go \
                 unseen; the real program on this host would tell"
                    .to_owned(),
            );
        }
        let everybody = matches!(
            self.incident.diagnosis.cause,
            Cause::Everything | Cause::Unknown { .. }
        ) && self.incident.diagnosis.passing.is_empty();
        everybody.then(|| {
            "every request here has rustls, edgewatch's own TLS: perhaps edgewatch alone is refused; the same request \
             by curl on this host would tell"
                .to_owned()
        })
    }
}
