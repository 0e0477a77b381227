//! An edge that fails by itself in front of several partners: one incident, and what is left of it is another.

use super::*;
use crate::domain::verdict::Kind;

/// Cloudflare's page for a fault: by its three boxes who failed.
fn page(status: u16, host_failed: bool) -> Answer {
    let source = |failed: bool| if failed { "cf-error-source" } else { "" };
    let (cloudflare, host) = (source(!host_failed), source(host_failed));
    let body = format!(
        "<!DOCTYPE html><html><head><title>a.example | {status}: Internal server error</title></head><body>\
         <div id=\"cf-wrapper\"><div id=\"cf-error-details\">\
         <span class=\"code-label\">Error code {status}</span>\
         <div id=\"cf-browser-status\" class=\"\">Browser Working</div>\
         <div id=\"cf-cloudflare-status\" class=\"{cloudflare}\">Cloudflare</div>\
         <div id=\"cf-host-status\" class=\"{host}\">Host</div></div></div></body></html>"
    );
    let headers = [
        ("server", "cloudflare"),
        ("cf-ray", "8fcb3f8a0cc56750-LHR"),
        ("content-type", "text/html"),
    ];
    let mut answer = crate::read::signatures::page::tests::answer(status, &headers, &body);
    answer.status = status;
    answer
}

/// Two partners and a control, each asked every minute.
fn two() -> Setup {
    Setup::new(&["e1", "e2"], &["java"])
        .probe("alpha", "api.alpha.example")
        .probe("beta", "api.beta.example")
        .control("internet", "www.gov.uk", 60)
        .with(|plan| {
            for probe in &mut plan.probes {
                probe.schedule =
                    crate::domain::probe::Schedule::Every(std::time::Duration::from_secs(60));
            }
        })
}

/// Plays with Cloudflare at fault in front of a probe in these seconds; `also` says what else is.
fn story(
    until: i64,
    faults: &[(&str, std::ops::Range<i64>)],
    also: impl Fn(&CellKey, i64) -> Kind,
) -> Play {
    let mut play = Play::new(two());
    play.run_with(until, |cell, t| world(cell, t, faults, &also));
    play.hold();
    play
}

fn world(
    cell: &CellKey,
    t: i64,
    faults: &[(&str, std::ops::Range<i64>)],
    also: &impl Fn(&CellKey, i64) -> Kind,
) -> (Kind, Option<Answer>) {
    let mut hit = faults.iter();
    if hit.any(|(probe, when)| cell.probe.as_str() == *probe && when.contains(&t)) {
        return (Kind::EdgeError, Some(page(500, false)));
    }
    (also(cell, t), None)
}

fn well(_: &CellKey, _: i64) -> Kind {
    Kind::Pass
}

fn vendor() -> Subject {
    Subject::Vendor("cloudflare".to_owned())
}

#[test]
fn one_fault_before_two_partners_is_one_incident() {
    let play = story(3000, &[("alpha", 600..1500), ("beta", 600..1500)], well);
    assert_eq!(play.reasons("engineers"), "opened resolved");
    let told = play.told("engineers");
    assert_eq!(
        told[0].briefing.headline,
        "Cloudflare itself fails in front of api.alpha.example and api.beta.example (error 500); their own servers are not at fault"
    );
    let step = told[0].briefing.next_step.as_deref().unwrap_or_default();
    assert!(
        step.starts_with("Wait, and look at Cloudflare's status page"),
        "{step}"
    );
    let incident = &play.stored[&1];
    assert_eq!((play.stored.len(), &incident.subject), (1, &vendor()));
    // Within two rounds of the end.
    let fixed = play.lines.last().unwrap();
    let second: i64 = fixed.split(' ').next().unwrap().parse().unwrap();
    assert!((1500..1800).contains(&second), "{fixed}");
    assert!(
        told[1]
            .briefing
            .headline
            .contains(" behind Cloudflare that failed "),
        "{:?}",
        told[1].briefing.headline
    );
}

#[test]
fn before_one_partner_it_is_that_partners_incident() {
    let play = story(3000, &[("alpha", 600..1500)], well);
    let incident = &play.stored[&1];
    assert_eq!(play.stored.len(), 1);
    assert_ne!(incident.subject, vendor());
    let step = play.told("engineers")[0]
        .briefing
        .next_step
        .clone()
        .unwrap_or_default();
    assert!(step.contains("look at Cloudflare's status page"), "{step}");
}

#[test]
fn what_one_partner_had_opened_becomes_the_vendors() {
    let play = story(4000, &[("alpha", 600..1800), ("beta", 780..1800)], well);
    assert_eq!(play.stored.len(), 1, "{:#?}", play.lines);
    assert_eq!(play.stored[&1].subject, vendor());
    assert_eq!(
        play.reasons("engineers"),
        "opened changed resolved",
        "{:#?}",
        play.lines
    );
    assert!(
        play.told("engineers")[1]
            .briefing
            .headline
            .starts_with("Cloudflare itself fails")
    );
}

#[test]
fn far_apart_they_are_two() {
    let play = story(6000, &[("alpha", 600..1200), ("beta", 3000..3600)], well);
    assert_eq!(play.stored.len(), 2);
    assert!(
        play.stored
            .values()
            .all(|incident| incident.subject != vendor())
    );
}

#[test]
fn what_stays_after_it_is_a_second_cause() {
    let also = |cell: &CellKey, t: i64| {
        let fails = cell.probe.as_str() == "beta" && (1500..3000).contains(&t);
        if fails { Kind::OriginError } else { Kind::Pass }
    };
    let play = story(4500, &[("alpha", 600..1500), ("beta", 600..1500)], also);
    assert_eq!(play.stored.len(), 2, "{:#?}", play.lines);
    let (first, second) = (&play.stored[&1], &play.stored[&2]);
    assert_eq!((&first.subject, first.kind), (&vendor(), Kind::EdgeError));
    assert_eq!(second.kind, Kind::OriginError);
    assert!(second.probes.iter().all(|probe| probe.as_str() == "beta"));
    let ended = first.resolved_at.unwrap();
    assert!(ended < play::at(1860), "{ended}");
}

#[test]
fn a_fault_of_the_servers_behind_an_edge_is_each_partners() {
    let mut play = Play::new(two());
    play.run_with(3000, |cell, t| {
        if (600..1500).contains(&t) && cell.probe.as_str() != "internet" {
            (Kind::EdgeError, Some(page(502, true)))
        } else {
            (Kind::Pass, None)
        }
    });
    play.hold();
    assert_eq!(play.stored.len(), 2, "{:#?}", play.lines);
}

#[test]
fn a_restart_and_an_edit_keep_it() {
    let faults = [("alpha", 600..2400), ("beta", 600..2400)];
    let mut play = Play::new(two());
    play.run_with(900, |cell, t| world(cell, t, &faults, &well));
    play.restart();
    play.run_with(1500, |cell, t| world(cell, t, &faults, &well));
    let mut plan = two().plan;
    plan.probes.retain(|probe| probe.name.as_str() != "beta");
    play.replace(plan);
    play.run_with(4000, |cell, t| world(cell, t, &faults, &well));
    play.hold();
    assert_eq!(play.stored.len(), 1, "{:#?}", play.lines);
    let words = play.reasons("engineers");
    assert!(
        words.starts_with("opened") && !words.contains("resolved"),
        "{words}"
    );
    assert_eq!(words.matches("unwatched").count(), 1, "{words}");
}
