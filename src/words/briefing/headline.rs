//! The diagnosis in one sentence: what happens to which requests, where, and how far it reaches.

use std::time::Duration;

use super::story::Story;
use std::fmt::Display;

use crate::domain::cell::{ClientName, EgressName};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::failing;
use crate::domain::incident::Subject;
use crate::domain::moment::later;
use crate::domain::share;
use crate::domain::subject::NATS;
use crate::domain::verdict::{Factor, Kind, Maker, Rule};
use crate::words::pattern::pattern;
use crate::words::terms;

impl Story<'_> {
    pub(super) fn headline(&self) -> String {
        capital(&self.statement())
    }

    /// The headline as it stands within another sentence.
    pub(super) fn statement(&self) -> String {
        if let Some(silent) = self.silent() {
            return silent;
        }
        if self.our_network() {
            return self.network();
        }
        if self.incident.kind == Kind::Warning {
            return self.works_but();
        }
        if let Some(vendor) = self.failing_vendor() {
            let (partners, detail) = (self.partner(), self.detail());
            return format!(
                "{vendor} itself fails in front of {partners}{detail}; their own servers are not at fault"
            );
        }
        let cause = &self.incident.diagnosis.cause;
        if let (
            Cause::OwnRate {
                per_minute,
                by_egress,
            },
            true,
        ) = (cause, self.named())
        {
            return self.too_often(*per_minute, *by_egress);
        }
        if let Some(stack) = self.stack_statement() {
            return stack;
        }
        let said = self.header_statement().or_else(|| self.path_statement());
        let said = said.or_else(|| self.filter_statement());
        if let Some(said) = said.or_else(|| self.greeting_statement()) {
            return said;
        }
        let happens = self.happens_to(self.hit().as_deref());
        if self.named() {
            let breadth = self.breadth();
            let passes = self.passes_at_our_door().unwrap_or_default();
            let those = self.those();
            return format!("{happens}{those}{breadth}{}{passes}", self.others());
        }
        let open = match cause {
            Cause::Unknown { among } if self.guesses() => self.open_question(among),
            _ => "; the cause is not certain yet".to_owned(),
        };
        format!("{happens}{}{open}", self.those())
    }

    /// "api.example works, but its certificate is valid for 5 more days, wanted 21".
    fn works_but(&self) -> String {
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        let but = match verdict.and_then(|v| Some((v.warning()?, v.warns_of_certificate()))) {
            Some((said, true)) => {
                format!("its {said}", said = said.replacen(" valid", " is valid", 1))
            }
            Some((said, false)) => said.to_owned(),
            None => "not as well as it should".to_owned(),
        };
        format!("{} works, but {but}", self.hosts().0)
    }

    /// Which requests are hit; `None`: every one.
    pub(super) fn hit(&self) -> Option<String> {
        if !self.named() {
            return Some(self.some_cells());
        }
        if let Some(fails) = self.fails() {
            return Some(share::of(fails, &self.requests()));
        }
        if self.incident.kind == Kind::LocalError {
            return Some(self.requests()).filter(|requests| requests != "requests");
        }
        match &self.incident.diagnosis.cause {
            Cause::Level(level) => Some(self.one(level)),
            Cause::Together(levels) => {
                let (first, rest) = levels.split_first()?;
                let rest: Vec<String> = rest
                    .iter()
                    .map(|level| format!("{}{}", terms::level(level), self.aside(level)))
                    .collect();
                let rest = terms::list(&rest, "and");
                Some(format!("{} together with {rest}", self.one(first)))
            }
            Cause::AnyOf(causes) => {
                let each: Vec<String> = causes
                    .iter()
                    .filter_map(|cause| Some(self.one(cause.levels().first()?)))
                    .collect();
                Some(terms::list(&each, "and"))
            }
            // "Every request is refused" would be untrue of those that fail in another way.
            Cause::Everything if self.kinds().len() > 1 => Some(self.some_cells()),
            Cause::Pop(_) => Some(self.requests()),
            _ => None,
        }
    }

    /// A level on its own: the client or the family as such, or the requests that have it.
    fn one(&self, level: &Level) -> String {
        let aside = self.aside(level);
        match level {
            Level::Client(_) => format!("{}{aside}", terms::level(level)),
            Level::AllBut {
                factor: Factor::Client,
                ..
            } => terms::level(level),
            Level::Family { name, .. } => format!("every `{name}` client{aside}"),
            Level::Region { name, .. } => {
                format!("requests from every egress in region `{name}`{aside}")
            }
            Level::IpFamily { name, .. } => format!("requests over {name} only{aside}"),
            Level::Host { name, .. } => format!("every request to {name}"),
            _ => format!("{}{aside}", terms::requests(level)),
        }
    }

    /// The requests of the cause as a plural, however many levels it has.
    fn requests(&self) -> String {
        if let Cause::Pop(name) = &self.incident.diagnosis.cause {
            return format!("requests that {} answers", self.pop(name));
        }
        let mut text = "requests".to_owned();
        let mut rest = String::new();
        for level in self.blamed() {
            if let Level::Method { name, .. } = level {
                text = format!("{name} requests");
            } else {
                rest = format!("{rest} {}{}", terms::having(level), self.aside(level));
            }
        }
        text + &rest
    }

    /// What fails too, but in another way than the sentence says.
    fn others(&self) -> String {
        let kinds = self.kinds();
        let other = kinds.get(1..).unwrap_or_default();
        let count: usize = other.iter().map(|(_, count)| count).sum();
        if count == 0 {
            return String::new();
        }
        let all: usize = kinds.iter().map(|(_, count)| count).sum();
        let how: Vec<String> = other
            .iter()
            .map(|(kind, _)| terms::kind(*kind).to_owned())
            .collect();
        let fail = if count == 1 { "fails" } else { "fail" };
        format!(
            "; {count} of the {all} failing cells {fail} in another way: {}",
            terms::list(&how, "or")
        )
    }

    /// What is still open, and between what.
    fn open_question(&self, among: &[Level]) -> String {
        let diagnosis = &self.incident.diagnosis;
        match among {
            [] => match pattern(&diagnosis.failing, &diagnosis.passing) {
                Some(pattern) => format!("; {pattern}"),
                None => "; no single cause fits yet".to_owned(),
            },
            [one] => format!(
                "; can't tell whether it is {} alone or everybody",
                terms::level(one)
            ),
            several => {
                let name = |level: &Level| match level {
                    Level::Host { name, .. } => format!("every request to {name}"),
                    level => terms::level(level),
                };
                let names: Vec<String> = several.iter().map(name).collect();
                format!(
                    "; can't tell yet whether it is {}",
                    terms::list(&names, "or")
                )
            }
        }
    }

    /// "GMC refuses … at Cloudflare (error 1010)"; `asked` is `None` when it is every request.
    fn happens_to(&self, asked: Option<&str>) -> String {
        let partner = self.partner();
        let (host, several) = self.hosts();
        let verb = |one: &'static str, many: &'static str| if several { many } else { one };
        let edge = self.edge();
        // A PoP says by its own name whose it is.
        let pop = matches!(self.incident.diagnosis.cause, Cause::Pop(_)) && self.named();
        let at = match &edge {
            Some(edge) if !pop => format!(" at {edge}"),
            _ => String::new(),
        };
        let detail = self.detail();
        let request = asked.unwrap_or("every request");
        // The host stands in the sentence already.
        let whole_host = matches!(self.blamed(), [Level::Host { .. }]) && self.fails().is_none();
        let of = match asked {
            Some(asked) if !whole_host => format!(", for {asked}"),
            _ => String::new(),
        };
        match self.incident.kind {
            Kind::EdgeBlock => format!("{partner} refuses {request}{at}{detail}"),
            Kind::EdgeChallenge => {
                format!("{partner} puts a bot check before {request}{at}{detail}")
            }
            Kind::RateLimited => {
                let request = asked.unwrap_or("our requests");
                format!(
                    "{partner} limits the rate of {request}{at}{detail}{}",
                    self.until()
                )
            }
            Kind::OriginDenied => {
                // Brackets after brackets read badly.
                let detail = if request.ends_with(')') {
                    detail.replace(" (", " with ").replace(')', "")
                } else {
                    detail
                };
                match self.refuser(&host) {
                    Some(who) => format!("{who} refuses {request}{detail}"),
                    None => format!("{partner} refuses {request}{detail}, we can't tell by whom"),
                }
            }
            Kind::OriginError => match self.refuser(&host) {
                Some(who) => format!("{who} answers with an error{detail}{of}"),
                None => format!(
                    "{host} {} with an error{detail}{of}",
                    verb("answers", "answer")
                ),
            },
            Kind::EdgeError if pop && self.fails().is_none() => {
                let pop = self.requests();
                let pop = pop.trim_start_matches("requests that ");
                let pop = pop.trim_end_matches(" answers");
                format!("{pop} in front of {host} can't reach the application{detail}")
            }
            Kind::EdgeError => {
                let edge = edge.unwrap_or_else(|| "the edge".to_owned());
                let fails = self.edge_fails();
                format!("{edge} in front of {host} {fails}{detail}{of}")
            }
            Kind::SoftBlock => {
                format!(
                    "{partner} answers {request} with another page than the content{at}{detail}"
                )
            }
            Kind::Unexpected => match self.watched() {
                Some(kind) => {
                    format!("{partner} no longer answers {request} with the watched {kind}")
                }
                None => format!(
                    "{host} {} not answer as expected{detail}{of}",
                    verb("does", "do")
                ),
            },
            kind @ (Kind::DnsError | Kind::ConnectError | Kind::TlsError | Kind::Timeout) => {
                let verdict = self.specimen.map(|specimen| &specimen.verdict);
                let happens = failing::happens(kind, verdict, &host, several);
                format!("{}{of}", happens.unwrap_or_default())
            }
            Kind::LocalError if self.own_limit() => {
                format!(
                    "edgewatch itself can't tell whether {host} answers as it should{of}: a limit of ours"
                )
            }
            Kind::LocalError => match asked {
                Some(request) => format!("{request} can't be sent from our side"),
                None => "no request can be sent from our side".to_owned(),
            },
            Kind::Pass | Kind::Warning => {
                format!("{host} {} {request}", verb("answers", "answer"))
            }
        }
    }

    /// Until when a limit lasts by its own word, where that is long.
    fn until(&self) -> String {
        const LONG: Duration = Duration::from_secs(15 * 60);
        let run = self.specimen;
        let wait = run
            .and_then(|run| run.verdict.retry_after)
            .filter(|wait| *wait >= LONG);
        let (Some(run), Some(wait)) = (run, wait) else {
            return String::new();
        };
        let end = later(later(run.at, run.took), wait).to_zoned(self.plan.zone.clone());
        end.strftime(" until %a %-d %b %H:%M %Z").to_string()
    }

    /// What an edge's own error says of whose fault it is.
    fn edge_fails(&self) -> &'static str {
        match self.specimen.map(|specimen| specimen.verdict.rule) {
            Some(Rule::HostMisconfig) => "is not set up for these requests",
            Some(Rule::EdgeCompute) => "fails in code that runs at the edge",
            Some(Rule::Unknown) => "answers with an error of its own",
            _ => "can't reach the application",
        }
    }

    /// Who refused or failed behind the edge, as the subject of a sentence; `None` when nothing in the answer tells.
    fn refuser(&self, host: &str) -> Option<String> {
        let verdict = &self.specimen?.verdict;
        match (terms::gateway(verdict), verdict.maker) {
            (Some(name), _) => Some(format!("{name} in front of {host}")),
            (None, Maker::Origin) => Some(format!("the application of {}", self.partner())),
            _ => None,
        }
    }

    /// Whether it is a limit of edgewatch, and requests do leave.
    pub(super) fn own_limit(&self) -> bool {
        self.specimen
            .is_some_and(|specimen| specimen.verdict.is_own_limit())
    }

    /// We are the cause: said of edgewatch, and of nobody else.
    fn too_often(&self, per_minute: u32, by_egress: bool) -> String {
        let counted = if by_egress { " from one egress" } else { "" };
        let who = self
            .edge()
            .or_else(|| self.refuser(&self.hosts().0))
            .unwrap_or_else(|| self.partner());
        let detail = self.detail();
        let does = match self.incident.kind {
            Kind::EdgeBlock | Kind::OriginDenied => format!("{who} refuses them{detail}"),
            Kind::EdgeChallenge => format!("{who} puts a bot check before them{detail}"),
            Kind::RateLimited => format!("{who} turns them away{detail}"),
            kind => format!("they fail ({})", terms::kind(kind)),
        };
        format!(
            "edgewatch itself asks {} too often: from about {per_minute} requests a minute{counted} on, {does}",
            self.hosts().0
        )
    }

    /// What nobody hears of while an agent is silent.
    fn silent(&self) -> Option<String> {
        let Subject::Site(name) = &self.incident.subject else {
            return None;
        };
        let cells = match self.incident.cells.len() {
            1 => "1 cell is unheard".to_owned(),
            cells => format!("{cells} cells are unheard"),
        };
        Some(match name.as_str() {
            NATS => format!("edgewatch can't reach NATS: no agent is heard, {cells}"),
            site => format!("The agent at {site} is silent: {cells}"),
        })
    }

    fn network(&self) -> String {
        let diagnosis = &self.incident.diagnosis;
        let egresses = self.our_egresses();
        let list = quoted(&egresses);
        let plural = if egresses.len() == 1 { "" } else { "es" };
        if self.incident.kind == Kind::LocalError && self.own_limit() {
            return format!(
                "Our own side: a limit of edgewatch hides whether requests from egress{plural} {list} are answered as they should be"
            );
        }
        if let Cause::OurClients { clients } = &diagnosis.cause {
            let plural = if clients.len() == 1 { "" } else { "s" };
            let list = quoted(clients);
            return if self.runs_programs(clients) {
                format!("Our own side: client{plural} {list} can't be run")
            } else {
                format!("Our own side: requests of client{plural} {list} can't be sent")
            };
        }
        if self.incident.kind == Kind::LocalError {
            return format!("Our own side: requests from egress{plural} {list} can't be sent");
        }
        if let Some(fails) = diagnosis.fails {
            let lost = share::of(fails, "requests");
            return format!(
                "Our own network: {lost} from egress{plural} {list} fail, whichever host they go to"
            );
        }
        let is_control = |name| self.plan.probe(name).is_some_and(|probe| probe.control);
        let members = &self.incident.cells;
        if !members.is_empty() && !members.iter().any(|m| is_control(&m.cell.probe)) {
            return format!(
                "Our own network: nothing is seen to answer from egress{plural} {list}, whomever we ask"
            );
        }
        let all = self.probes.iter().flat_map(|probe| &probe.from);
        let controls = self.probes.iter().all(|p| p.control) && !self.probes.is_empty();
        if controls && all.clone().all(|e| egresses.contains(e)) {
            return "Our own network: the controls fail from every egress, and nothing is seen to answer"
                .to_owned();
        }
        format!(
            "Our own network: the controls fail from egress{plural} {list}, and nothing is seen to answer there"
        )
    }

    /// Whether programs make the requests of all these clients.
    pub(super) fn runs_programs(&self, clients: &[ClientName]) -> bool {
        let program = |name| {
            self.plan
                .client(name)
                .is_some_and(|it| it.program.is_some())
        };
        clients.iter().all(program)
    }

    /// The egresses that our own network fails.
    pub(super) fn our_egresses(&self) -> Vec<EgressName> {
        let diagnosis = &self.incident.diagnosis;
        if let Cause::OurNetwork { egresses } = &diagnosis.cause {
            return egresses.clone();
        }
        let failing = diagnosis.failing.iter().map(|cell| cell.egress.clone());
        let mut names: Vec<EgressName> = failing.collect();
        names.sort();
        names.dedup();
        names
    }

    /// That nobody looks any more, and what was seen last: an end that is none.
    pub(super) fn unwatched(&self) -> String {
        let label = self.incident.kind.label();
        let all = self.incident.cells.len();
        let left = self
            .incident
            .cells
            .iter()
            .filter(|cell| cell.failing)
            .count();
        let whom = match self.incident.subject {
            Subject::OurNetwork => "our own network".to_owned(),
            Subject::Site(_) => return "The file asks nothing there any more".to_owned(),
            _ => self.target(),
        };
        if left > 0 && left < all {
            let are = if left == 1 { "is" } else { "are" };
            return format!(
                "{left} of {all} failing cells of {whom} {are} no longer watched as they were, last seen {label}; the others pass again"
            );
        }
        format!("Last seen: {}", self.statement())
    }

    /// What ended, in a sentence of its own.
    pub(super) fn over(&self) -> String {
        if self.incident.kind == Kind::Warning {
            return format!("What was warned of at {} is well again.", self.target());
        }
        if let Subject::Site(name) = &self.incident.subject {
            return match name.as_str() {
                NATS => "edgewatch reaches NATS again.".to_owned(),
                site => format!("The agent at {site} is heard again."),
            };
        }
        let count = self.incident.cells.len();
        let target = match &self.incident.subject {
            Subject::Host(name) | Subject::Partner(name) => format!(" of {name}"),
            Subject::Vendor(_) => format!(" behind {}", self.target()),
            Subject::OurNetwork | Subject::Site(_) => String::new(),
        };
        let answer = if self.watched().is_some() {
            ("is answered as expected", "are answered as expected")
        } else {
            ("passes", "pass")
        };
        let silent = self.incident.cells.iter().filter(|cell| cell.failing);
        let silent = silent.count();
        let over = match count {
            _ if silent > 0 && silent < count => format!(
                "{} of the {count} cells{target} that failed {} again; {} did not run since.",
                count - silent,
                answer.1,
                if silent == 1 {
                    "the other".to_owned()
                } else {
                    format!("the other {silent}")
                }
            ),
            0 => format!("What failed{target} {} again.", answer.0),
            1 => format!("The cell{target} that failed {} again.", answer.0),
            2 => format!("Both cells{target} that failed {} again.", answer.1),
            _ => format!("All {count} cells{target} that failed {} again.", answer.1),
        };
        if self.incident.subject == Subject::OurNetwork {
            return format!(
                "Our own network is well again: {}.",
                over.trim_end_matches('.').to_lowercase()
            );
        }
        if self.incident.comes_and_goes() {
            return format!("{over} It came {} times.", self.incident.returns() + 1);
        }
        over
    }
}

/// Names in a sentence.
pub(super) fn quoted(names: &[impl Display]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    terms::list(&names, "and")
}

/// A sentence begins with a capital, unless it begins with a name.
fn capital(text: &str) -> String {
    const OURS: [&str; 8] = [
        "the", "about", "nearly", "fewer", "requests", "no", "only", "our",
    ];
    let first = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(letter) if OURS.contains(&first) => {
            letter.to_uppercase().collect::<String>() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}
