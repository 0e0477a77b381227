//! The post-mortem of an incident in Markdown: every section that facts can fill is filled.
//!
//! What only people know is asked for in lines that begin with **To write**, so that nothing invented
//! stands beside what was seen.

mod actions;
mod json;
mod plain;

use std::fmt::Write as _;

use super::curl;
use super::dossier::{Dossier, Told, short};
use super::partner;
use super::prose::{between, both, list, local, sentence, shows_utc, utc};
use crate::domain::incident::{Happening, TimelineEntry};
use crate::domain::notification::Reason;
use jiff::Timestamp;

use actions::{actions, lessons};
pub use json::json;
use plain::plain;

/// Rows of the timeline; the middle of a longer one is left out and counted.
const ROWS: usize = 120;

/// The whole document.
#[must_use]
pub fn text(dossier: &Dossier<'_>) -> String {
    let mut text = String::new();
    let incident = &dossier.incident;
    let _ = writeln!(
        text,
        "# INC-{}: {}\n",
        incident.number,
        one_line(&sentence(&dossier.headline))
    );
    let _ = writeln!(
        text,
        "*Drawn up by edgewatch from what it recorded, {}. Lines that begin with \"To write\" need a person.*\n",
        both(dossier.now, &dossier.plan.zone)
    );
    for (title, lines) in sections(dossier) {
        let _ = writeln!(text, "## {title}\n");
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    harmless(&text)
}

/// The document without HTML and links: it has none of ours, so whatever looks like one is a stranger's.
///
/// What stands between fences is shown as it is.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 64);
    let mut fenced = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let (mut before, mut slashes) = (' ', 0);
        for character in line.chars() {
            let opens = character == '<' || (character == '(' && before == ']');
            // An odd number of backslashes before it has taken its meaning already.
            if opens && !fenced && slashes % 2 == 0 {
                safe.push('\\');
            }
            slashes = if character == '\\' { slashes + 1 } else { 0 };
            before = character;
            safe.push(character);
        }
    }
    safe
}

/// Title and lines of each section, in their order.
fn sections(dossier: &Dossier<'_>) -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("Summary", summary(dossier)),
        ("Impact", impact(dossier)),
        ("In plain words", vec![plain(dossier)]),
        ("Timeline", timeline_table(dossier)),
        ("Root cause", root_cause(dossier)),
        ("Trigger", trigger(dossier)),
        ("Resolution", resolution(dossier)),
        ("Detection", detection(dossier)),
        ("What it was not", was_not(dossier)),
        ("Actions", items("- [ ] ", actions(dossier))),
        ("Lessons", items("- **To write:** ", lessons(dossier))),
        ("Evidence", evidence(dossier)),
    ]
}

fn items(first: &str, lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| format!("{first}{line}"))
        .collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn percent(dossier: &Dossier<'_>) -> String {
    format!("{:.0} %", (dossier.briefing.confidence * 100.0).floor())
}

fn summary(dossier: &Dossier<'_>) -> Vec<String> {
    let zone = &dossier.plan.zone;
    let incident = &dossier.incident;
    let span = match incident.resolved_at {
        Some(end) if dossier.unwatched() => format!(
            "For {} or longer, since {}; no longer watched since {}, so whether it is over is not known",
            dossier.lasted(),
            both(incident.onset_at, zone),
            both(end, zone)
        ),
        Some(_) => format!(
            "For {}, from {} to {}",
            dossier.lasted(),
            both(incident.onset_at, zone),
            both(dossier.end(), zone)
        ),
        None => format!(
            "For {} so far, since {}, and {}",
            dossier.lasted(),
            both(incident.onset_at, zone),
            not_over(dossier)
        ),
    };
    let sure = if dossier.warns() {
        String::new()
    } else if dossier.briefing.cause_known {
        format!(" Confidence in the cause: {}.", percent(dossier))
    } else {
        " The cause is not certain.".to_owned()
    };
    let mut lines = vec![format!(
        "{span}: {}.{sure}",
        dossier.headline.trim_end_matches('.')
    )];
    if incident.reopened > 0 {
        lines.push(format!(
            "\nIt came back {} times after it had seemed over.",
            incident.reopened
        ));
    }
    lines
}

