//! One cell: how it ended lately, as stretches of runs that ended alike.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::chart;
use super::forms::run_cell;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{cell_path, class, many, run_path, spreadsheet, time, verdict, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::CellKey;
use crate::domain::past::PastRun;
use crate::domain::tally::Tally;
use crate::domain::verdict::Kind;
use crate::report::history::{Bucket, Step};

/// Stretches of one page.
const STRETCHES_MAX: usize = 200;
/// Fewer runs make no share.
const SHARE_MIN: u32 = 100;
/// What one may look back.
const RANGES: [(&str, &str, i64); 4] = [
    ("1h", "1 hour", 1),
    ("24h", "24 hours", 24),
    ("7d", "7 days", 7 * 24),
    ("30d", "30 days", 30 * 24),
];
const USUAL: usize = 1;

/// Runs that ended alike, one after the other.
struct Stretch {
    first: Timestamp,
    last: Timestamp,
    runs: u32,
    kind: Kind,
    code: Option<String>,
    status: Option<u16>,
    /// Of the newest run that has one.
    reference: Option<String>,
}

/// Newest first, and how many runs there were and how many of them worked.
#[derive(Default)]
struct Past {
    stretches: Vec<Stretch>,
    runs: u32,
    worked: u32,
    /// There was more than a page holds.
    cut: bool,
}

impl Past {
    fn see(&mut self, run: PastRun) -> ControlFlow<()> {
        let full = self.stretches.len() == STRETCHES_MAX;
        let alike = |last: &&mut Stretch| {
            (last.kind, &last.code, last.status) == (run.kind, &run.code, run.status)
        };
        match self.stretches.last_mut().filter(alike) {
            Some(last) => {
                last.first = run.at;
                last.runs += 1;
                last.reference = last.reference.take().or(run.reference_id);
            }
            None if full => {
                self.cut = true;
                return ControlFlow::Break(());
            }
            None => self.stretches.push(Stretch {
                first: run.at,
                last: run.at,
                runs: 1,
                kind: run.kind,
                code: run.code,
                status: run.status,
                reference: run.reference_id,
            }),
        }
        self.runs += 1;
        self.worked += u32::from(run.kind.works());
        ControlFlow::Continue(())
    }
}

/// Probe, egress, client, credential.
type Asked = (String, String, String, String);

/// What was found of a cell.
struct Facts {
    cell: CellKey,
    /// Of [`RANGES`].
    range: usize,
    past: Past,
    days: Vec<Bucket>,
}

/// Reads what a page or a table is about; `Err`: the page that says why not.
async fn facts(
    pages: &Pages,
    scene: &Scene,
    (probe, egress, client, credential): Asked,
    uri: &Uri,
) -> Result<Facts, Response> {
    let cell = CellKey {
        probe: probe.as_str().into(),
        egress: egress.as_str().into(),
        client: client.as_str().into(),
        credential: credential.as_str().into(),
    };
    let asked = uri.query().and_then(|query| query.strip_prefix("range="));
    let range = RANGES.iter().position(|(name, ..)| Some(*name) == asked);
    let range = range.unwrap_or(USUAL);
    let hours = SignedDuration::from_hours(RANGES[range].2);
    let (from, until) = (scene.now.checked_sub(hours), scene.now);
    let from = from.unwrap_or(Timestamp::MIN);
    let wanted = cell.clone();
    let read = pages.read(move |reader| {
        let mut past = Past::default();
        let year = until.checked_sub(SignedDuration::from_hours(365 * 24));
        let days = reader.cell_days(&wanted, year.unwrap_or(Timestamp::MIN), until)?;
        let whole = reader.runs(&[wanted], from, until, |run| past.see(run))?;
        past.cut |= !whole;
        Ok((past, by_day(&days)))
    });
    let read = read.await.map_err(|failure| failed(scene, &failure));
    let (past, days) = read?;
    let configured = scene.look.plan.every_cell().any(|(_, known)| known == cell);
    if past.runs == 0 && days.is_empty() && !configured {
        let why = format!(
            "The file has no cell {}, and no run of it is kept.",
            visible(&cell.to_string())
        );
        return Err(failed(scene, &Failure::Missing(why)));
    }
    Ok(Facts {
        cell,
        range,
        past,
        days,
    })
}

pub(super) async fn page(State(pages): State<Pages>, Path(asked): Path<Asked>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let facts = facts(&pages, &scene, asked, &uri).await?;
    Ok(answer(
        StatusCode::OK,
        shown(&scene, &facts.cell, facts.range, &facts.past, &facts.days),
    ))
}

/// Stretches of runs that ended alike, for a spreadsheet.
pub(super) async fn table(State(pages): State<Pages>, Path(asked): Path<Asked>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let facts = facts(&pages, &scene, asked, &uri).await?;
    let rows = facts.past.stretches.iter().map(|stretch| {
        vec![
            stretch.first.to_string(),
            stretch.last.to_string(),
            stretch.runs.to_string(),
            stretch.kind.as_str().to_owned(),
            stretch.code.clone().unwrap_or_default(),
            stretch
                .status
                .map(|status| status.to_string())
                .unwrap_or_default(),
            stretch.reference.clone().unwrap_or_default(),
        ]
    });
    let header = [
        "first_at",
        "last_at",
        "runs",
        "verdict",
        "code",
        "status",
        "reference_id",
    ];
    Ok(spreadsheet(&header, rows))
}

/// Days since 1970, UTC, from the first that is counted to the last; one without a run is there, and empty.
fn by_day(days: &BTreeMap<i64, Tally>) -> Vec<Bucket> {
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return Vec::new();
    };
    let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap_or(Timestamp::MAX);
    let day = |day| Bucket {
        from: at(day),
        until: at(day + 1),
        tally: days.get(&day).cloned().unwrap_or_default(),
    };
    (*first..=*last).map(day).collect()
}

