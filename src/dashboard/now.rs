//! The first page: one sentence, open incidents, the matrix of every probe, what is quiet, how edgewatch is.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::Scene;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{age, ago, cell, class, many, of, probe_path, prose, time, verdict, visible};
use super::present::Cell;
use crate::domain::cell::{CellKey, ClientName, CredentialName, EgressName};
use crate::domain::incident::{Incident, State};
use crate::domain::notification::Briefing;
use crate::domain::probe::{Probe, Schedule};
use crate::notify::told::lasting;
use crate::report::incidents::quiet;
use crate::report::matrix::duration;
use crate::words::briefing::{self, View};

/// Cells drawn in a page; of a larger matrix only what fails.
const CELLS_MAX: usize = 2_000;
/// Rows of one probe from which on those that all pass are folded.
const ROWS_SHOWN: usize = 6;
/// After this many intervals without a run its result is no longer that of now.
const STALE_AFTER: u32 = 3;

pub(super) fn page(scene: &Scene) -> Markup {
    let look = &scene.look;
    let (controls, probes): (Vec<_>, Vec<_>) = look.plan.probes.iter().partition(|p| p.control);
    let known = Known::of(scene);
    let mut boards: Vec<Board<'_>> = probes.iter().map(|probe| Board::of(scene, probe)).collect();
    boards.sort_by_key(|board| board.failing.is_empty());
    let sentence = sentence(scene, &boards);
    let main = html! {
        h1 { (sentence) }
        @for incident in &look.incidents { (card(scene, incident)) }
        @for (place, board) in boards.iter().enumerate() { (board.markup(scene, &known, place, &html! { a href=(scene.to(&probe_path(&board.probe.name))) { (board.probe.name) } })) }
        @if !controls.is_empty() {
            section {
                h2 { "Controls" }
                ul.plain { @for probe in controls { (control(scene, &known, probe)) } }
            }
        }
        (hush(scene))
        (sites(scene))
        (edgewatch(scene))
    };
    frame::page(
        scene,
        &Content {
            title: &sentence,
            place: Place::Now,
            topic: Topic::Board,
            main,
        },
    )
}

/// Which open incident a failing cell belongs to.
struct Known<'a>(HashMap<&'a CellKey, u64>);

impl<'a> Known<'a> {
    fn of(scene: &'a Scene) -> Self {
        let incidents = scene.look.incidents.iter();
        Self(
            incidents
                .flat_map(|i| i.cells.iter().map(|member| (&member.cell, i.number)))
                .collect(),
        )
    }
}

/// How it stands, in one sentence.
fn sentence(scene: &Scene, boards: &[Board<'_>]) -> String {
    let open = scene.look.incidents.len();
    let failing: usize = boards.iter().map(|board| board.failing.len()).sum();
    let ran = boards.iter().any(|board| board.newest.is_some());
    let incidents = match open {
        0 if !ran => return "No run has ended yet".to_owned(),
        0 if failing > 0 => format!(
            "No incident is open; {} not pass",
            if failing == 1 {
                "1 cell does".to_owned()
            } else {
                format!("{failing} cells do")
            }
        ),
        0 => "No incident is open".to_owned(),
        1 => "1 incident is open".to_owned(),
        more => format!("{more} incidents are open"),
    };
    match frame::troubles(scene).len() {
        0 if scene.live => format!("{incidents}, and edgewatch is well"),
        0 => incidents,
        _ => format!("{incidents}, and edgewatch itself needs care"),
    }
}

/// In words, with the cause however sure it is: the confidence stands beside it.
pub(super) fn brief(scene: &Scene, incident: &Incident) -> Briefing {
    let view = View {
        min_confidence: 0.0,
        next_update_at: None,
    };
    briefing::write(&scene.look.plan, incident, view)
}

/// `open since …, 37 min · confidence 99 % · nobody looks after it`.
pub(super) fn standing(scene: &Scene, incident: &Incident, briefing: &Briefing) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let telling = &incident.telling;
    let remarks = quiet(
        incident.acknowledged.as_ref(),
        telling.muted.as_ref(),
        &telling.during,
        zone,
    );
    html! {
        p.standing {
            (tag(briefing.state)) " since " (time(briefing.onset_at, zone, now))
            ", " (duration(briefing.failing_for(now)))
            @if briefing.cause_known {
                " · confidence " (format!("{:.0}", (briefing.confidence * 100.0).floor())) " %"
            }
            @if briefing.is_open() && incident.acknowledged.is_none() { " · nobody looks after it" }
            @for remark in remarks { " · " (visible(&remark)) }
        }
    }
}