/// How far it is over that is not decided yet.
fn not_over(dossier: &Dossier<'_>) -> String {
    match dossier.may_be_over_since() {
        Some(good) => format!(
            "perhaps over: since {} nothing has failed, which is not certain yet",
            both(good, &dossier.plan.zone)
        ),
        None => "not over".to_owned(),
    }
}

fn impact(dossier: &Dossier<'_>) -> Vec<String> {
    let incident = &dossier.incident;
    let words = &dossier.briefing.words;
    let mut lines = Vec::new();
    let mut fact = |name: &str, text: String| lines.push(format!("- {name}: {text}"));
    if dossier.warns() {
        fact("What did not work", "nothing; it was warned of".to_owned());
        if let Some(what) = &words.what {
            fact("What would have been hit", what.clone());
        }
    } else {
        if let Some(what) = &words.what {
            fact("What did not work", what.clone());
        }
        if let Some(affects) = &words.affects {
            fact("Who was affected", affects.clone());
        }
        if let Some(workaround) = &words.workaround {
            fact("What worked meanwhile", workaround.clone());
        }
    }
    fact("How long", dossier.lasted());
    let failing: Vec<String> = dossier
        .lines
        .iter()
        .filter(|line| line.failing)
        .map(|line| short(dossier, &line.cell))
        .collect();
    fact(
        "How wide",
        format!(
            "{} of the {} cells that ran: {}",
            failing.len(),
            dossier.lines.len(),
            few(&failing)
        ),
    );
    let runs = if dossier.warns() {
        "Runs that were warned of"
    } else {
        "Failed runs"
    };
    fact(runs, format!("{} seen", incident.failed_runs));
    fact(
        "Extra requests to find the cause",
        incident.extra_runs.to_string(),
    );
    if !dossier.warns() {
        lines.push(
            "- **To write:** how many people or jobs were hit, and what was lost or late?"
                .to_owned(),
        );
    }
    lines
}

/// At most six names.
fn few(names: &[String]) -> String {
    if names.len() <= 6 {
        list(names, "and")
    } else {
        format!("{} and {} more", names[..6].join(", "), names.len() - 6)
    }
}

/// When it was seen to be over, not when that was certain.
fn first_good(dossier: &Dossier<'_>) -> Option<Timestamp> {
    let first_good = dossier.incident.spells.first_good_at;
    first_good.filter(|_| dossier.resolved())
}