/// A year of the cell, day by day, for as far as days are over and counted.
fn year(cell: &CellKey, days: &[Bucket], now: Timestamp) -> Markup {
    html! {
        @if let (Some(first), Some(last)) = (days.first(), days.last()) {
            section {
                h2 { "By day (UTC): " (chart::counts(&chart::sum(days))) }
                (chart::patterns())
                figure {
                    (chart::shares(&cell.to_string(), days))
                    p.axis { span { (time(first.from, &TimeZone::UTC, now)) } span { (time(last.until, &TimeZone::UTC, now)) } }
                    (chart::legend(false))
                }
                details id="days" { summary { "As a table" } (chart::table(days, Step::Day, &TimeZone::UTC, now)) }
            }
        }
    }
}

fn shown(scene: &Scene, cell: &CellKey, range: usize, past: &Past, days: &[Bucket]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let own = scene.to(&cell_path(cell));
    let incident = scene.look.incidents.iter();
    let incident = incident
        .filter(|it| it.cells.iter().any(|member| member.cell == *cell))
        .map(|it| it.number)
        .next();
    let agent = scene.look.plan.client(&cell.client);
    let main = html! {
        h1 { (cell.client) " from " (cell.egress) @if !cell.credential.is_anonymous() { " with " (cell.credential) } " at " (cell.probe) }
        @if let Some(client) = agent { p.below { "User-Agent: " code { (visible(&client.user_agent)) } } }
        @if let Some(number) = incident {
            p { "It belongs to " a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) } "." }
        }
        @if let Some(last) = scene.look.cell(cell) {
            p {
                "Last run: " span class=(class(last.kind)) { (verdict(last.kind, last.code.as_deref(), last.status)) }
                ", " (time(last.at, zone, now))
            }
        }
        (run_cell(scene, cell, "Run it now"))
        nav aria-label="Range" { ul.acts {
            @for (place, (name, words, _)) in RANGES.iter().enumerate() {
                @let here = (place == range).then_some("true");
                li { a href=(format!("{own}?range={name}")) aria-current=[here] { (words) } }
            }
        } }
        h2 { (share(past)) }
        @if past.cut { p { "Only the newest of them are shown; a shorter range shows all of its own." } }
        @if !past.stretches.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Runs that ended alike, newest first" {
                table {
                    thead { tr {
                        th scope="col" { "Verdict" } th scope="col" { "Runs" } th scope="col" { "First" }
                        th scope="col" { "Last" } th scope="col" { "Reference of the last" }
                    } }
                    tbody { @for stretch in &past.stretches {
                        tr {
                            td class=(class(stretch.kind)) { (verdict(stretch.kind, stretch.code.as_deref(), stretch.status)) }
                            td { (stretch.runs) }
                            td { (time(stretch.first, zone, now)) }
                            td { a href=(scene.to(&run_path(cell, stretch.last))) { (time(stretch.last, zone, now)) } }
                            td { @if let Some(id) = &stretch.reference { code { (visible(id)) } } @else { "–" } }
                        }
                    } }
                }
            }
        }
        p.acts { a href=(format!("{own}/runs.csv?range={}", RANGES[range].0)) { "CSV" } }
        (year(cell, days, now))
    };
    frame::page(
        scene,
        &Content {
            title: &cell.to_string(),
            place: Place::Nowhere,
            topic: Topic::Board,
            main,
        },
    )
}