pub(super) fn tag(state: State) -> Markup {
    let (class, word) = match state {
        State::Open => ("tag open", "Open"),
        State::Resolved => ("tag", "Resolved"),
        State::Unwatched => ("tag", "No longer watched"),
    };
    html! { span class=(class) { (word) } }
}

fn card(scene: &Scene, incident: &Incident) -> Markup {
    let briefing = brief(scene, incident);
    let number = incident.number;
    html! {
        article.card id=(format!("inc-{number}")) {
            h2 {
                a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) }
                " " (prose(&briefing.headline))
            }
            (standing(scene, incident, &briefing))
            @if let Some(step) = &briefing.next_step { p { strong { "Next: " } (prose(step)) } }
            p {
                a href=(scene.to(&format!("/incidents/{number}/letter"))) {
                    "Letter to " (visible(scene.look.plan.partner_called(&incident.probes)))
                }
            }
        }
    }
}

/// Every cell of a probe.
pub(super) fn keys(probe: &Probe) -> impl Iterator<Item = CellKey> {
    probe.as_clients.iter().flat_map(move |client| {
        probe.with.iter().flat_map(move |credential| {
            probe.from.iter().map(move |egress| CellKey {
                probe: probe.name.clone(),
                egress: egress.clone(),
                client: client.clone(),
                credential: credential.clone(),
            })
        })
    })
}

/// How a probe stands by its last runs alone.
pub(super) enum Standing {
    /// A cell of it failed twice in a row, or more often.
    Fails {
        since: Timestamp,
    },
    Works,
    /// No run of it is of now.
    Unknown {
        worked_at: Option<Timestamp>,
    },
}

pub(super) fn standing_of(scene: &Scene, probe: &Probe) -> Standing {
    let runs = keys(probe).filter_map(|key| match shown(scene, probe, &key) {
        Shown::Run(cell) if scene.turns() => Some(cell),
        _ => None,
    });
    let runs: Vec<&Cell> = runs.collect();
    // Once is weather.
    let lasting = runs
        .iter()
        .filter(|run| !run.kind.works() && run.since != Some(run.at));
    let since = lasting.map(|run| run.since.unwrap_or(run.at)).min();
    match since {
        Some(since) => Standing::Fails { since },
        None if runs.is_empty() => {
            let known = keys(probe).filter_map(|key| scene.look.cell(&key));
            let worked = known.filter(|cell| cell.kind.works());
            Standing::Unknown {
                worked_at: worked.map(|cell| cell.at).max(),
            }
        }
        None => Standing::Works,
    }
}

fn shown<'a>(scene: &'a Scene, probe: &Probe, key: &CellKey) -> Shown<'a> {
    let look = &scene.look;
    let found = look.cell(key);
    let of_now = found.filter(|cell| {
        let age = age(cell.at, scene.now);
        every(probe).is_none_or(|every| age <= every * STALE_AFTER + probe.timeout)
    });
    match (of_now, look.plan.missing(key), found) {
        (Some(cell), ..) => Shown::Run(cell),
        (None, Some(why), _) => Shown::Idle(why),
        (None, None, Some(cell)) => Shown::Stale(cell),
        (None, None, None) => Shown::NotYet,
    }
}

pub(super) fn every(probe: &Probe) -> Option<Duration> {
    match &probe.schedule {
        Schedule::Every(every) => Some(*every),
        Schedule::Cron(_) => None,
    }
}

