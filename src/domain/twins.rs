//! What pairs of clients show that make the same request over different stacks.
//!
//! A user agent, an address and a stack are judged together by an edge, and a run that is refused does not tell which of
//! them it was. Two runs from one place with one user agent, one by a program and one by edgewatch in its place, differ
//! in the stack alone. Only such a pair names the TLS fingerprint as what is refused; and the other way round it shows
//! that nobody but edgewatch is turned away.

use super::cell::{CellKey, Client, ClientName};
use super::plan::Plan;

/// What the pairs of an incident show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Programs are refused, and who stands in for one of them passes there.
    Program {
        program: &'a Client,
        stand_in: &'a Client,
    },
    /// A stand-in is refused, and the program that it stands in for passes there.
    StandIn {
        stand_in: &'a Client,
        program: &'a Client,
    },
    /// Everything that edgewatch asks itself is refused, and the program passes there.
    Monitor { program: &'a Client },
}

impl Shown<'_> {
    /// Whether it is edgewatch alone that is refused, and none of the systems that it speaks for.
    #[must_use]
    pub fn is_ours_alone(&self) -> bool {
        matches!(self, Self::StandIn { .. } | Self::Monitor { .. })
    }
}

/// Whether two cells differ in nothing but the client.
#[must_use]
pub fn beside(one: &CellKey, other: &CellKey) -> bool {
    one.probe == other.probe && one.egress == other.egress && one.credential == other.credential
}

/// Where the twins of failing clients could be asked: at each of the cells' places.
#[must_use]
pub fn at_places(plan: &Plan, failing: &[CellKey]) -> Vec<CellKey> {
    let mut clients: Vec<&Client> = failing
        .iter()
        .filter_map(|c| plan.client(&c.client))
        .collect();
    clients.sort_by_key(|client| &client.name);
    clients.dedup_by_key(|client| &client.name);
    let is_twin = |name: &&ClientName| {
        let other = plan.client(name);
        other.is_some_and(|other| clients.iter().any(|own| own.is_twin_of(other)))
    };
    let mut found: Vec<CellKey> = Vec::new();
    for cell in failing {
        let asked = plan.probe(&cell.probe).into_iter();
        for client in asked.flat_map(|probe| &probe.as_clients).filter(is_twin) {
            let twin = CellKey {
                client: client.clone(),
                ..cell.clone()
            };
            if !found.contains(&twin) {
                found.push(twin);
            }
        }
    }
    found
}

/// What these cells show together; `None`: nothing of the stack, or that it makes no difference.
///
/// A program that was not asked at a place is taken to pass there when it passes elsewhere.
#[must_use]
pub fn shown<'a>(plan: &'a Plan, failing: &[CellKey], passing: &[CellKey]) -> Option<Shown<'a>> {
    let client = |cell: &CellKey| plan.client(&cell.client);
    let is_program = |cell: &CellKey| client(cell).is_some_and(|c| c.program.is_some());
    let twin_in = |cell: &CellKey, cells: &[CellKey]| {
        let own = client(cell)?;
        let mut others = cells.iter().filter(|other| beside(cell, other));
        others.find_map(|other| client(other).filter(|other| own.is_twin_of(other)))
    };
    if failing.iter().any(|cell| twin_in(cell, failing).is_some()) {
        return None;
    }
    let pairs: Vec<(&CellKey, &Client)> = failing
        .iter()
        .filter_map(|cell| Some((cell, twin_in(cell, passing)?)))
        .collect();
    let (first, twin) = *pairs.first()?;
    let refused = client(first)?;
    if failing.iter().all(is_program) {
        return Some(Shown::Program {
            program: refused,
            stand_in: twin,
        });
    }
    if failing.iter().any(is_program) {
        return None;
    }
    let paired = |name: &ClientName| pairs.iter().any(|(cell, _)| cell.client == *name);
    if failing.iter().all(|cell| paired(&cell.client)) {
        return Some(Shown::StandIn {
            stand_in: refused,
            program: twin,
        });
    }
    let ours_pass = passing.iter().any(|good| {
        let here = failing.iter().any(|bad| beside(bad, good));
        here && !is_program(good)
    });
    let a_program_passes = |bad: &CellKey| {
        let mut here = passing.iter().filter(|good| beside(bad, good));
        here.any(|good| pairs.iter().any(|(_, twin)| twin.name == good.client))
    };
    let explained = |cell: &CellKey| {
        let mut elsewhere = failing.iter().filter(|bad| bad.client == cell.client);
        paired(&cell.client) || elsewhere.any(a_program_passes)
    };
    let alone = !ours_pass && failing.iter().all(explained);
    alone.then_some(Shown::Monitor { program: twin })
}

