//! The evidence pack: an incident as a letter to the partner, ready to be pasted into a mail.
//!
//! It answers beforehand what partners ask first: which environment, which address as they see it, which
//! user agent, when in UTC, which reference id. What only we need to know (an address that is not
//! configured, a cause that is not sure) stands above the letter, to be deleted before it is sent.

mod json;

use std::fmt::Write as _;

use super::curl;
use super::dossier::{Dossier, Line, Origin, short};
use super::partner;
use super::prose::{both, utc, wrapped};
use crate::domain::cell::ClientName;
use crate::domain::diagnosis::Level;
use crate::domain::head::closest;
use crate::domain::incident::Specimen;
use crate::domain::verdict::Kind;

pub use json::json;

/// Below this confidence we are told so before the letter leaves.
const SURE: f64 = 0.9;
/// Reference ids in the letter.
const REFERENCES: usize = 10;

/// The letter; for our own faults, a note that none is due.
#[must_use]
pub fn text(dossier: &Dossier<'_>) -> String {
    let mut text = String::new();
    for note in notes(dossier) {
        text.push_str(&wrapped("| ", &note).replace("\n  ", "\n| "));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "Subject: {}\n", subject(dossier));
    happens(&mut text, dossier);
    wishes(&mut text, dossier);
    environment(&mut text, dossier);
    matrix(&mut text, dossier);
    references(&mut text, dossier);
    let fails = if dossier.warns() {
        "A request that shows it"
    } else {
        "A request that fails"
    };
    for (title, run) in [
        (fails, &dossier.incident.failing),
        ("A request that passes", &dossier.incident.passing),
    ] {
        if let Some(run) = run {
            request(&mut text, dossier, title, run);
        }
    }
    sure(&mut text, dossier);
    contact(&mut text, dossier);
    text
}

/// Whom the partner may ring.
fn contact(text: &mut String, dossier: &Dossier<'_>) {
    if let Some(ring) = &dossier.briefing.words.contact.ring {
        text.push('\n');
        text.push_str(&wrapped("", &format!("Our contact: {ring}")));
    }
}

