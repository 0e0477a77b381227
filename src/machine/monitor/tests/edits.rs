//! Stories of files that are edited while a partner refuses: an edit is never told as a recovery.

use proptest::prelude::*;

use super::*;
use crate::domain::incident::State;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::renames::Renames;

const REFUSED: &str = "java-8/1.0";
const HOST: &str = "webcache.gmc-uk.org";

/// What the partner does: it knows user agents and its own host, and nothing of our names.
fn partner(plan: &Plan, from: i64, until: i64) -> impl Fn(&CellKey, i64) -> Kind + use<> {
    let plan = plan.clone();
    move |cell, t| {
        let asks = plan.client(&cell.client).map(|c| c.user_agent.as_str());
        let host = plan.probe(&cell.probe).map(Probe::host);
        let refused = asks == Some(REFUSED) && host.as_deref() == Some(HOST);
        kind_at(refused && (from..until).contains(&t), Kind::EdgeBlock, cell)
    }
}

/// A story in which the partner refuses from second 400 on.
struct Edited {
    play: Play,
    until: i64,
}

impl Edited {
    fn new() -> Self {
        let mut edited = Self {
            play: Play::new(gmc()),
            until: i64::MAX,
        };
        edited.pass(1000);
        assert_eq!(edited.said(), "opened");
        edited
    }

    fn pass(&mut self, seconds: i64) {
        let world = partner(&self.play.plan, 400, self.until);
        self.play.run(self.play.second + seconds, world);
    }

    fn edit(&mut self, change: impl FnOnce(&mut Plan)) {
        let mut plan = (*self.play.plan).clone();
        change(&mut plan);
        self.play.replace(plan);
    }

    fn said(&self) -> String {
        self.play.reasons("engineers")
    }

    fn headline(&self) -> String {
        let told = self.play.told("engineers");
        told.last().unwrap().briefing.headline.clone()
    }
}

fn rename_client(plan: &mut Plan, from: &str, to: &str) {
    for client in plan.clients.iter_mut().filter(|c| c.name.as_str() == from) {
        client.name = to.into();
    }
    for probe in &mut plan.probes {
        for name in probe.as_clients.iter_mut().filter(|n| n.as_str() == from) {
            *name = to.into();
        }
    }
}

fn without_client(plan: &mut Plan, name: &str) {
    plan.clients.retain(|client| client.name.as_str() != name);
    for probe in &mut plan.probes {
        probe.as_clients.retain(|client| client.as_str() != name);
    }
}

#[test]
fn a_client_that_was_only_renamed_keeps_its_incident() {
    let mut story = Edited::new();
    story.edit(|plan| rename_client(plan, "java-8", "legacy"));
    story.pass(1200);
    let incident = incident_of(&story.play);
    assert_eq!(incident.number, 1);
    assert_eq!(
        incident.diagnosis.cause,
        Cause::Level(Level::Client("legacy".into()))
    );
    assert_eq!(story.said(), "opened", "{:#?}", story.play.lines);
    let said = story.play.changes.iter().flat_map(|c| &c.timeline);
    let renamed = said.filter(|e| e.text == "client `java-8` is called `legacy` now");
    assert_eq!(renamed.count(), 1);
    story.until = story.play.second;
    story.pass(1500);
    assert_eq!(story.said(), "opened resolved", "{:#?}", story.play.lines);
}

#[test]
fn a_renamed_client_is_known_over_a_restart_too() {
    let mut story = Edited::new();
    let mut plan = (*story.play.plan).clone();
    rename_client(&mut plan, "java-8", "legacy");
    story.play.plan = Arc::new(plan);
    story.play.restart();
    story.pass(1200);
    assert_eq!(story.said(), "opened", "{:#?}", story.play.lines);
    assert_eq!(incident_of(&story.play).number, 1);
}

#[test]
fn what_the_file_calls_by_a_former_name_keeps_its_incident_whatever_it_asks() {
    let mut story = Edited::new();
    story.edit(|plan| {
        rename_client(plan, "java-8", "legacy");
        plan.clients[0].user_agent = "java-8/1.1".to_owned();
        plan.former = Renames::default();
        plan.former.client("java-8".into(), "legacy".into());
    });
    story.pass(1500);
    assert_eq!(story.said(), "opened unwatched", "{:#?}", story.play.lines);
    assert_eq!(
        story.headline(),
        "Last seen: GMC refuses client `legacy` (java-8/1.0) at Cloudflare (error 1010), from every egress"
    );
}

#[test]
fn an_edit_that_is_undone_goes_on_with_the_same_incident() {
    let mut story = Edited::new();
    story.edit(|plan| without_client(plan, "java-8"));
    assert_eq!(story.said(), "opened unwatched");
    story.pass(1000);
    story.edit(|plan| *plan = gmc().plan);
    assert_eq!(story.said(), "opened unwatched reopened");
    let told = story.play.told("engineers");
    assert!(told[2].briefing.watched_again);
    story.pass(1200);
    assert_eq!(story.said(), "opened unwatched reopened");
    assert_eq!(incident_of(&story.play).number, 1);
    story.until = story.play.second;
    story.pass(1500);
    assert_eq!(story.said(), "opened unwatched reopened resolved");
}

