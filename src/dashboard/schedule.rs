//! What runs next, how late runs begin, and what each host may still be asked.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::{every, keys};
use super::parts::{age, cell_path, many, probe_path, spreadsheet, time, visible};
use super::{Failure, Page, Pages, Scene, failed, forms, html as answer, scene};
use crate::domain::probe::Schedule;
use crate::domain::upcoming::{Account, Budget, Upcoming};
use crate::notify::told::lasting;
use crate::report::matrix::duration;
use crate::store::Lateness;

/// The runs of which lateness is told.
const LATELY: Duration = Duration::from_secs(3600);

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let upcoming = pages.upcoming().await;
    let since = scene.now.checked_sub(LATELY).unwrap_or(scene.now);
    // Without the store the rest is still of now.
    let late = pages.read(move |reader| reader.lateness(since)).await;
    let late = late.ok().flatten();
    let page = shown(&scene, upcoming.as_ref(), late.as_ref());
    Ok(answer(StatusCode::OK, page))
}

pub(super) async fn table(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let Some(upcoming) = pages.upcoming().await else {
        let why = "Nobody runs anything by this store, or the daemon does not answer.";
        return Ok(failed(&scene, &Failure::Missing(why.to_owned())));
    };
    let rows = upcoming.next.iter().map(|(cell, at)| {
        vec![
            at.to_string(),
            cell.probe.to_string(),
            cell.egress.to_string(),
            cell.client.to_string(),
            cell.credential.to_string(),
        ]
    });
    let header = ["due_at", "probe", "egress", "client", "credential"];
    Ok(spreadsheet(&header, rows))
}

fn shown(scene: &Scene, upcoming: Option<&Upcoming>, late: Option<&Lateness>) -> Markup {
    let main = html! {
        h1 { "Schedule" }
        @match upcoming {
            None => p { "Nobody runs anything by this store just now, or the daemon does not answer." },
            Some(upcoming) => { (counts(upcoming, late)) (hosts(scene, &upcoming.hosts))
                @if !upcoming.accounts.is_empty() { (accounts(scene, &upcoming.accounts)) }
            },
        }
        (probes(scene))
        @if let Some(upcoming) = upcoming { (next(scene, upcoming)) }
    };
    let content = Content {
        title: "Schedule",
        place: Place::Schedule,
        topic: Topic::Board,
        main,
    };
    frame::page(scene, &content)
}

fn counts(upcoming: &Upcoming, late: Option<&Lateness>) -> Markup {
    let skipped = [
        (
            upcoming.skipped_late,
            "their time had passed before the host's turn came, or the machine slept",
        ),
        (
            upcoming.skipped_in_flight,
            "the run before was still going on",
        ),
        (upcoming.skipped_no_room, "too many runs were under way"),
        (
            upcoming.skipped_resting,
            "their account was used as often as a day allows, or is locked",
        ),
    ];
    let skipped: Vec<_> = skipped.iter().filter(|(count, _)| *count > 0).collect();
    html! {
        p {
            (many(upcoming.in_flight, "run")) " under way."
            @match late {
                Some(late) => {
                    " Within the last hour " (many(late.runs, "run")) " began; half of them at most " (duration(late.p50))
                    " late, 99 of 100 at most " (duration(late.p99)) " late."
                }
                None => " No run began within the last hour.",
            }
        }
        @if skipped.is_empty() { p { "No run was left out since the start." } }
        @else {
            p { "Left out since the start:" }
            ul { @for (count, why) in skipped { li { (many(*count as usize, "run")) ", because " (why) } } }
        }
    }
}