/// How a cell stands.
enum Shown<'a> {
    /// Its last run.
    Run(&'a Cell),
    /// The last run is too old to tell of now.
    Stale(&'a Cell),
    NotYet,
    /// It can't run; why.
    Idle(&'a str),
}

/// A probe's matrix: egresses across, clients with their credential down.
struct Board<'a> {
    probe: &'a Probe,
    rows: Vec<Row<'a>>,
    failing: Vec<(CellKey, &'a Cell)>,
    newest: Option<&'a Cell>,
    /// Cells that ran, and not within their interval.
    late: usize,
    cells: usize,
}

struct Row<'a> {
    client: &'a ClientName,
    credential: &'a CredentialName,
    cells: Vec<(CellKey, Shown<'a>)>,
}

impl Row<'_> {
    fn passes(&self) -> bool {
        let passes = |shown: &Shown<'_>| matches!(shown, Shown::Run(cell) if cell.kind.works());
        self.cells.iter().all(|(_, shown)| passes(shown))
    }

    fn name(&self) -> String {
        if self.credential.is_anonymous() {
            self.client.to_string()
        } else {
            format!("{} · {}", self.client, self.credential)
        }
    }
}

impl<'a> Board<'a> {
    fn of(scene: &'a Scene, probe: &'a Probe) -> Self {
        let mut board = Self {
            probe,
            rows: Vec::new(),
            failing: Vec::new(),
            newest: None,
            late: 0,
            cells: 0,
        };
        let mut cells = keys(probe);
        for client in &probe.as_clients {
            for credential in &probe.with {
                let row = cells.by_ref().take(probe.from.len());
                let row = row.map(|key| (board.show(scene, &key), key));
                let cells = row.map(|(shown, key)| (key, shown)).collect();
                board.rows.push(Row {
                    client,
                    credential,
                    cells,
                });
            }
        }
        board
    }

    /// Counts a cell in.
    fn show(&mut self, scene: &'a Scene, key: &CellKey) -> Shown<'a> {
        self.cells += 1;
        let shown = shown(scene, self.probe, key);
        if let Shown::Run(cell) | Shown::Stale(cell) = &shown {
            if self.newest.is_none_or(|newest| newest.at < cell.at) {
                self.newest = Some(cell);
            }
            let planned = every(self.probe).map(|every| every + self.probe.timeout);
            let age = age(cell.at, scene.now);
            self.late += usize::from(planned.is_some_and(|planned| age > planned));
        }
        if let Shown::Run(cell) = &shown
            && !cell.kind.works()
        {
            self.failing.push((key.clone(), cell));
        }
        shown
    }

    fn markup(&self, scene: &Scene, known: &Known<'_>, place: usize, head: &Markup) -> Markup {
        let every = match &self.probe.schedule {
            Schedule::Every(every) => format!("every {}", lasting(*every)),
            Schedule::Cron(cron) => format!("by cron {}", cron.text()),
        };
        let folds = self.rows.len() > ROWS_SHOWN;
        let (folded, rows): (Vec<_>, Vec<_>) =
            self.rows.iter().partition(|row| folds && row.passes());
        let drawn = self.cells <= CELLS_MAX;
        html! {
            section.probe id=(format!("probe-{place}")) {
                h2 { (head) }
                p.below {
                    (every)
                    " · "
                    @if self.failing.is_empty() { (many(self.cells, "cell")) }
                    @else { (of(self.failing.len(), self.cells, "cell")) " fail" }
                    @if let Some(newest) = self.newest { " · newest run " (ago(newest.at, scene.now)) }
                    @if self.late > 0 { " · " (many(self.late, "cell")) " late" }
                    @if let Some(what) = &self.probe.words.what { " · " (visible(what)) }
                }
                (self.fails(scene, known))
                @if drawn {
                    @if !rows.is_empty() { (self.table(scene, known, &rows, false)) }
                    @if !folded.is_empty() {
                        details id=(format!("folded-{place}")) {
                            summary {
                                @if rows.is_empty() { (many(folded.len(), "client")) }
                                @else { (folded.len()) " more" }
                                ": every cell passes"
                            }
                            (self.table(scene, known, &folded, true))
                        }
                    }
                } @else {
                    p { "This matrix has " (self.cells) " cells; only those that fail are shown." }
                }
            }
        }
    }

    /// What fails, as a list: for narrow screens, and for a matrix too large to draw.
    fn fails(&self, scene: &Scene, known: &Known<'_>) -> Markup {
        let narrow = (self.cells <= CELLS_MAX).then_some("narrow");
        html! {
            @if !self.failing.is_empty() {
                ul.fails.(narrow.unwrap_or("wide")) {
                    @for (key, cell) in self.failing.iter().take(CELLS_MAX) {
                        li {
                            span class=(class(cell.kind)) { (verdict(cell.kind, cell.code.as_deref(), cell.status)) }
                            " "
                            @let name = html! { (key.client) " from " (key.egress) };
                            @if scene.past { a href=(scene.to(&super::parts::run_path(key, cell.at))) { (name) } }
                            @else { (linked(scene, known, key, &name)) }
                            @if !key.credential.is_anonymous() { " with " (key.credential) }
                            ", " (ago(cell.at, scene.now))
                        }
                    }
                }
            }
        }
    }

    fn table(&self, scene: &Scene, known: &Known<'_>, rows: &[&Row<'_>], rest: bool) -> Markup {
        let egresses: &[EgressName] = &self.probe.from;
        let caption = if rest {
            "The clients of which every cell passes"
        } else {
            "The last run of every cell"
        };
        html! {
            div.scroll tabindex="0" role="region" aria-label=(format!("Matrix of {}", self.probe.name)) {
                table.matrix {
                    caption.unseen { (caption) " of " (self.probe.name) ": a row for each client, a column for each egress" }
                    thead { tr {
                        th scope="col" { "client" }
                        @for egress in egresses { th scope="col" { (egress) } }
                    } }
                    tbody { @for row in rows {
                        tr {
                            th scope="row" { (row.name()) }
                            @for (key, shown) in &row.cells { (td(scene, known, key, shown, &row.name())) }
                        }
                    } }
                }
            }
        }
    }
}

fn td(scene: &Scene, known: &Known<'_>, key: &CellKey, shown: &Shown<'_>, row: &str) -> Markup {
    let unseen = format!("{row} from {}", key.egress);
    match shown {
        Shown::Run(run) => {
            let content = cell(run, &unseen, scene.now);
            if scene.past {
                let to = scene.to(&super::parts::run_path(key, run.at));
                return html! { td class=(class(run.kind)) { a href=(to) { (content) } } };
            }
            html! { td class=(class(run.kind)) { (linked(scene, known, key, &content)) } }
        }
        Shown::Stale(run) => html! {
            td.stale { "– " (ago(run.at, scene.now)) span.took { " was " (verdict(run.kind, run.code.as_deref(), run.status)) } }
        },
        Shown::NotYet if scene.past => html! { td.stale { "– no run is kept" } },
        Shown::NotYet => html! { td.stale { "– not run yet" } },
        Shown::Idle(why) => {
            html! { td.stale title=(visible(why)) { "– can't run" span.unseen { ": " (visible(why)) } } }
        }
    }
}

/// Leads to the incident of a cell, where there is one, and else to how it was before.
fn linked(scene: &Scene, known: &Known<'_>, key: &CellKey, content: &Markup) -> Markup {
    let to = match known.0.get(key) {
        Some(number) => format!("/incidents/{number}"),
        None => super::parts::cell_path(key),
    };
    html! { a href=(scene.to(&to)) { (content) } }
}

/// The matrix of one probe under a title, the `place`th of its page.
pub(super) fn board_of(scene: &Scene, probe: &Probe, place: usize, title: &Markup) -> Markup {
    Board::of(scene, probe).markup(scene, &Known::of(scene), place, title)
}

/// The matrix of one probe, as on the first page.
pub(super) fn board(scene: &Scene, probe: &Probe) -> Markup {
    Board::of(scene, probe).markup(scene, &Known::of(scene), 0, &html! { "Now" })
}

fn control(scene: &Scene, known: &Known<'_>, probe: &Probe) -> Markup {
    let board = Board::of(scene, probe);
    let passing = board.cells - board.failing.len();
    html! {
        li {
            a href=(scene.to(&probe_path(&probe.name))) { (probe.name) } " "
            @match board.newest {
                None => "– not run yet",
                Some(newest) => {
                    @if board.failing.is_empty() { span.sign aria-hidden="true" { "✓" } " " }
                    (of(passing, board.cells, "cell")) " pass, newest run " (ago(newest.at, scene.now))
                }
            }
            (board.fails(scene, known))
        }
    }
}

/// What people are not told at present, by whose wish, and until when.
fn hush(scene: &Scene) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let Some(vitals) = &scene.vitals else {
        return html! {};
    };
    let (silences, maintenance) = (&vitals.silences, &vitals.maintenance);
    html! {
        @if !silences.is_empty() || !maintenance.is_empty() {
            section {
                h2 { "Quiet" }
                ul.plain {
                    @for silence in silences {
                        li {
                            "silence " (silence.silence) ": " (visible(&silence.what))
                            " · until " (time(silence.until, zone, now)) " · by " (visible(&silence.by))
                            @if let Some(why) = &silence.why { ": “" (visible(why)) "”" }
                        }
                    }
                    @if vitals.more_silences > 0 { li { "and " (vitals.more_silences) " more" } }
                    @for window in maintenance {
                        li {
                            "maintenance " (visible(&window.name))
                            " · until " (time(window.until, zone, now))
                            @if window.probes.is_empty() { " · every probe" }
                            @else { " · " (window.probes.join(", ")) }
                        }
                    }
                }
            }
        }
    }
}