#[test]
fn a_request_that_was_changed_shows_nothing_of_what_failed() {
    let mut story = Edited::new();
    story.edit(|plan| plan.clients[0].user_agent = "java-11/1.0".to_owned());
    story.pass(1500);
    assert_eq!(story.said(), "opened unwatched", "{:#?}", story.play.lines);

    // Whatever was changed, it fails still: the incident is the one it was.
    let mut story = Edited::new();
    story.edit(|plan| plan.probes[0].timeout *= 2);
    assert_eq!(incident_of(&story.play).left.len(), 2);
    story.pass(1200);
    assert_eq!(incident_of(&story.play).left, []);
    story.until = story.play.second;
    story.pass(1500);
    assert_eq!(story.said(), "opened resolved", "{:#?}", story.play.lines);
}

#[test]
fn a_probe_that_was_moved_elsewhere_shows_nothing_of_what_failed() {
    for partner in [HOST, "api.other.example"] {
        let mut story = Edited::new();
        story.edit(|plan| {
            plan.probes[0].url = "https://api.other.example/".parse().unwrap();
            plan.probes[0].partner = partner.to_owned();
        });
        story.pass(2000);
        assert_eq!(story.said(), "opened unwatched", "{:#?}", story.play.lines);
    }
}

#[test]
fn what_lacks_its_secret_is_not_known() {
    let mut story = Edited::new();
    story.edit(|plan| plan.credentials[0].missing = Some("GMC is not set".to_owned()));
    assert_eq!(story.said(), "opened unwatched");
    story.pass(600);
    story.edit(|plan| *plan = gmc().plan);
    story.pass(600);
    assert_eq!(story.said(), "opened unwatched reopened");
}

#[test]
fn what_is_watched_no_longer_keeps_the_rest_from_being_told_as_fixed() {
    let mut play = Play::new(gmc());
    let world = |until: i64| {
        move |cell: &CellKey, t: i64| {
            let both = client(cell, "java-8") || client(cell, "java-11");
            kind_at((400..until).contains(&t) && both, Kind::EdgeBlock, cell)
        }
    };
    play.run(1500, world(i64::MAX));
    let mut plan = (*play.plan).clone();
    without_client(&mut plan, "java-8");
    play.replace(plan);
    play.run(1800, world(i64::MAX));
    assert!(
        !play.reasons("engineers").contains("unwatched"),
        "{:#?}",
        play.lines
    );
    play.run(4000, world(1800));
    let told = play.told("engineers");
    let last = told.last().unwrap();
    assert_eq!(last.reason, Reason::Unwatched, "{:#?}", play.lines);
    assert_eq!(
        last.briefing.headline,
        "2 of 4 failing cells of webcache.gmc-uk.org are no longer watched as they were, last seen BLOCKED; the others pass again"
    );
    assert_eq!(play.stored[&1].state, State::Unwatched);
}

/// One edit of the file, of many that could be.
fn edit(plan: &mut Plan, which: u8) {
    match which {
        0 => without_client(plan, "java-8"),
        1 => rename_client(plan, "java-8", "legacy"),
        2 => rename_client(plan, "legacy", "java-8"),
        3 => plan.clients[0].user_agent = "java-11/1.0".to_owned(),
        4 => plan.probes[0].url = "https://api.other.example/".parse().unwrap(),
        5 => plan.probes[0].partner = "somebody else".to_owned(),
        6 => plan.credentials[0].missing = Some("GMC is not set".to_owned()),
        7 => plan.credentials[0].missing = None,
        8 => plan.probes[0].name = "gmc-renamed".into(),
        9 => plan.probes[0].expect.conditions.0.clear(),
        10 => {
            plan.probes[0].from.truncate(1);
        }
        11 => plan.probes[0].timeout *= 2,
        12 => {
            plan.probes.swap(0, 1);
            plan.clients.rotate_left(1);
        }
        _ => *plan = gmc().plan,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The partner refuses all the time, and the file is edited all the time.
    #[test]
    fn no_edit_is_ever_told_as_a_recovery(
        edits in proptest::collection::vec((0u8..16, 1i64..1500, any::<bool>()), 1..9),
    ) {
        let mut story = Edited::new();
        for (which, wait, restart) in edits {
            if restart {
                let mut plan = (*story.play.plan).clone();
                edit(&mut plan, which);
                story.play.plan = Arc::new(plan);
                story.play.restart();
            } else {
                story.edit(|plan| edit(plan, which));
            }
            story.pass(wait);
            story.play.hold();
            for note in &story.play.notifications {
                prop_assert_ne!(note.reason, Reason::Resolved, "{:#?}", story.play.lines);
            }
        }
        // Asked again as at first: it fails still, and when it passes, that is told.
        story.edit(|plan| *plan = gmc().plan);
        story.pass(2000);
        let open: Vec<u64> = story.play.monitor.incidents().map(|i| i.number).collect();
        prop_assert!(!open.is_empty(), "{:#?}", story.play.lines);
        for number in open {
            let told = story.play.told("engineers");
            let last = told.iter().rfind(|note| note.incident == number);
            prop_assert_ne!(last.unwrap().reason, Reason::Unwatched, "{:#?}", story.play.lines);
        }
        story.until = story.play.second;
        story.pass(9000);
        prop_assert!(story.play.monitor.incidents().next().is_none(), "{:#?}", story.play.lines);
        prop_assert!(story.said().ends_with("resolved"), "{:#?}", story.play.lines);
        story.play.hold();
    }
}