fn hosts(scene: &Scene, hosts: &[Budget]) -> Markup {
    html! {
        section {
            h2 { "What each host is asked" }
            div.scroll tabindex="0" role="region" aria-label="What each host is asked" {
                table {
                    thead { tr {
                        th scope="col" { "Host" } th scope="col" { "In the last minute" } th scope="col" { "Wait for their turn" }
                        th scope="col" { "Asked beyond the schedule" } th scope="col" { "Left alone" }
                    } }
                    tbody { @for host in hosts {
                        tr {
                            th scope="row" { (visible(&host.host)) }
                            td { (host.used) " of " (host.per_minute) " requests" }
                            td { @if host.waiting == 0 { "none" } @else { (many(host.waiting, "run")) } }
                            td { @if host.asked == 0 { "none" } @else { (many(host.asked, "run")) } }
                            td {
                                @match host.held_until {
                                    Some(until) => { "until " (time(until, scene.zone(), scene.now)) ", as it asked" }
                                    None => "–",
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn accounts(scene: &Scene, accounts: &[Account]) -> Markup {
    html! {
        section {
            h2 { "What each account is asked" }
            div.scroll tabindex="0" role="region" aria-label="What each account is asked" {
                table {
                    thead { tr {
                        th scope="col" { "Credential" } th scope="col" { "In the last 24 hours" } th scope="col" { "Left alone" }
                    } }
                    tbody { @for account in accounts {
                        tr {
                            th scope="row" { (account.credential) }
                            td { (account.used) @if let Some(most) = account.a_day { " of " (most) } " requests" }
                            td {
                                @match account.rests_until {
                                    Some(until) => {
                                        "until " (time(until, scene.zone(), scene.now)) ", "
                                        @if account.locked { "as the partner said" } @else { "its day is used up" }
                                    }
                                    None => "–",
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn probes(scene: &Scene) -> Markup {
    html! {
        section {
            h2 { "Probes" }
            div.scroll tabindex="0" role="region" aria-label="Probes" {
                table {
                    thead { tr {
                        th scope="col" { "Probe" } th scope="col" { "Runs" } th scope="col" { "Cells" } th scope="col" { "Host" }
                        @if forms::may(scene) { th scope="col" { "Now" } }
                    } }
                    tbody { @for probe in &scene.look.plan.probes {
                        tr {
                            th scope="row" { a href=(scene.to(&probe_path(&probe.name))) { (probe.name) } }
                            td {
                                @match (&probe.schedule, every(probe)) {
                                    (_, Some(every)) => { "every " (lasting(every)) }
                                    (Schedule::Cron(cron), None) => { "by cron " (cron.text()) }
                                    _ => "–",
                                }
                            }
                            td { (keys(probe).count()) }
                            td { (visible(&probe.host())) }
                            @if forms::may(scene) { td { (forms::run_now(scene, probe)) } }
                        }
                    } }
                }
            }
        }
    }
}

fn next(scene: &Scene, upcoming: &Upcoming) -> Markup {
    html! {
        section {
            h2 { "The next " (upcoming.next.len()) " runs" }
            div.scroll tabindex="0" role="region" aria-label="The next runs" {
                table {
                    thead { tr {
                        th scope="col" { "Due" } th scope="col" { "In" } th scope="col" { "Probe" } th scope="col" { "Client" }
                        th scope="col" { "Egress" } th scope="col" { "Credential" }
                    } }
                    tbody { @for (cell, at) in &upcoming.next {
                        tr {
                            td { (time(*at, scene.zone(), scene.now)) }
                            td { @let wait = age(scene.now, *at); @if wait.is_zero() { "now" } @else { (duration(Duration::from_secs(wait.as_secs().max(1)))) } }
                            td { (cell.probe) }
                            td { a href=(scene.to(&cell_path(cell))) { (cell.client) } }
                            td { (cell.egress) }
                            td { (cell.credential) }
                        }
                    } }
                }
            }
            p.acts { a href=(scene.to("/schedule.csv")) { "CSV" } span.below { "Runs beyond the schedule, to confirm and to find out, come between them." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::report::fixture::march;

    #[test]
    fn what_waits_and_what_was_left_out_is_said() {
        let scene = scene_of(&march().plan, &[], Vec::new());
        let cell = scene.look.plan.every_cell().next().unwrap().1;
        let upcoming = Upcoming {
            next: vec![(cell, scene.now)],
            hosts: vec![Budget {
                host: "<partner>".to_owned(),
                used: 14,
                per_minute: 20,
                waiting: 0,
                asked: 3,
                held_until: Some(scene.now),
            }],
            skipped_late: 2,
            ..Upcoming::default()
        };
        let late = Lateness {
            runs: 120,
            p50: Duration::from_millis(3),
            p99: Duration::from_millis(40),
        };
        let page = shown(&scene, Some(&upcoming), Some(&late)).into_string();
        for part in [
            "120 runs began; half of them at most 3 ms late, 99 of 100 at most 40 ms late.",
            "2 runs, because their time had passed",
            "14 of 20 requests",
            "&lt;partner&gt;",
            "<td>3 runs</td>",
            "as it asked",
            "The next 1 runs",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let none = shown(&scene, None, None).into_string();
        assert!(none.contains("does not answer"), "{none}");
    }
}
