//! Whose TLS was judged: what a program as a client shows, and what stays open without one.
//!
//! The user agent is the client's, the TLS hello is that of rustls, unless a program makes the requests. An edge that
//! judges the hello may refuse edgewatch alone, or a program that edgewatch only speaks for. What pairs of both show is
//! in [`crate::domain::twins`]; only such a pair names the fingerprint.

use super::story::Story;
use crate::domain::cell::{Client, ClientName};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::observation::FailureKind;
use crate::domain::twins::{self, Shown};
use crate::domain::verdict::{Factor, Kind};
use crate::words::terms;

/// What two stacks show.
pub(super) enum Stacks<'a> {
    /// The programs are refused, and our own client passes with the user agent of one of them.
    Fingerprint {
        programs: Vec<&'a ClientName>,
        /// Of the refused requests, where it was noted.
        ja4: Option<&'a str>,
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
    /// Whether an edge refuses, or cuts the connection at the hello, which is how some do.
    fn is_edges(&self) -> bool {
        let at_the_hello = || {
            let code = self.specimen.and_then(|run| run.verdict.code.as_deref());
            let cuts = [
                FailureKind::Reset,
                FailureKind::Closed,
                FailureKind::Handshake,
            ];
            cuts.iter().any(|kind| code == Some(kind.as_str()))
        };
        let refused = match self.incident.kind {
            Kind::EdgeBlock | Kind::EdgeChallenge => true,
            Kind::TlsError => at_the_hello(),
            _ => false,
        };
        refused && !self.our_side()
    }

    /// Whether the requests have a hello at all.
    fn by_tls(&self) -> bool {
        self.probes.iter().any(|p| p.url.scheme() == "https")
    }

    /// What the pairs of twins show of the incident.
    pub(super) fn stacks(&self) -> Option<Stacks<'a>> {
        if !self.is_edges() || self.incident.diagnosis.fails.is_some() {
            return None;
        }
        let diagnosis = &self.incident.diagnosis;
        Some(
            match twins::shown(self.plan, &diagnosis.failing, &diagnosis.passing)? {
                Shown::StandIn { stand_in, program } => Stacks::StandIn {
                    own: stand_in,
                    program,
                },
                Shown::Monitor { program } => Stacks::OursAlone { program },
                // Where addresses or accounts matter too, the sentence names all of it.
                Shown::Program { program, stand_in } if self.by_tls() => {
                    let (programs, ja4) = match self.blamed() {
                        [Level::Stack { ja4, clients }] => {
                            (clients.iter().collect(), Some(ja4.as_str()))
                        }
                        [Level::Client(name)] => (vec![name], self.ja4_of(name)),
                        _ => return None,
                    };
                    Stacks::Fingerprint {
                        programs,
                        ja4,
                        program,
                        own: stand_in,
                    }
                }
                Shown::Program { .. } => return None,
            },
        )
    }

    /// The pair in a sentence, in place of what would blame a client.
    pub(super) fn stack_statement(&self) -> Option<String> {
        let at = self
            .edge()
            .map_or_else(String::new, |edge| format!(" at {edge}"));
        let cut = match self.incident.kind {
            Kind::TlsError => "; there is no answer: the connection is cut at the TLS hello",
            _ => "",
        };
        Some(match self.stacks()? {
            Stacks::Fingerprint { programs, ja4, .. } => {
                let several = programs.len() > 1;
                format!(
                    "{} refuses the TLS fingerprint{} of client{} {}{at}, not {}{cut}",
                    self.partner(),
                    quoted(ja4),
                    if several { "s" } else { "" },
                    names(&programs),
                    if several {
                        "their user agents"
                    } else {
                        "its user agent"
                    },
                )
            }
            Stacks::StandIn { own, program } => format!(
                "only edgewatch's stand-in `{}` is refused{at}; `{}` passes with the same user agent and its own TLS{cut}",
                own.name, program.name
            ),
            Stacks::OursAlone { program } => format!(
                "only edgewatch itself is refused{at}: every client over its own TLS fails, `{}` passes with another{cut}",
                program.name
            ),
        })
    }

    /// What to do about it.
    pub(super) fn stack_step(&self) -> Option<String> {
        Some(match self.stacks()? {
            Stacks::Fingerprint { ja4, .. } => format!(
                "Ask {} to allow the TLS fingerprint (JA4){} for these requests{}",
                self.partner(),
                quoted(ja4),
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

    /// JA4 of the refused request, where it was noted.
    fn ja4_of(&self, client: &ClientName) -> Option<&'a str> {
        let run = self.specimen.filter(|run| run.cell.client == *client)?;
        run.sent.as_ref()?.fingerprint()
    }

    /// A sentence on the pair that shows it, or wherever a rule on the TLS fingerprint would look just like this.
    pub(super) fn over_our_tls(&self) -> Option<String> {
        match self.stacks() {
            Some(Stacks::Fingerprint { program, own, .. }) => {
                return Some(format!(
                    "`{}` sends the same user agent over edgewatch's own TLS and passes from the same address, {} does not; \
                     `edgewatch client {} {}` shows whether their headers differ too",
                    own.name,
                    terms::level(&Level::Client(program.name.clone())),
                    program.name,
                    own.name
                ));
            }
            Some(Stacks::StandIn { own, program }) => {
                return Some(format!(
                    "`{}` sends what `{}` sends, over edgewatch's own TLS and perhaps with its headers in another order",
                    own.name, program.name
                ));
            }
            Some(Stacks::OursAlone { .. }) => return None,
            None => {}
        }
        if !self.by_tls() || !self.is_edges() {
            return None;
        }
        let diagnosis = &self.incident.diagnosis;
        let of_program =
            |name: &ClientName| self.plan.client(name).is_some_and(|c| c.program.is_some());
        // A program that is refused too shows that it is not edgewatch's TLS alone.
        if diagnosis
            .failing
            .iter()
            .any(|cell| of_program(&cell.client))
        {
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
        let everybody = matches!(diagnosis.cause, Cause::Everything | Cause::Unknown { .. })
            && diagnosis.passing.is_empty();
        everybody.then(|| {
            "every request here has rustls, edgewatch's own TLS: perhaps edgewatch alone is refused; the same request \
             by curl on this host would tell"
                .to_owned()
        })
    }
}

/// A fingerprint with a blank before it.
fn quoted(ja4: Option<&str>) -> String {
    ja4.map_or_else(String::new, |ja4| format!(" `{ja4}`"))
}

fn names(clients: &[&ClientName]) -> String {
    let names: Vec<String> = clients.iter().map(|name| format!("`{name}`")).collect();
    terms::list(&names, "and")
}