/// A moment and what happened.
fn events(dossier: &Dossier<'_>) -> Vec<(Timestamp, String)> {
    let incident = &dossier.incident;
    let (failed, failing) = if dossier.warns() {
        ("was warned of", "warned of")
    } else {
        ("failed", "failing")
    };
    let mut events = Vec::new();
    if let Some(good) = incident.last_good_at {
        events.push((good, "The last run that passed before.".to_owned()));
    }
    // The timeline says it itself where it knows which run it was.
    let first =
        |entry: &TimelineEntry| entry.what == Happening::Cells && entry.at == incident.onset_at;
    if !dossier.timeline.iter().any(first) {
        events.push((incident.onset_at, format!("The first run that {failed}.")));
    }
    if incident.resolved_at.is_some() {
        let mut seen = |at: Option<Timestamp>, text: String| {
            events.extend(at.map(|at| (at, text)));
        };
        seen(
            incident.spells.last_bad_at,
            format!("The last run that {failed}."),
        );
        seen(
            first_good(dossier),
            format!("The first run that passed, with none {failing} after it."),
        );
    }
    for entry in &dossier.timeline {
        let name = match entry.what {
            Happening::Opened => "Incident opened",
            Happening::Changed => "Changed",
            Happening::Resolved => "Resolved",
            Happening::Reopened => "Reopened",
            Happening::Cells => "Cells",
            Happening::Drift => "Change noticed",
            Happening::Note => "Note",
            Happening::Removed => "No longer watched",
            // Sentences that say themselves what they are.
            Happening::ExtraRun
            | Happening::Acknowledged
            | Happening::Released
            | Happening::Muted
            | Happening::Maintenance => {
                events.push((entry.at, sentence(&entry.text)));
                continue;
            }
        };
        events.push((entry.at, format!("{name}: {}", entry.text)));
    }
    for told in &dossier.told {
        if let Some(at) = told.at {
            events.push((
                at,
                format!("Told {} ({}).", called(told), told.reason.as_str()),
            ));
        }
    }
    // The timeline may have told these itself.
    let told = |what| dossier.timeline.iter().any(|entry| entry.what == what);
    if !told(Happening::Drift) {
        let changes = incident.beside.iter();
        events.extend(changes.map(|c| (c.at, format!("Change noticed: {}.", sentence(&c.text)))));
    }
    if let Some(by) = incident
        .acknowledged
        .as_ref()
        .filter(|_| !told(Happening::Acknowledged))
    {
        events.push((by.at, format!("Acknowledged by {}.", by.by)));
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

fn timeline_table(dossier: &Dossier<'_>) -> Vec<String> {
    let zone = &dossier.plan.zone;
    let events = events(dossier);
    // Where clocks show UTC a second column would say the same.
    let once = events.iter().all(|(at, _)| shows_utc(*at, zone));
    let there = zone.iana_name().unwrap_or("local");
    let mut lines = if once {
        vec!["| UTC | what |".to_owned(), "| --- | --- |".to_owned()]
    } else {
        vec![
            format!("| UTC | {there} | what |"),
            "| --- | --- | --- |".to_owned(),
        ]
    };
    let row = |(at, text): &(Timestamp, String)| {
        let (utc, text) = (utc(*at), table_cell(text));
        let utc = utc.trim_end_matches(" UTC");
        if once {
            format!("| {utc} | {text} |")
        } else {
            format!("| {utc} | {} | {text} |", local(*at, zone))
        }
    };
    if events.len() <= ROWS {
        lines.extend(events.iter().map(row));
    } else {
        let half = ROWS / 2;
        lines.extend(events[..half].iter().map(row));
        let dots = if once { "| … |" } else { "| … | … |" };
        lines.push(format!(
            "{dots} {} more, see `edgewatch incidents show {}` |",
            events.len() - 2 * half,
            dossier.incident.number
        ));
        lines.extend(events[events.len() - half..].iter().map(row));
    }
    lines.push(String::new());
    lines.push(
        "**To write:** what people did, and when (calls, mails, guesses that turned out wrong)."
            .to_owned(),
    );
    lines
}

/// Text of ours in a table: a bar would begin a new column.
fn table_cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

fn root_cause(dossier: &Dossier<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if dossier.briefing.cause_known {
        lines.push(format!(
            "{}. Confidence {}.\n",
            sentence(dossier.headline.trim_end_matches('.')),
            percent(dossier)
        ));
    } else if dossier.warns() {
        lines.push(
            "Nothing failed; what was warned of stands in the answers themselves.\n".to_owned(),
        );
    } else {
        lines.push("It could not be told from the runs alone.\n".to_owned());
    }
    lines.extend(items("- ", dossier.briefing.because.clone()));
    if let Some(tell) = &dossier.incident.diagnosis.would_tell {
        lines.push(format!("- What would tell more: {tell}."));
    }
    lines
}

fn trigger(dossier: &Dossier<'_>) -> Vec<String> {
    let zone = &dossier.plan.zone;
    let onset = dossier.incident.onset_at;
    let when = match dossier.incident.last_good_at {
        Some(good) => format!("between {} and {}", both(good, zone), both(onset, zone)),
        None => format!("before {}", both(onset, zone)),
    };
    let whom = if dossier.ours() || dossier.own_rate() {
        "on our own side".to_owned()
    } else {
        format!("at {}", partner::recipient(dossier))
    };
    let beside = &dossier.briefing.beside;
    let mut lines = if dossier.own_rate() {
        vec![format!(
            "It began to show {when}. edgewatch itself asked too often; a probe that was added or made more frequent, or a limit that was lowered, would explain it."
        )]
    } else if beside.is_empty() {
        vec![format!(
            "It began to show {when}; what set it off, the runs can't tell."
        )]
    } else {
        vec![format!(
            "It began to show {when}. Changes that were seen near it:\n"
        )]
    };
    lines.extend(items("- ", beside.clone()));
    lines.push(format!(
        "\n**To write:** what was changed {whom} by then, and why?"
    ));
    lines
}

fn resolution(dossier: &Dossier<'_>) -> Vec<String> {
    let zone = &dossier.plan.zone;
    match dossier.incident.resolved_at {
        Some(end) if dossier.unwatched() => vec![
            format!(
                "Not known. What failed is no longer watched as it was since {}, and was last seen {}: the file was edited, or a secret is missing.",
                both(end, zone),
                dossier.incident.kind.label()
            ),
            "\n**To write:** is it over, and how do we know?".to_owned(),
        ],
        Some(decided) => vec![
            format!(
                "Over since {}: every cell that {} has passed again, repeatedly.{}",
                both(dossier.end(), zone),
                if dossier.warns() {
                    "was warned of"
                } else {
                    "failed"
                },
                first_good(dossier).map_or_else(String::new, |_| format!(
                    " That was certain at {}.",
                    both(decided, zone)
                ))
            ),
            format!(
                "\n**To write:** what ended it, and who did it? (edgewatch sees that it ended, not why; ask {}.)",
                if dossier.own_rate() {
                    "those who run edgewatch".to_owned()
                } else if dossier.ours() {
                    "our own network's people".to_owned()
                } else {
                    partner::recipient(dossier)
                }
            ),
        ],
        None => vec![format!(
            "{}. {}.",
            sentence(&not_over(dossier)),
            dossier
                .briefing
                .next_step
                .as_deref()
                .unwrap_or("See `edgewatch incidents show`")
                .trim_end_matches('.')
        )],
    }
}

fn detection(dossier: &Dossier<'_>) -> Vec<String> {
    let zone = &dossier.plan.zone;
    let incident = &dossier.incident;
    let onset = incident.onset_at;
    let after = |at: Timestamp| {
        if at < onset {
            format!("{} before", between(at, onset))
        } else {
            between(onset, at)
        }
    };
    let failed = if dossier.warns() {
        "run that was warned of"
    } else {
        "failed run"
    };
    let mut rows = vec![
        (format!("first {failed}"), onset),
        ("incident opened".to_owned(), incident.opened_at),
    ];
    let mut row = |what: &str, at: Option<Timestamp>| {
        rows.extend(at.map(|at| (what.to_owned(), at)));
    };
    row("last good run before", incident.last_good_at);
    let spells = &incident.spells;
    if incident.reopened > 0 {
        row(
            &format!("first {failed} since it came back"),
            spells.back_at,
        );
    }
    if incident.resolved_at.is_some() {
        row(&format!("last {failed}"), spells.last_bad_at);
    }
    let ended = if dossier.unwatched() {
        "no longer watched"
    } else {
        row("first good run after", first_good(dossier));
        "certain that it is over"
    };
    row(ended, incident.resolved_at);
    if let Some(by) = &incident.acknowledged {
        let who = table_cell(&by.by);
        row(&format!("acknowledged by {who}"), Some(by.at));
    }
    for told in &dossier.told {
        let what = match told.reason {
            Reason::Opened => "began",
            Reason::Resolved => "is over",
            Reason::Unwatched => "is no longer watched",
            _ => continue,
        };
        let receiver = table_cell(&called(told));
        row(&format!("{receiver} told that it {what}"), told.at);
    }
    rows.sort_by_key(|(_, at)| *at);
    let mut lines = vec![
        format!("| what | when | after the first {failed} |"),
        "| --- | --- | --- |".to_owned(),
    ];
    lines.extend(
        rows.iter()
            .map(|(what, at)| format!("| {what} | {} | {} |", both(*at, zone), after(*at))),
    );
    let untold: Vec<String> = dossier
        .told
        .iter()
        .filter(|t| t.at.is_none())
        .map(not_told)
        .collect();
    if !untold.is_empty() {
        lines.push(String::new());
        lines.extend(items("- ", untold));
    }
    if dossier.told.is_empty() {
        lines.push("\nNobody was told: no receiver was due a message.".to_owned());
    }
    lines
}

/// Who was told, and in whose place.
fn called(told: &Told) -> String {
    match &told.instead_of {
        Some(other) => format!("{} in place of {other}", told.receiver),
        None => told.receiver.clone(),
    }
}

fn not_told(told: &Told) -> String {
    match &told.error {
        Some(error) => format!(
            "{} could not be told ({}): {error}",
            called(told),
            told.reason.as_str()
        ),
        None => format!(
            "{} is not told yet ({})",
            called(told),
            told.reason.as_str()
        ),
    }
}

fn was_not(dossier: &Dossier<'_>) -> Vec<String> {
    let ruled_out = &dossier.briefing.ruled_out;
    if ruled_out.is_empty() {
        return vec!["Nothing was ruled out.".to_owned()];
    }
    items("- ", ruled_out.clone())
}

fn evidence(dossier: &Dossier<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for line in &dossier.lines {
        lines.push(format!(
            "- {} {}{}{}",
            if line.failing {
                line.kind.label()
            } else {
                "pass"
            },
            short(dossier, &line.cell),
            line.status
                .map_or_else(String::new, |status| format!(", HTTP {status}")),
            line.at
                .map_or_else(String::new, |at| format!(", {}", utc(at)))
        ));
    }
    if !dossier.references.is_empty() {
        let ids: Vec<String> = dossier
            .references
            .iter()
            .map(|r| format!("`{}`", r.id))
            .collect();
        lines.push(format!(
            "- {}s: {}",
            dossier.vendor.reference,
            ids.join(", ")
        ));
    }
    let failed = if dossier.warns() {
        "A request that was warned of"
    } else {
        "A request that failed"
    };
    for (name, run) in [
        (failed, &dossier.incident.failing),
        ("A request that passed", &dossier.incident.passing),
    ] {
        let Some(run) = run else { continue };
        let answer = match (run.status, &run.failure) {
            (Some(status), _) => format!("HTTP {status}"),
            (None, Some(failure)) => failure.clone(),
            (None, None) => "no answer".to_owned(),
        };
        lines.push(format!(
            "\n{name}, {}, {answer}:\n",
            both(run.at, &dossier.plan.zone)
        ));
        lines.push("```sh".to_owned());
        lines.push(curl::command(dossier.plan, run));
        lines.push("```".to_owned());
        for sign in run
            .verdict
            .evidence
            .iter()
            .filter(|_| !run.verdict.passed())
        {
            lines.push(format!("- {}: {}", sign.strength, one_line(&sign.text)));
        }
    }
    let number = dossier.incident.number;
    let letter = if dossier.ours() {
        String::new()
    } else {
        format!("; for the partner: `edgewatch report {number}`")
    };
    lines.push(format!(
        "\nThe whole of it: `edgewatch incidents show {number}`{letter}."
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_a_stranger_wrote_is_no_html_and_no_link() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text), expected);
        check("<script>x</script>", "\\<script>x\\</script>");
        check("a \\<b> \\\\<b>", "a \\<b> \\\\\\<b>");
        check("![x](https://evil.example)", "![x]\\(https://evil.example)");
        check(
            "- [ ] (a) f(x)\n```sh\na < b\n```\n<",
            "- [ ] (a) f(x)\n```sh\na < b\n```\n\\<",
        );
    }

    #[test]
    fn march_2021_when_it_was_over() {
        let mut night = fixture::march();
        night.resolve();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn a_cause_that_nobody_knows_yet() {
        let mut night = fixture::march();
        night.cannot_tell();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn our_own_network() {
        let night = fixture::our_side();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn what_was_over_within_a_minute_has_one_time_in_plain_words() {
        let mut night = fixture::march();
        night.resolve();
        let over = Some(fixture::at("02:14:40"));
        night.incident.spells.last_bad_at = over;
        night.incident.spells.first_good_at = over;
        let plain = plain(&night.dossier());
        assert!(plain.contains(", at 02:14 on Sunday"), "{plain}");
    }

    #[test]
    fn no_codes_in_the_plain_words() {
        let mut night = fixture::march();
        for _ in 0..2 {
            let plain = plain(&night.dossier());
            for word in [
                "403",
                "1010",
                "HTTP",
                "Cloudflare",
                "user agent",
                "Java",
                "egress",
                "webcache",
            ] {
                assert!(!plain.contains(word), "{word}: {plain}");
            }
            night.resolve();
        }
    }
}
