//! What to do next: whom to ask for what, or which request or configuration would tell more.

use super::headline::quoted;
use super::reasons::is_of_the_network;
use super::story::Story;
use crate::domain::cell::{EgressName, http_name};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::head::Part;
use crate::domain::incident::Subject;
use crate::domain::observation::FailureKind;
use crate::domain::share;
use crate::domain::subject::NATS;
use crate::domain::verdict::{Kind, Verdict, WhoActs};
use crate::words::evidence::cut;
use crate::words::terms;

impl Story<'_> {
    pub(super) fn next_step(&self) -> Option<String> {
        let diagnosis = &self.incident.diagnosis;
        if self.incident.kind == Kind::Warning {
            return Some(self.in_time());
        }
        if let Subject::Site(name) = &self.incident.subject {
            return Some(match name.as_str() {
                NATS => {
                    "Look after nats-server (`edgewatch sites` says what is in the way)".to_owned()
                }
                site => format!(
                    "Look on its host whether the agent runs; `edgewatch agent --site {site} --check` there says what is in its way"
                ),
            });
        }
        if let Cause::OurClients { clients } = &diagnosis.cause
            && !self.own_limit()
            && let [first, ..] = clients.as_slice()
        {
            return Some(if self.runs_programs(clients) {
                format!(
                    "Mend the program of client {}: `edgewatch client {first}` runs it against a server of its own and says what is wrong",
                    quoted(clients)
                )
            } else {
                format!(
                    "Mend client {} in the file: its requests don't leave us, others do",
                    quoted(clients)
                )
            });
        }
        if self.our_network() && !self.own_limit() {
            return Some(format!(
                "Check our own side at egress {}: address, route, proxy, firewall, name servers",
                quoted(&self.our_egresses())
            ));
        }
        let step = self.stack_step().filter(|_| self.door().is_none());
        let step = step.or_else(|| self.header_step());
        let step = step.or_else(|| self.path_step());
        let step = step.or_else(|| self.filter_step());
        if let Some(step) = step.or_else(|| self.greeting_step()) {
            return Some(step);
        }
        let tell = diagnosis
            .would_tell
            .clone()
            .or_else(|| self.bisect().filter(|_| self.named()))
            .map(|tell| format!("Would tell: {tell}"));
        if !self.named() {
            return tell;
        }
        let step = self.door_step().unwrap_or_else(|| self.step());
        Some(match tell {
            Some(tell) => format!("{step}. {tell}"),
            None => step,
        })
    }

    /// Whom to ask before it turns anybody away.
    fn in_time(&self) -> String {
        let partner = self.partner();
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        if verdict.is_some_and(Verdict::warns_of_path) {
            return format!(
                "Look which clients trust no other root, and give them a newer trust store before it ends; {partner} can help by sending a chain to another root"
            );
        }
        if verdict.is_some_and(Verdict::warns_of_certificate) {
            return format!(
                "Ask {partner} to renew the certificate before it runs out; until then everything works"
            );
        }
        format!(
            "Ask {partner} why answers take so long, or allow more (`expect: {{ latency: … }}`)"
        )
    }

    fn step(&self) -> String {
        let partner = self.partner();
        let kind = self.incident.kind;
        let reference = self.give_reference();
        let wait = self.specimen.and_then(|s| s.verdict.retry_after);
        let wait = wait.map_or_else(String::new, |wait| match wait.as_secs() {
            seconds if seconds < 900 => format!(" (the answer asks to wait {seconds} s)"),
            seconds => format!(
                " (the answer names its end, in {} h; no run with this account is made before)",
                (seconds as f64 / 3600.0 * 10.0).round() / 10.0
            ),
        });
        let cause = &self.incident.diagnosis.cause;
        if let Some(vendor) = self.vendor_at_fault() {
            return format!(
                "Wait, and look at {vendor}'s status page: {partner} can't mend it, only {vendor} can{reference}"
            );
        }
        if kind == Kind::LocalError && self.own_limit() {
            return "Raise the limit that the evidence names, or ask with a client that hasn't got it".to_owned();
        }
        if kind == Kind::LocalError {
            return "Check our own side first: these requests don't leave it".to_owned();
        }
        if let Cause::OwnRate {
            per_minute,
            by_egress,
        } = cause
        {
            let counted = if *by_egress { " from one egress" } else { "" };
            return format!(
                "Ask less often than {per_minute} times a minute{counted}: raise `every:` of the probes or lower `requests_per_minute` under `politeness:`; ask {partner} what their limit is{wait}"
            );
        }
        if kind == Kind::Unexpected && self.watched().is_some() {
            return format!("Check with {partner} whether what was watched changed on purpose");
        }
        if let Cause::Pop(name) = cause {
            return format!(
                "Report it to {partner}: what {} answers fails, and we can't choose who answers{reference}",
                self.pop(name)
            );
        }
        if let Some(step) = self.about_those().filter(|_| self.blamed().is_empty()) {
            return step;
        }
        if kind == Kind::RateLimited {
            let whose = match self.blamed() {
                [] => String::new(),
                levels => format!(" for {}", self.whom(levels)),
            };
            if let [Level::Stack { .. }] = self.blamed() {
                return format!(
                    "Ask {partner} whether the limit counts everybody who has this TLS fingerprint together{reference}: then others use it up, and fewer requests of ours don't help{wait}"
                );
            }
            return format!("Send fewer requests{wait}; ask {partner} for their limit{whose}");
        }
        if let Cause::AnyOf(causes) = cause {
            let each: Vec<String> = causes
                .iter()
                .map(|cause| self.whom(cause.levels()))
                .collect();
            let each = terms::list(&each, "and");
            return if kind.is_refusal() {
                format!("Ask {partner} to allow {each}{}{reference}", self.at_edge())
            } else {
                format!("Report it to {partner}: only {each} are affected{reference}")
            };
        }
        match self.blamed() {
            [] => {
                let host = self.hosts().0;
                let what = match self.fails() {
                    Some(fails) => share::of(fails, &format!("requests to {host} fail")),
                    None => format!("every request to {host} is affected"),
                };
                format!("Report it to {partner}: {what}{reference}")
            }
            [Level::Credential(name)] if kind.is_refusal() => format!(
                "Check the account behind credential `{name}` (expired, locked, changed?), then ask {partner}{reference}"
            ),
            [Level::Egress(_) | Level::Region { .. }] if kind == Kind::DnsError => format!(
                "Check the name servers that {} uses; others resolve the name",
                terms::level(&self.blamed()[0])
            ),
            [Level::IpFamily { name, .. }] => format!(
                "Ask {partner} whether {} are meant to get through{}{reference}; meanwhile {} works (`family:` under `egresses:`)",
                self.whom(self.blamed()),
                self.at_edge(),
                terms::other_ip_family(name)
            ),
            [Level::Http { version, .. }] => format!(
                "Ask {partner} whether {} is meant to work{}{reference}; meanwhile another version works (`http:` under `clients:`)",
                http_name(version),
                self.at_edge()
            ),
            levels if kind.is_refusal() => format!(
                "Ask {partner} to allow {}{}{reference}",
                self.whom(levels),
                self.at_edge()
            ),
            [Level::Client(_) | Level::Family { .. }] if self.is_about_http() => format!(
                "Ask {partner} whether the HTTP version that {} insists on is meant to work; meanwhile another one works (`http:` under `clients:`)",
                terms::level(&self.blamed()[0])
            ),
            [Level::Client(_) | Level::Family { .. }] if kind == Kind::TlsError => format!(
                "Compare the TLS versions that {} and the others offer (`tls:` under `clients:`), then ask {partner} which they accept",
                terms::level(&self.blamed()[0])
            ),
            levels if is_dropped(kind, levels) => format!(
                "Ask {partner} whether they drop {}{reference}",
                self.whom(levels)
            ),
            levels => format!(
                "Report it to {partner}: only {} {} affected{reference}",
                affected(levels),
                if matches!(
                    levels,
                    [Level::Egress(_) | Level::Client(_) | Level::Credential(_)]
                ) {
                    "is"
                } else {
                    "are"
                }
            ),
        }
    }

    /// Whether the handshake itself says that it is the HTTP version.
    fn is_about_http(&self) -> bool {
        let code = self.specimen.and_then(|run| run.verdict.code.as_deref());
        self.incident.kind == Kind::TlsError && code == Some(FailureKind::HttpVersion.as_str())
    }

    /// Whom the partner is asked to let through, as they can find it: user agents and addresses.
    pub(super) fn whom(&self, levels: &[Level]) -> String {
        let parts: Vec<String> = levels.iter().map(|level| self.known_as(level)).collect();
        let whom = match parts.split_first() {
            Some((first, rest)) if !rest.is_empty() => {
                format!("{first} together with {}", terms::list(rest, "and"))
            }
            _ => parts.concat(),
        };
        match (self.incident.kind, levels) {
            // An agent is not dropped, but what it sends.
            (Kind::Timeout, [Level::Client(_) | Level::Family { .. }, ..])
                if !whom.starts_with("requests ") =>
            {
                format!("requests of {whom}")
            }
            _ => whom,
        }
    }

    fn known_as(&self, level: &Level) -> String {
        match level {
            Level::Client(name) => {
                let agent = self.plan.client(name).map(|c| c.user_agent.as_str());
                if let Some(parts) = self.by_its_parts(name) {
                    return parts;
                }
                match agent {
                    None | Some("") => format!("client `{name}`"),
                    Some(agent) => format!("the user agent `{}`", cut(agent, 80)),
                }
            }
            Level::Egress(name) => self.address(name),
            Level::Credential(name) => format!("the account behind credential `{name}`"),
            Level::Region { name, egresses } => {
                let addresses: Vec<String> = egresses
                    .iter()
                    .map(|egress| {
                        self.public(egress)
                            .unwrap_or_else(|| format!("egress `{egress}`"))
                    })
                    .collect();
                match addresses.as_slice() {
                    [] => format!("the addresses of region `{name}`"),
                    some => format!("{} (region `{name}`)", terms::list(some, "and")),
                }
            }
            Level::Family { name, .. } if self.several_parts().is_some() => {
                let parts = self.closest().map(|pair| pair.parts).unwrap_or_default();
                let others = parts.iter().filter(|part| **part != Part::UserAgent);
                let others: Vec<String> = others.map(Part::name).collect();
                format!(
                    "requests like those of the `{name}` clients (user agents that begin with `{name}`; they also differ from what passes in {})",
                    terms::list(&others, "and")
                )
            }
            Level::IpFamily { name, egresses } => {
                let each: Vec<String> = egresses.iter().map(|it| self.address(it)).collect();
                format!("requests over {name} from {}", terms::list(&each, "and"))
            }
            Level::Family { name, .. } => format!("user agents that begin with `{name}`"),
            // Our name of a probe tells them nothing.
            Level::Probe(name) => self.plan.probe(name).map_or_else(
                || terms::requests(level),
                |probe| {
                    format!(
                        "{} requests to {}{}",
                        probe.method,
                        probe.host(),
                        probe.url.path()
                    )
                },
            ),
            _ => terms::requests(level),
        }
    }

    fn address(&self, name: &EgressName) -> String {
        let known = self.public(name).or_else(|| {
            let specimen = self.specimen.filter(|s| s.cell.egress == *name);
            specimen.and_then(|s| s.public.clone())
        });
        known.map_or_else(
            || format!("the public address of egress `{name}`"),
            |address| format!("{address} (egress `{name}`)"),
        )
    }

    fn at_edge(&self) -> String {
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        match verdict {
            Some(verdict) if verdict.who_acts != WhoActs::Visitor => {
                terms::edge(verdict).map_or_else(String::new, |edge| format!(" at {edge}"))
            }
            _ => String::new(),
        }
    }

    /// The edge that failed by itself, in front of one partner or of several.
    fn vendor_at_fault(&self) -> Option<String> {
        let verdict = &self.specimen?.verdict;
        let of_one = || terms::vendor(verdict.own_fault()?);
        self.failing_vendor().or_else(of_one)
    }

    pub(super) fn give_reference(&self) -> String {
        // The one of the run that stands in the evidence, so that the partner looks up what they are shown. Where that has
        // none, another would be of a failure of another kind.
        let shown = match &self.incident.failing {
            Some(run) => run.verdict.reference_id.as_ref(),
            None => self.incident.reference_ids.last(),
        };
        let Some(id) = shown else {
            return String::new();
        };
        let vendor = self
            .specimen
            .map_or("", |specimen| &*specimen.verdict.vendor);
        format!(
            "; give them {} `{id}` and the time",
            terms::reference(vendor)
        )
    }
}

/// Whether somebody in between could drop these without a word.
///
/// A firewall sees the address before anything is sent; the user agent only once the connection stands.
fn is_dropped(kind: Kind, levels: &[Level]) -> bool {
    is_of_the_network(kind)
        && levels.iter().all(|level| match level {
            Level::Egress(_) | Level::Region { .. } | Level::IpFamily { .. } => true,
            Level::Client(_) | Level::Family { .. } => kind == Kind::Timeout,
            _ => false,
        })
}

/// The requests of these levels; a single client, egress or credential by its name.
fn affected(levels: &[Level]) -> String {
    match levels {
        [one @ (Level::Egress(_) | Level::Client(_) | Level::Credential(_))] => terms::level(one),
        levels => {
            let mut parts = levels.iter();
            let first = parts.next().map(terms::requests).unwrap_or_default();
            parts.fold(first, |text, level| {
                format!("{text} {}", terms::having(level))
            })
        }
    }
}
