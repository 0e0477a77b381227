//! Pages from fixed facts: what strangers write stays text, and what is not known is said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::incident;
use super::now;
use super::present::{Cell, Look, Present};
use super::{Pages, Scene, Source};
use crate::domain::incident::Incident;
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;
use crate::domain::web::Web;
use crate::report::fixture::{Night, at, march};

pub(super) fn scene_of(plan: &Plan, runs: &[PastRun], incidents: Vec<Incident>) -> Scene {
    let plan = Arc::new(plan.clone());
    let source = Source::Copy {
        plan: Arc::clone(&plan),
    };
    Scene {
        pages: Pages::new(source, PathBuf::new(), Web::default()),
        now: at("02:31:07"),
        look: Look::of(plan, runs, incidents),
        vitals: None,
        live: false,
        past: false,
        who: None,
        outsider: false,
    }
}

/// The tags of a page, without the text between them.
fn tags(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(1);
    tags.map(|tag| tag.split('>').next().unwrap()).collect()
}

fn run(plan: &Plan, place: usize, time: &str, kind: Kind) -> PastRun {
    PastRun {
        cell: plan.every_cell().nth(place).unwrap().1,
        at: at(time),
        kind,
        status: Some(if kind == Kind::Pass { 200 } else { 403 }),
        vendor: None,
        code: (kind == Kind::EdgeBlock).then(|| "1010".to_owned()),
        reference_id: None,
    }
}

/// The same night, with `text` wherever a stranger's text stands.
fn written_by(text: &str) -> Night {
    let mut night = march();
    let failing = night.incident.failing.as_mut().unwrap();
    failing.excerpt = Some(text.to_owned());
    failing.http = Some(text.to_owned());
    failing.certificate = Some(text.to_owned());
    failing.remote = Some(text.to_owned());
    for (_, value) in &mut failing.response_headers {
        text.clone_into(value);
    }
    failing
        .response_headers
        .push(("x-own".to_owned(), text.to_owned()));
    failing.verdict.code = Some(text.to_owned());
    for sign in &mut failing.verdict.evidence {
        text.clone_into(&mut sign.text);
    }
    night.incident.reference_ids = vec![text.to_owned()];
    night
}

#[test]
fn what_a_stranger_writes_stays_text() {
    let page = |text: &str| {
        let night = written_by(text);
        let mut dossier = night.dossier();
        dossier.briefing.headline = text.to_owned();
        dossier.briefing.got = text.to_owned();
        dossier.briefing.because = vec![text.to_owned()];
        let scene = scene_of(&night.plan, &[], Vec::new());
        incident::page(&scene, &dossier, None).into_string()
    };
    let plain = page("words");
    assert!(plain.matches("words").count() > 8, "{plain}");
    for text in [
        "\"><script>alert(1)</script>",
        "'><img src=x onerror=alert(1)>",
        "</textarea></pre></title><style>*{display:none}</style>",
        "javascript:alert(1)",
        "a\u{202e}b\u{0}c\u{1b}[2J",
        "<!--",
        "&lt;script&gt;",
        &"<b>".repeat(20_000),
    ] {
        let hostile = page(text);
        assert_eq!(tags(&hostile), tags(&plain), "{text}");
        assert!(!hostile.contains('\u{202e}') && !hostile.contains('\0'));
    }
}

#[test]
fn the_matrix_says_what_is_not_of_now() {
    let night = march();
    let plan = &night.plan;
    let pass = |place, time| run(plan, place, time, Kind::Pass);
    let text = |runs: &[PastRun], incidents| {
        let scene = scene_of(plan, runs, incidents);
        now::page(&scene).into_string()
    };
    let nothing = text(&[], Vec::new());
    assert!(nothing.contains("No run has ended yet"), "{nothing}");
    assert!(nothing.contains("– not run yet"), "{nothing}");

    let old = text(&[pass(0, "00:00:00")], Vec::new());
    assert!(
        old.contains("<td class=\"stale\">– 2 h 31 min ago"),
        "{old}"
    );

    let blocked = run(plan, 0, "02:30:00", Kind::EdgeBlock);
    let one = text(std::slice::from_ref(&blocked), Vec::new());
    assert!(
        one.contains("No incident is open; 1 cell does not pass"),
        "{one}"
    );
    let open = text(&[blocked], vec![night.incident.clone()]);
    assert!(open.contains("<h1>1 incident is open"), "{open}");
    assert!(
        open.contains("<td class=\"blocked\"><a href=\"/incidents/1\">"),
        "{open}"
    );
    assert!(open.contains("✕</span> BLOCKED 1010"), "{open}");
}

#[test]
fn a_new_plan_keeps_what_is_known_of_its_cells() {
    let night = march();
    let plan = Arc::new(night.plan.clone());
    let runs = [
        run(&plan, 0, "02:00:00", Kind::Pass),
        run(&plan, 1, "02:00:00", Kind::EdgeBlock),
    ];
    let present = Present::new(Look::of(Arc::clone(&plan), &runs, vec![night.incident]));
    let before = present.look();
    let known = |place: usize| -> Option<Cell> { present.look().cell(&runs[place].cell).cloned() };
    assert_eq!(known(1).unwrap().code.as_deref(), Some("1010"));
    let mut smaller = Plan::clone(&plan);
    let client = runs[1].cell.client.clone();
    for probe in &mut smaller.probes {
        probe
            .as_clients
            .retain(|name| *name != client || runs[0].cell.client == client);
        probe.timeout = Duration::from_secs(1);
    }
    present.replaced(Arc::new(smaller));
    let after = present.look();
    assert_eq!(known(0), before.cell(&runs[0].cell).cloned());
    assert_eq!(after.incidents, before.incidents);
    assert!(after.seq.board > before.seq.board && after.seq.incidents > before.seq.incidents);
}