/// What we must know or mend before it is sent.
fn notes(dossier: &Dossier<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if dossier.unwatched() {
        notes.push(
            "For us: this is no longer watched as it was, so what stands below is what was seen last. Look whether it is still so before you send it."
                .to_owned(),
        );
    }
    if dossier.ours() {
        notes.push(format!(
            "For us only: the fault is on our own side. Nothing is asked of {}; do not send this to them.",
            dossier.called()
        ));
        return notes;
    }
    if dossier.own_rate() {
        notes.push(
            "For us: edgewatch itself asks too often. Raise `every:` of its probes or lower `requests_per_minute` under `politeness:` first; this letter only asks for the limit."
                .to_owned(),
        );
    }
    if dossier.control() {
        notes.push(format!(
            "For us: this is about the control site {}, not about {}.",
            partner::host(dossier),
            dossier.called()
        ));
    }
    let unknown: Vec<String> = dossier
        .egresses()
        .iter()
        .filter(|name| dossier.origin(name).public.is_none())
        .map(|name| format!("\"{name}\""))
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "For us: the public address of {} is not configured (`public:` in the file). Fill it in below; a partner can't use a local address.",
            super::prose::list(&unknown, "and")
        ));
    }
    let levels = dossier.incident.diagnosis.cause.levels();
    for name in levels.iter().filter_map(|level| match level {
        Level::Credential(name) => Some(name),
        _ => None,
    }) {
        notes.push(format!(
            "For us: \"{name}\" is our own name for the account. Say which it is at {}; its user name is left out here.",
            dossier.called()
        ));
    }
    if let Some(good) = dossier.may_be_over_since() {
        notes.push(format!(
            "For us: nothing has failed since {}, so it may be over. Look again in a minute before you send this.",
            utc(good)
        ));
    }
    let certain = dossier.briefing.cause_known && dossier.briefing.confidence >= SURE;
    if !certain && !dossier.warns() {
        notes.push(
            "For us: the cause is not certain. Send the facts, and leave the conclusion open."
                .to_owned(),
        );
    }
    let clients: Vec<ClientName> = levels
        .iter()
        .filter_map(|level| match level {
            Level::Client(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let diagnosis = &dossier.incident.diagnosis;
    let by_parts = || closest(dossier.plan, diagnosis, &clients)?.would_tell();
    if let Some(tell) = diagnosis.would_tell.clone().or_else(by_parts) {
        notes.push(format!("For us: this would tell more: {}.", plain(&tell)));
    }
    if !notes.is_empty() {
        notes.push("Delete these lines before sending.".to_owned());
    }
    notes
}

fn subject(dossier: &Dossier<'_>) -> String {
    let incident = &dossier.incident;
    if dossier.own_rate() {
        return format!(
            "{}: a question about your request limit (our reference INC-{})",
            partner::host(dossier),
            incident.number
        );
    }
    let what = if incident.kind == Kind::Warning {
        "something to look at before it fails"
    } else if incident.kind.is_refusal() {
        "our requests are refused"
    } else {
        "our requests fail"
    };
    let what = if dossier.resolved() && incident.kind != Kind::Warning {
        what.replace("are refused", "were refused")
            .replace("fail", "failed")
    } else {
        what.to_owned()
    };
    let since = incident.onset_at.strftime("%Y-%m-%d %H:%M UTC");
    let span = match incident.resolved_at {
        Some(_) if dossier.unwatched() => format!(
            "since {since}, last seen so at {}",
            dossier.end().strftime("%Y-%m-%d %H:%M UTC")
        ),
        Some(_) => format!(
            "from {since} to {}",
            dossier.end().strftime("%Y-%m-%d %H:%M UTC")
        ),
        None => format!("since {since}"),
    };
    format!(
        "{}: {what}, {span} (our reference INC-{})",
        partner::host(dossier),
        incident.number
    )
}

/// Names in quotation marks: a mail shows no code.
fn plain(text: &str) -> String {
    text.replace('`', "\"")
}

fn title(text: &str) -> String {
    format!("{}\n{}\n", text, "-".repeat(text.chars().count()))
}

fn happens(text: &mut String, dossier: &Dossier<'_>) {
    let incident = &dossier.incident;
    text.push_str(&title("What happens"));
    if dossier.ours() {
        text.push_str(&wrapped(
            "",
            &format!("{}.", plain(dossier.headline.trim_end_matches('.'))),
        ));
    } else {
        text.push_str(&wrapped("", &partner::what_happens(dossier)));
        for pair in partner::the_pairs(dossier) {
            text.push_str(&wrapped("", &pair));
        }
        if let Some(code) = partner::whose_code(dossier) {
            text.push_str(&wrapped("", &code));
        }
        if let Some(change) = partner::change(dossier) {
            text.push_str(&wrapped("", &change));
        }
    }
    text.push('\n');
    let zone = &dossier.plan.zone;
    if let Some(good) = incident.last_good_at {
        let _ = writeln!(text, "  last passed   {}", both(good, zone));
    }
    let began = both(incident.onset_at, zone);
    let lasted = dossier.lasted();
    let fails = if dossier.warns() {
        ["so since    ", "first so    ", "last so     ", "runs"]
    } else {
        [
            "fails since ",
            "first failed",
            "last failed ",
            "failed runs",
        ]
    };
    let seen = format!("{} {} seen", incident.failed_runs, fails[3]);
    let _ = match incident.resolved_at {
        Some(end) if dossier.unwatched() => writeln!(
            text,
            "  failed from   {began}\n  watched until {}, and not since: whether it is over is not known\n  so far        {lasted}, {seen}\n",
            both(end, zone)
        ),
        Some(_) => {
            if let Some(bad) = incident.spells.last_bad_at {
                let _ = writeln!(
                    text,
                    "  {}  {began}\n  {}  {}",
                    fails[1],
                    fails[2],
                    both(bad, zone)
                );
            } else {
                let _ = writeln!(text, "  failed from   {began}");
            }
            writeln!(
                text,
                "  passes since  {}\n  lasted        {lasted}, {seen}\n",
                both(dossier.end(), zone)
            )
        }
        None => {
            let over = match dossier.may_be_over_since() {
                Some(good) => format!("passes since  {}, which is not certain yet", utc(good)),
                None => format!("not over at   {}", both(dossier.now, zone)),
            };
            writeln!(
                text,
                "  {}  {began}\n  {over}\n  so far        {lasted}, {seen}\n",
                fails[0]
            )
        }
    };
}

fn wishes(text: &mut String, dossier: &Dossier<'_>) {
    let asked = partner::asked(dossier);
    if asked.is_empty() {
        text.push_str(&title("What to do on our side"));
        let step = dossier.briefing.next_step.clone().unwrap_or_else(|| {
            if dossier.resolved() {
                "Nothing now: it is over.".to_owned()
            } else {
                "Check our own side: address, route, proxy, firewall, name servers".to_owned()
            }
        });
        text.push_str(&wrapped(
            "",
            &format!("{}.", plain(step.trim_end_matches('.'))),
        ));
    } else {
        text.push_str(&title("What we ask of you"));
        for (index, wish) in asked.iter().enumerate() {
            text.push_str(&wrapped(&format!("{}. ", index + 1), wish));
        }
    }
    text.push('\n');
}

fn environment(text: &mut String, dossier: &Dossier<'_>) {
    text.push_str(&title("Environment"));
    let _ = writeln!(text, "  service       {}", dossier.called());
    let probes = dossier.incident.probes.iter();
    for (probe, name) in probes.clone().map(|name| (dossier.plan.probe(name), name)) {
        match probe {
            Some(probe) => {
                let _ = writeln!(text, "  endpoint      {} {}", probe.method, probe.url);
            }
            None => {
                let _ = writeln!(text, "  endpoint      {name} (no longer configured)");
            }
        }
    }
    let mut tags: Vec<&str> = probes
        .filter_map(|name| dossier.plan.probe(name))
        .flat_map(|probe| probe.tags.iter().map(String::as_str))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    if !tags.is_empty() {
        let _ = writeln!(text, "  tags          {}", tags.join(", "));
    }
    if let Some(run) = dossier
        .incident
        .failing
        .as_ref()
        .or(dossier.incident.passing.as_ref())
    {
        if !run.resolved.is_empty() {
            let _ = writeln!(text, "  resolves to   {}", run.resolved.join(", "));
        }
        if let Some(remote) = &run.remote {
            let _ = writeln!(text, "  connected to  {remote}");
        }
        if let Some(certificate) = &run.certificate {
            text.push_str(&wrapped("  certificate   ", certificate));
        }
        for path in &run.paths {
            let path = format!("path to {}", path.end(run.at)).replace('`', "\"");
            text.push_str(&wrapped("                ", &path));
        }
    }
    for name in dossier.egresses() {
        let origin = dossier.origin(&name);
        let _ = writeln!(text, "  sent from     {name}: {}", from(&origin));
    }
    for name in clients(dossier) {
        let agent = dossier.plan.client(&name).map(|c| c.user_agent.as_str());
        let agent = match agent {
            None => "no longer configured".to_owned(),
            Some("") => "no User-Agent header".to_owned(),
            Some(agent) => format!("user agent \"{agent}\""),
        };
        let _ = writeln!(
            text,
            "  client        {name}: {agent}, {}",
            fares(dossier, &name)
        );
    }
    let mut accounts: Vec<&str> = dossier
        .lines
        .iter()
        .filter(|line| !line.cell.credential.is_anonymous())
        .map(|line| line.cell.credential.as_str())
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    for account in accounts {
        let _ = writeln!(
            text,
            "  account       {account} (our name for it; user name and password are left out)"
        );
    }
    text.push('\n');
}

/// The address that the partner sees; what it is within our own network is for us, until the other is filled in.
fn from(origin: &Origin) -> String {
    if let Some(public) = &origin.public {
        return format!("{public} (public address)");
    }
    let local = origin
        .local
        .as_ref()
        .map_or_else(String::new, |local| format!(", local address {local}"));
    let proxy = origin
        .proxy
        .as_ref()
        .map_or_else(String::new, |proxy| format!(", through our proxy {proxy}"));
    format!("[public address: to be filled in]{local}{proxy}")
}

fn clients(dossier: &Dossier<'_>) -> Vec<ClientName> {
    let mut names: Vec<ClientName> = Vec::new();
    for line in &dossier.lines {
        if !names.contains(&line.cell.client) {
            names.push(line.cell.client.clone());
        }
    }
    names
}

/// How the cells of a client fare.
fn fares(dossier: &Dossier<'_>, name: &ClientName) -> &'static str {
    let mut of = dossier
        .lines
        .iter()
        .filter(|line| line.cell.client == *name);
    let verb = |now: &'static str, then: &'static str| if dossier.resolved() { then } else { now };
    if dossier.warns() {
        return if of.any(|line| line.failing) {
            verb("is answered so", "was answered so")
        } else {
            verb("is answered well", "was answered well")
        };
    }
    match (
        of.clone().all(|line| line.failing),
        of.any(|line| line.failing),
    ) {
        (_, true) if dossier.at_times() => verb("fails at times", "failed at times"),
        (true, _) => verb("fails", "failed"),
        (_, true) => verb("fails in part", "failed in part"),
        _ => verb("passes", "passed"),
    }
}

fn matrix(text: &mut String, dossier: &Dossier<'_>) {
    if dossier.lines.is_empty() {
        return;
    }
    text.push_str(&title(if dossier.warns() {
        "What is answered so, and what well (last run that shows it, UTC)"
    } else {
        "What fails and what passes (last run that shows it, UTC)"
    }));
    let width = |line: &Line| short(dossier, &line.cell).chars().count();
    let names = dossier.lines.iter().map(width).max().unwrap_or(0);
    let at_times = dossier.at_times();
    for line in &dossier.lines {
        let verb = match (line.failing, dossier.resolved()) {
            (true, _) if dossier.warns() => "so    ",
            (false, _) if dossier.warns() => "well  ",
            (true, false) if at_times => "FAILS AT TIMES ",
            (true, true) if at_times => "FAILED AT TIMES",
            (false, false) if at_times => "passes         ",
            (false, true) if at_times => "passed         ",
            (true, false) => "FAILS ",
            (true, true) => "FAILED",
            (false, false) => "passes",
            (false, true) => "passed",
        };
        let at = line.at.map_or_else(String::new, |at| {
            at.strftime("%Y-%m-%d %H:%M:%S").to_string()
        });
        let row = format!(
            "  {verb}  {at:<19}  {:<names$}  {}",
            short(dossier, &line.cell),
            answer(line)
        );
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text.push('\n');
}

/// `blocked, HTTP 403, 1010`.
fn answer(line: &Line) -> String {
    let mut parts = Vec::new();
    if line.failing {
        parts.push(line.kind.label().to_lowercase());
    }
    parts.extend(line.status.map(|status| format!("HTTP {status}")));
    let answered = line.failing && line.status.is_some();
    parts.extend(line.code.clone().filter(|_| answered));
    parts.join(", ")
}

fn references(text: &mut String, dossier: &Dossier<'_>) {
    if dossier.references.is_empty() {
        return;
    }
    let what = dossier.vendor.reference;
    text.push_str(&title(&match (&dossier.vendor.name, what) {
        (_, "reference") => "Reference ids of refused requests".to_owned(),
        _ => format!("{what}s of failed requests"),
    }));
    for reference in dossier.references.iter().take(REFERENCES) {
        let at = reference
            .at
            .map_or_else(String::new, |at| format!("{}  ", utc(at)));
        let cell = reference
            .cell
            .as_ref()
            .map_or_else(String::new, |cell| format!("  {}", short(dossier, cell)));
        let _ = writeln!(text, "  {at}{}{cell}", reference.id);
    }
    text.push('\n');
}

/// A run: when, from where, to where, as a command, and what came back.
fn request(text: &mut String, dossier: &Dossier<'_>, name: &str, run: &Specimen) {
    text.push_str(&title(name));
    let origin = dossier.origin(&run.cell.egress);
    let seen = origin.public.map_or_else(
        || {
            run.local
                .clone()
                .unwrap_or_else(|| run.cell.egress.to_string())
        },
        |public| format!("{public} (\"{}\")", run.cell.egress),
    );
    let to = run
        .remote
        .as_ref()
        .map_or_else(String::new, |remote| format!(" to {remote}"));
    text.push_str(&wrapped(
        "",
        &format!("Sent {} from {seen}{to}.", both(run.at, &dossier.plan.zone)),
    ));
    let _ = writeln!(text, "\n{}\n", curl::command(dossier.plan, run));
    if run
        .request_body
        .as_ref()
        .is_some_and(|body| body.contains("{{"))
        || run
            .request_headers
            .iter()
            .any(|(_, value)| value.contains("{{") || value.contains("[secret]"))
    {
        text.push_str(&wrapped(
            "",
            "What stands in {{ … }} belongs to the account and is left out.",
        ));
    }
    if run.url.starts_with("https:") {
        text.push_str(&wrapped("", &other_tls(dossier, run)));
    }
    let took = super::matrix::duration(run.took);
    match (run.status, &run.failure) {
        (Some(status), _) => {
            let http = run.http.as_deref().unwrap_or("1.1");
            text.push_str(&wrapped(
                "",
                &format!("Answer after {took}: HTTP/{http} {status}"),
            ));
        }
        (None, Some(failure)) => text.push_str(&wrapped(
            "",
            &format!("No answer, after {took}: {failure}."),
        )),
        (None, None) => {}
    }
    if let Some(pop) = &run.verdict.pop {
        text.push_str(&wrapped(
            "",
            &format!("Answered at the point of presence {pop}."),
        ));
    }
    for (name, value) in &run.response_headers {
        let _ = writeln!(text, "  {name}: {value}");
    }
    if let Some(excerpt) = run.excerpt.as_ref().filter(|_| !run.verdict.passed()) {
        text.push_str(&wrapped("The page says: ", &format!("\"{excerpt}\"")));
    }
    text.push('\n');
}

/// The command is not the whole run: its TLS is another, which an edge may judge.
fn other_tls(dossier: &Dossier<'_>, run: &Specimen) -> String {
    let client = dossier.plan.client(&run.cell.client);
    let whose = match client.and_then(|client| client.program.as_ref()) {
        Some(_) => "of one of our programs",
        None => "of the monitor",
    };
    let sent = run.sent.as_ref();
    let ja4 = sent.and_then(|sent| sent.ja4.as_ref());
    let ja4 = ja4.map_or_else(String::new, |ja4| format!(" (fingerprint JA4 {ja4})"));
    let finding = if run.verdict.passed() {
        "if it is refused, that is a finding"
    } else {
        "if it passes, that is the finding"
    };
    format!("The command has curl's TLS, the request had that {whose}{ja4}: {finding}.")
}

fn sure(text: &mut String, dossier: &Dossier<'_>) {
    let ruled_out = partner::ruled_out(dossier);
    text.push_str(&title("How sure this is, and what it is not"));
    if dossier.ours() {
        for reason in &dossier.briefing.because {
            text.push_str(&wrapped("- ", &plain(reason)));
        }
    }
    text.push_str(&wrapped("", &partner::how_sure(dossier)));
    for line in ruled_out {
        text.push_str(&wrapped("- ", &line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_letter_of_march_2021() {
        let night = fixture::march();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn the_letter_when_it_is_over() {
        let mut night = fixture::march();
        night.resolve();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn an_address_that_is_not_configured() {
        let mut night = fixture::march();
        night.plan.egresses[0].public = None;
        for run in [&mut night.incident.failing, &mut night.incident.passing] {
            run.as_mut().unwrap().public = None;
        }
        night.cannot_tell();
        insta::assert_snapshot!(text(&night.dossier()));
    }

    #[test]
    fn nothing_is_asked_when_the_fault_is_ours() {
        let night = fixture::our_side();
        insta::assert_snapshot!(text(&night.dossier()));
    }
}