/// A pair of twins that fail alike at one place, so that the stack makes no difference.
#[must_use]
pub fn alike<'a>(plan: &Plan, failing: &'a [CellKey]) -> Option<(&'a CellKey, &'a CellKey)> {
    let client = |cell: &CellKey| plan.client(&cell.client);
    let is_program = |cell: &&CellKey| client(cell).is_some_and(|c| c.program.is_some());
    failing.iter().filter(is_program).find_map(|program| {
        let twin = |own: &&CellKey| {
            let pair = client(own).zip(client(program));
            beside(own, program) && pair.is_some_and(|(own, program)| own.is_twin_of(program))
        };
        Some((program, failing.iter().find(twin)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::{CredentialName, HeaderCase, HttpOffer, Program, Speaks, TlsRange};
    use crate::report::fixture;

    /// `jvm` and `axis` are programs, `own` stands in for `jvm`, `web` and `plain` are edgewatch's.
    fn plan() -> Plan {
        let mut plan = fixture::march().plan;
        let client = |name: &str, program: bool, of: Option<&str>| Client {
            name: name.into(),
            user_agent: name.to_owned(),
            http: HttpOffer::Http1,
            tls: TlsRange::default(),
            headers: Vec::new(),
            header_case: HeaderCase::default(),
            program: program.then(|| Program {
                command: vec!["/usr/bin/java".to_owned()],
                speaks: Speaks::Lines,
                variables: Vec::new(),
                http: None,
                keep: None,
            }),
            stands_in_for: of.map(ClientName::new),
            trust: None,
            control: name == "plain",
        };
        plan.clients = vec![
            client("jvm", true, None),
            client("axis", true, None),
            client("own", false, Some("jvm")),
            client("web", false, None),
            client("plain", false, None),
        ];
        plan.probes[0].as_clients = plan.clients.iter().map(|c| c.name.clone()).collect();
        plan
    }

    fn cells(plan: &Plan, text: &str) -> Vec<CellKey> {
        let cell = |word: &str| {
            let (client, egress) = word.split_once('@').unwrap_or((word, "de1"));
            CellKey {
                probe: plan.probes[0].name.clone(),
                egress: egress.into(),
                client: client.into(),
                credential: CredentialName::anonymous(),
            }
        };
        text.split_whitespace().map(cell).collect()
    }

    #[test]
    fn only_a_pair_tells_the_stack() {
        let plan = plan();
        let check = |name: &str, failing: &str, passing: &str, expected: &str| {
            let (failing, passing) = (cells(&plan, failing), cells(&plan, passing));
            let told = match shown(&plan, &failing, &passing) {
                Some(Shown::Program { program, stand_in }) => {
                    format!("{} by {}", program.name, stand_in.name)
                }
                Some(Shown::StandIn { stand_in, program }) => {
                    format!("only {} for {}", stand_in.name, program.name)
                }
                Some(Shown::Monitor { program }) => format!("all of ours but {}", program.name),
                None => "nothing".to_owned(),
            };
            assert_eq!(told, expected, "{name}");
        };
        check("the fingerprint", "jvm", "own plain", "jvm by own");
        check("of two programs", "jvm axis", "own web", "jvm by own");
        check("of one without a twin", "axis", "own web plain", "nothing");
        check("the stand-in", "own", "jvm web plain", "only own for jvm");
        check(
            "from elsewhere too",
            "own own@us1",
            "jvm web",
            "only own for jvm",
        );
        check(
            "from one address alone",
            "own@us1",
            "jvm own web",
            "nothing",
        );
        check(
            "everything of ours",
            "own web plain",
            "jvm axis",
            "all of ours but jvm",
        );
        check("but one passes", "own web", "jvm plain", "nothing");
        check(
            "one that no program is beside",
            "own web@us1",
            "jvm",
            "nothing",
        );
        check("whatever the stack", "own jvm", "web plain", "nothing");
        check("everybody", "own jvm web plain", "", "nothing");
        check("no program heard of", "own", "web plain", "nothing");
        check(
            "a program of ours and one of theirs",
            "own axis",
            "jvm",
            "nothing",
        );
    }

    #[test]
    fn twins_are_asked_at_each_place() {
        let plan = plan();
        let at = |failing: &str| at_places(&plan, &cells(&plan, failing));
        assert_eq!(at("own web@us1"), cells(&plan, "jvm jvm@us1"));
        assert_eq!(at("jvm"), cells(&plan, "own"));
        assert_eq!(at("web"), []);
    }

    #[test]
    fn what_fails_alike_clears_the_stack() {
        let plan = plan();
        let failing = cells(&plan, "web own jvm");
        assert_eq!(alike(&plan, &failing), Some((&failing[2], &failing[1])));
        assert_eq!(alike(&plan, &cells(&plan, "own jvm@us1")), None);
    }
}
