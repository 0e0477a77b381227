//! Whose TLS was judged: what a program as a client shows, and what stays open without one.
//!
//! The user agent is the client's, the TLS hello is that of rustls, unless a program makes the requests. An edge that
//! judges the hello may refuse edgewatch alone, or a program that edgewatch only speaks for. Two clients of one user
//! agent, one of them a program, differ in that alone: only such a pair names the fingerprint.

use super::story::Story;
use crate::domain::cell::{CellKey, Client};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::verdict::{Factor, Kind};
use crate::words::terms;

/// What two stacks show.
pub(super) enum Stacks<'a> {
    /// The program is refused, and our own client passes with its user agent.
    Fingerprint {
        program: &'a Client,
        own: &'a Client,
    },
    /// Our own client is refused, and the program that it stands for passes.
    StandIn {
        own: &'a Client,
        program: &'a Client,
    },
    /// All of our own are refused, and a program passes.
    OursAlone { program: &'a Client },
}

impl<'a> Story<'a> {
    fn is_edges(&self) -> bool {
        matches!(self.incident.kind, Kind::EdgeBlock | Kind::EdgeChallenge) && !self.our_side()
    }

    /// The pair that tells the stack from the user agent.
    pub(super) fn stacks(&self) -> Option<Stacks<'a>> {
        if !self.is_edges() {
            return None;
        }
        let (plan, diagnosis) = (self.plan, &self.incident.diagnosis);
        let client = |cell: &CellKey| plan.client(&cell.client);
        let is_program = |cell: &&CellKey| client(cell).is_some_and(|c| c.program.is_some());
        let beside = |bad: &CellKey, good: &CellKey| {
            bad.probe == good.probe
                && bad.egress == good.egress
                && bad.credential == good.credential
        };
        let passes_beside = |bad: &CellKey, wanted: &dyn Fn(&Client) -> bool| {
            let mut passing = diagnosis.passing.iter();
            let good =
                passing.find(|good| beside(bad, good) && client(good).is_some_and(wanted))?;
            plan.client(&good.client)
        };
        if let [Level::Client(name)] = self.blamed() {
            let blamed = plan.client(name)?;
            let mut own_cells = diagnosis.failing.iter().filter(|cell| cell.client == *name);
            let other = own_cells.find_map(|bad| {
                passes_beside(bad, &|other: &Client| {
                    other.user_agent == blamed.user_agent
                        && !other.user_agent.is_empty()
                        && other.program.is_some() != blamed.program.is_some()
                })
            });
            if let Some(other) = other {
                return Some(match blamed.program {
                    Some(_) => Stacks::Fingerprint {
                        program: blamed,
                        own: other,
                    },
                    None => Stacks::StandIn {
                        own: blamed,
                        program: other,
                    },
                });
            }
        }
        // All that fails is ours, all that passes there is not: the clients have that in common.
        let failing: Vec<&CellKey> = diagnosis.failing.iter().collect();
        let mut names: Vec<_> = failing.iter().map(|cell| &cell.client).collect();
        names.sort();
        names.dedup();
        let at_these = |cell: &&CellKey| failing.iter().any(|bad| beside(bad, cell));
        let mut passing = diagnosis.passing.iter().filter(at_these).peekable();
        let first = *passing.peek()?;
        let alone = names.len() > 1
            && !failing.iter().any(is_program)
            && passing.all(|cell| is_program(&cell));
        let program = plan.client(&first.client).filter(|_| alone)?;
        Some(Stacks::OursAlone { program })
    }

    /// The pair in a sentence, in place of what would blame a client.
    pub(super) fn stack_statement(&self) -> Option<String> {
        let at = self
            .edge()
            .map_or_else(String::new, |edge| format!(" at {edge}"));
        Some(match self.stacks()? {
            Stacks::Fingerprint { program, .. } => {
                let ja4 = self.fingerprint(program);
                format!(
                    "{} refuses the TLS fingerprint{ja4} of client `{}`{at}, not its user agent",
                    self.partner(),
                    program.name
                )
            }
            Stacks::StandIn { own, program } => format!(
                "only edgewatch's stand-in `{}` is refused{at}; `{}` passes with the same user agent and its own TLS",
                own.name, program.name
            ),
            Stacks::OursAlone { program } => format!(
                "only edgewatch itself is refused{at}: every client over its own TLS fails, `{}` passes with another",
                program.name
            ),
        })
    }

    /// What to do about it.
    pub(super) fn stack_step(&self) -> Option<String> {
        Some(match self.stacks()? {
            Stacks::Fingerprint { program, .. } => format!(
                "Ask {} to allow the TLS fingerprint (JA4){} for these requests{}",
                self.partner(),
                self.fingerprint(program),
                self.give_reference()
            ),
            Stacks::StandIn { own, program } => format!(
                "Ask nobody for anything: your systems pass. Trust `{}`; `edgewatch client {} {}` shows what differs",
                program.name, own.name, program.name
            ),
            Stacks::OursAlone { program } => format!(
                "Ask nobody for anything: trust only cells of programs such as `{}`, and let the others be programs too",
                program.name
            ),
        })
    }

    /// JA4 of the refused request, where it was noted, with a blank before it.
    fn fingerprint(&self, client: &Client) -> String {
        let run = self.specimen.filter(|run| run.cell.client == client.name);
        let ja4 = run.and_then(|run| run.sent.as_ref()?.ja4.as_ref());
        ja4.map_or_else(String::new, |ja4| format!(" `{ja4}`"))
    }

    /// A sentence wherever a rule on the TLS fingerprint would look just like this.
    pub(super) fn over_our_tls(&self) -> Option<String> {
        if let Some(Stacks::Fingerprint { program, own }) = self.stacks() {
            return Some(format!(
                "`{}` sends the same user agent over edgewatch's own TLS and passes from the same address, {} does not",
                own.name,
                terms::level(&Level::Client(program.name.clone()))
            ));
        }
        let by_tls = self.probes.iter().any(|p| p.url.scheme() == "https");
        let clients = self.probes.iter().flat_map(|probe| &probe.as_clients);
        let mut clients = clients.filter_map(|name| self.plan.client(name));
        // With a program among the clients the runs themselves show what its TLS makes of it.
        if !by_tls || !self.is_edges() || clients.any(|client| client.program.is_some()) {
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