/// Agents at other sites: who is heard, and how far behind.
fn sites(scene: &Scene) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let known = scene.vitals.as_ref().and_then(|v| v.sites.as_ref());
    html! {
        @if let Some(known) = known {
            section {
                h2 { "Sites" }
                @if let Some(since) = known.unreachable_since {
                    p.bad { (visible(&known.nats)) " can't be reached since " (time(since, zone, now)) }
                }
                div.scroll tabindex="0" role="region" aria-label="Sites" {
                    table {
                        thead { tr {
                            th scope="col" { "Site" } th scope="col" { "Heard" } th scope="col" { "Plan" }
                            th scope="col" { "Cells" } th scope="col" { "Clock" } th scope="col" { "In its spool" }
                            th scope="col" { "Dropped" }
                        } }
                        tbody { @for site in &known.sites {
                            tr {
                                th scope="row" { (visible(&site.site)) }
                                td.text {
                                    @match (site.silent_since, site.last_heard_at) {
                                        (Some(since), _) => { "silent since " (time(since, zone, now)) }
                                        (None, Some(_)) if site.leaving => { "stopped in good order" }
                                        (None, Some(at)) => { (time(at, zone, now)) }
                                        (None, None) => { "never" }
                                    }
                                }
                                td {
                                    (site.generation)
                                    @if site.generation != site.generation_wanted { ", not " (site.generation_wanted) }
                                }
                                td { (site.cells) }
                                td { @match site.offset_ms { Some(ms) => { (ms) " ms behind" } None => { "?" } } }
                                td { (many(site.spool_runs as usize, "run")) }
                                td { (many(site.dropped_runs as usize, "run")) }
                            }
                        } }
                    }
                }
                @for trouble in known.troubles() { p { (visible(&trouble)) } }
                @if known.lag > 0 { p { (many(known.lag as usize, "message")) " stored and not read yet" } }
            }
        }
    }
}

fn edgewatch(scene: &Scene) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        @if let Some(vitals) = &scene.vitals {
            section {
                h2 { "edgewatch" }
                p {
                    "runs since " (time(vitals.started_at, zone, now))
                    @if let Some(at) = vitals.stopped_at { ", stopped " (time(at, zone, now)) }
                    " · " (many(vitals.runs.ended as usize, "run")) " ended, " (vitals.runs.in_flight) " under way"
                    @if vitals.store.failing_since.is_none() { " · store written" }
                    " · "
                    @match vitals.outbox.iter().map(|due| due.messages).sum::<u64>() {
                        0 => "no message waits",
                        1 => "1 message waits",
                        more => { (more) " messages wait" }
                    }
                }
                @if let Some(hub) = &vitals.hub { p { (visible(&hub.said())) } }
            }
        }
    }
}