/// `99.71 %, 25,842 of 25,917 runs passed`; without the share where there are few.
fn share(past: &Past) -> String {
    let (worked, runs) = (past.worked, past.runs);
    if runs == 0 {
        return "No run is kept of this time".to_owned();
    }
    let counts = format!("{worked} of {} passed", many(runs as usize, "run"));
    if runs < SHARE_MIN {
        return counts;
    }
    // Cut, not rounded: what failed once is not 100 %.
    let hundredths = u64::from(worked) * 10_000 / u64::from(runs);
    format!("{}.{:02} %: {counts}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(minute: i64, kind: Kind, code: Option<&str>) -> PastRun {
        PastRun {
            cell: CellKey {
                probe: "p".into(),
                egress: "e 1/2".into(),
                client: "c".into(),
                credential: "anonymous".into(),
            },
            at: Timestamp::from_second(minute * 60).unwrap(),
            kind,
            status: None,
            vendor: None,
            code: code.map(ToOwned::to_owned),
            reference_id: code.map(|code| format!("{code}-{minute}")),
        }
    }

    #[test]
    fn runs_that_ended_alike_are_one_stretch() {
        let mut past = Past::default();
        for (minute, kind, code) in [
            (9, Kind::Pass, None),
            (8, Kind::EdgeBlock, Some("1010")),
            (7, Kind::EdgeBlock, Some("1010")),
            (6, Kind::EdgeBlock, Some("1020")),
            (5, Kind::Pass, None),
        ] {
            assert!(past.see(run(minute, kind, code)).is_continue());
        }
        let told: Vec<_> = past
            .stretches
            .iter()
            .map(|it| {
                (
                    it.first.as_second() / 60,
                    it.last.as_second() / 60,
                    it.runs,
                    it.reference.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (9, 9, 1, None),
                (7, 8, 2, Some("1010-8")),
                (6, 6, 1, Some("1020-6")),
                (5, 5, 1, None)
            ]
        );
        assert_eq!(share(&past), "2 of 5 runs passed");
        assert_eq!(
            cell_path(&run(0, Kind::Pass, None).cell),
            "/cells/p/e%201%2F2/c/anonymous"
        );
    }

    #[test]
    fn days_without_a_run_stay_gaps() {
        let mut one = Tally::default();
        let phases = crate::domain::observation::Phases::default();
        one.count(Kind::Pass, std::time::Duration::from_millis(5), &phases);
        let days = by_day(&BTreeMap::from([(18_000, one.clone()), (18_003, one)]));
        let runs: Vec<u64> = days.iter().map(|day| day.tally.runs).collect();
        assert_eq!(runs, [1, 0, 0, 1]);
        assert_eq!(days[0].until, days[1].from);
        let now = days[3].until;
        let shown = year(&run(0, Kind::Pass, None).cell, &days, now).into_string();
        assert!(shown.contains("f-gap"), "{shown}");
        assert_eq!(shown.matches("did not run</td>").count(), 2, "{shown}");
        assert_eq!(by_day(&BTreeMap::new()), []);
    }

    #[test]
    fn what_failed_once_is_no_hundred_percent() {
        for (worked, runs, text) in [
            (0, 0, "No run is kept of this time"),
            (1, 1, "1 of 1 run passed"),
            (99, 99, "99 of 99 runs passed"),
            (100, 100, "100.00 %: 100 of 100 runs passed"),
            (99_999, 100_000, "99.99 %: 99999 of 100000 runs passed"),
            (99, 101, "98.01 %: 99 of 101 runs passed"),
        ] {
            let past = Past {
                runs,
                worked,
                ..Past::default()
            };
            assert_eq!(share(&past), text);
        }
    }
}
