//! The diagnosis for those who run the service, not the computers: no codes, no names of hosts or vendors.

use super::reasons::is_of_the_network;
use super::story::Story;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::Subject;
use crate::domain::notification::Plain;
use crate::domain::share;
use crate::domain::verdict::{Factor, Kind};

/// Why, to whom was told a cause that is none any more: a message with less than the one before reads as if that had
/// never been said.
pub const IN_DOUBT: &str = "What we said before about the reason is in doubt now.";

impl Story<'_> {
    pub(super) fn plain(&self) -> Plain {
        if self.incident.kind == Kind::Warning {
            return Plain {
                see: Some("Nothing so far: it works".to_owned()),
                why: Some(format!(
                    "Something at {} needs care before it fails.",
                    self.partner()
                )),
            };
        }
        let comes = self.incident.comes_and_goes() && !self.our_side();
        let comes = comes.then(|| "It comes and goes; trying again later may help".to_owned());
        if !self.named() {
            return Plain {
                see: comes,
                why: None,
            };
        }
        Plain {
            see: comes.or_else(|| self.see()),
            why: Some(self.why()),
        }
    }

    /// What users meet, where that is something special.
    fn see(&self) -> Option<String> {
        if matches!(self.incident.subject, Subject::Site(_)) {
            return Some(
                "Nothing that we know of: it is our own checks that are not heard".to_owned(),
            );
        }
        if self.own_rate() {
            return Some(
                "Nothing that we know of: it is our own checks that are turned away".to_owned(),
            );
        }
        if self.our_network() && self.our_egresses().len() < self.plan.egresses.len() {
            return Some(
                "It may fail for some people and work for others: one of our internet connections is at fault".to_owned()
            );
        }
        let (_, _, others) = self.whom_it_hits();
        if others && self.is_about_us() && self.fails().is_none() {
            return Some("It may fail for some people and work for others".to_owned());
        }
        let fails = self.fails()?;
        Some(format!(
            "It fails {}; trying again may help",
            share::of_the_time(fails)
        ))
    }

    /// One sentence; in the past when it is over.
    fn why(&self) -> String {
        let past = self.resolved();
        let verb = |now: &'static str, then: &'static str| if past { then } else { now };
        let partner = self.partner();
        if matches!(self.incident.subject, Subject::Site(_)) {
            let does = verb("does", "did");
            return format!("One of our own checks at another place {does} not report to us.");
        }
        if self.our_network() {
            let is = verb("is", "was");
            let service = &self.plan.service;
            return format!("The fault {is} in our own network, not at {service}.");
        }
        if self.own_rate() {
            return format!(
                "Our own checks {} {partner} too often, and some of them {}.",
                verb("ask", "asked"),
                if self.incident.kind.is_refusal() {
                    verb("are turned away", "were turned away")
                } else {
                    verb("fail", "failed")
                }
            );
        }
        if let Some(door) = self.door() {
            let caller = first_upper(door.caller());
            let does = if self.incident.kind.is_refusal() {
                verb("turns away", "turned away")
            } else {
                verb("does not answer", "did not answer")
            };
            return format!(
                "{caller} {} reach us: our own front door {does} such calls. The fault {} with us.",
                verb("can't", "could not"),
                verb("is", "was")
            );
        }
        if self.failing_vendor().is_some() {
            let is = verb("is", "was");
            return format!(
                "The fault {is} at a company that passes our requests on to {partner}, not at them and not with us."
            );
        }
        let kind = self.incident.kind;
        if self.filter().is_some() {
            let can = verb("can't reach", "could not reach");
            let seems = verb("seems", "seemed");
            return format!(
                "One of our internet connections {can} {partner}: a filter of our own {seems} not to know their new addresses. The others can."
            );
        }
        if self.ended_path().is_some() {
            let can = verb("can no longer check", "could no longer check");
            let whom = first_upper(&self.whom_it_hits().0);
            return format!(
                "{whom} {can} who {partner} is: the list of those whom it trusts is too old. The others can."
            );
        }
        if kind == Kind::LocalError {
            let are = verb("are", "were");
            return format!(
                "Some of our requests {are} not even sent: the fault is on our own side."
            );
        }
        let sometimes = match self.fails() {
            Some(fails) => format!(" {}", share::of_the_time(fails)),
            None => String::new(),
        };
        let is = verb("is", "was");
        let (whom, when, rest) = self.whom_it_hits();
        let rest = |others: &str| {
            if rest {
                format!("; {others}")
            } else {
                String::new()
            }
        };
        if kind.is_refusal() {
            let who = if kind.is_edge_refusal() {
                format!("A security system in front of {partner}")
            } else {
                partner
            };
            let turns = verb("turns away", "turned away");
            let through = verb("the others get through", "the others got through");
            return format!("{who} {turns} {whom}{when}{sometimes}{}.", rest(through));
        }
        let answered = verb("the others get an answer", "the others got an answer");
        if is_of_the_network(kind) && self.is_about_us() {
            let did = verb("can't reach", "could not reach");
            return format!(
                "{} {did} {partner}{when}{sometimes}{}.",
                first_upper(&whom),
                rest(answered)
            );
        }
        if self.is_about_us() {
            let does = verb("does not work", "did not work");
            return format!(
                "{partner} {does} for {whom}{when}{sometimes}{}.",
                rest(answered)
            );
        }
        if kind == Kind::Unexpected {
            let other = verb("answers", "answered");
            return format!("{partner} {other} in another way than before{sometimes}.");
        }
        match &self.incident.diagnosis.cause {
            Cause::Pop(_) => format!(
                "One of the places that answer for {partner} {} a fault; which place answers is chance.",
                verb("has", "had")
            ),
            _ => format!("The fault {is} at {partner}, not with us."),
        }
    }

    /// Whether it hangs on who of us asks, not on what is asked.
    fn is_about_us(&self) -> bool {
        !self.blamed().is_empty()
            && !self.blamed().iter().any(|level| {
                matches!(
                    level,
                    Level::Probe(_)
                        | Level::Method { .. }
                        | Level::Path { .. }
                        | Level::Host { .. }
                )
            })
    }

    /// Whether something that the cause does not hit was seen to pass; where nobody else asks, nobody gets through.
    fn others_pass(&self) -> bool {
        let diagnosis = &self.incident.diagnosis;
        let mut passing = diagnosis.passing.iter();
        passing.any(|cell| diagnosis.cause.covers(cell) != Some(true))
    }

    /// Who or what of ours is hit, under which condition, and whether the rest is known to be well.
    fn whom_it_hits(&self) -> (String, String, bool) {
        let one = |level: &Level| match level {
            Level::Client(_) => "one of our programs",
            Level::Stack { clients, .. } if clients.len() == 1 => "one of our programs",
            Level::Family { .. } | Level::Http { .. } | Level::Stack { .. } => {
                "some of our programs"
            }
            Level::AllBut { factor, .. } => match factor {
                Factor::Egress => "all but one of our internet connections",
                Factor::Credential => "all but one of our accounts",
                _ => "all but one of our programs",
            },
            Level::Egress(_) => "one of our internet connections",
            Level::IpFamily { egresses, .. } if egresses.len() == 1 => {
                "one of our internet connections"
            }
            Level::Region { .. } | Level::IpFamily { .. } => "some of our internet connections",
            Level::Credential(_) => "one of our accounts",
            Level::Host { .. } => "our requests to one of its systems",
            Level::Probe(_) | Level::Method { .. } | Level::Path { .. } => "one kind of request",
        };
        let past = self.resolved();
        let verb = |now: &'static str, then: &'static str| if past { then } else { now };
        match &self.incident.diagnosis.cause {
            Cause::Level(level) => (one(level).to_owned(), String::new(), self.others_pass()),
            Cause::Together(levels) => {
                let mut names: Vec<&str> = levels.iter().map(one).collect();
                // Programs act; accounts and connections are what they act with.
                names.sort_by_key(|name| !name.contains("program"));
                let whom = names.remove(0).to_owned();
                let when = match names.join(" and ") {
                    rest if whom.starts_with("one of our programs") => {
                        format!(" when it {} {rest}", verb("uses", "used"))
                    }
                    rest if whom.contains("programs") => {
                        format!(" when they {} {rest}", verb("use", "used"))
                    }
                    rest => format!(" together with {rest}"),
                };
                (whom, when, self.others_pass())
            }
            Cause::Pop(_) => {
                let whom = "requests that one of its places answers".to_owned();
                (whom, String::new(), self.others_pass())
            }
            _ => ("our requests".to_owned(), String::new(), false),
        }
    }
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().collect::<String>() + letters.as_str(),
        None => String::new(),
    }
}
