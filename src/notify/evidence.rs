//! The full evidence of an incident as plain lines, for a thread or the log.

use super::text::{Clock, beside, duration, line, lines};
use crate::domain::incident::Specimen;
use crate::domain::notification::Briefing;
use crate::domain::verdict::Kind;

/// Headings of the parts that the plain message has told already.
pub(super) const WHY: &str = "Why";
pub(super) const REFERENCES: &str = "Reference ids, to quote to the partner";

/// A heading and its lines; the parts of the evidence, most telling first.
pub(super) struct Part {
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// Everything known; parts with nothing in them are left out.
pub(super) fn parts(briefing: &Briefing, clock: &Clock) -> Vec<Part> {
    let mut parts = vec![
        Part {
            title: WHY,
            text: why(briefing),
        },
        Part {
            title: "Combinations",
            text: matrix(briefing),
        },
    ];
    let failing = match briefing.kind {
        Kind::Warning => "A request that shows it",
        _ => "A failing request",
    };
    for (title, specimen) in [
        (failing, &briefing.failing),
        ("A request that passes", &briefing.passing),
    ] {
        if let Some(specimen) = specimen {
            parts.push(Part {
                title,
                text: request(specimen, clock),
            });
        }
    }
    if !briefing.reference_ids.is_empty() {
        let ids: Vec<String> = briefing.reference_ids.iter().map(|id| line(id)).collect();
        parts.push(Part {
            title: REFERENCES,
            text: ids.join("\n"),
        });
    }
    parts.retain(|part| !part.text.is_empty());
    parts
}

fn why(briefing: &Briefing) -> String {
    let because = briefing.because.iter().map(|b| line(b));
    let because = because.chain(beside(briefing));
    let ruled_out = briefing
        .ruled_out
        .iter()
        .map(|r| format!("ruled out: {}", line(r)));
    because.chain(ruled_out).collect::<Vec<_>>().join("\n")
}

pub(super) fn matrix(briefing: &Briefing) -> String {
    let cells: Vec<String> = briefing
        .cells
        .iter()
        .map(|c| format!("{}: {}", line(&c.cell), c.kind.label()))
        .collect();
    cells.join("\n")
}

fn request(specimen: &Specimen, clock: &Clock) -> String {
    let mut text = vec![
        format!(
            "{} · {}",
            clock.time_and_zone(specimen.at),
            line(&specimen.cell.to_string())
        ),
        format!("{} {}", line(&specimen.method), line(&specimen.url)),
    ];
    text.extend(
        specimen
            .request_headers
            .iter()
            .map(|(name, value)| format!("> {}: {}", line(name), line(value))),
    );
    if let Some(way) = way(specimen) {
        text.push(way);
    }
    if let Some(status) = specimen.status {
        let http = specimen.http.as_ref();
        let version = http.map_or_else(String::new, |http| format!("/{http}"));
        text.push(line(&format!("< HTTP{version} {status}")));
    }
    text.extend(
        specimen
            .response_headers
            .iter()
            .map(|(name, value)| format!("< {}: {}", line(name), line(value))),
    );
    if let Some(failure) = &specimen.failure {
        text.push(format!("failed: {}", line(failure)));
    }
    if let Some(certificate) = &specimen.certificate {
        text.push(format!("certificate: {}", line(certificate)));
    }
    let greeting = specimen
        .sent
        .as_ref()
        .and_then(|sent| sent.greeting.as_ref());
    text.extend(greeting.map(|greeting| format!("TLS greeting: {}", greeting.told())));
    let paths = specimen.paths.iter();
    text.extend(paths.map(|path| format!("path to {}", line(&path.end(specimen.at)))));
    text.push(times(specimen));
    if let Some(hash) = &specimen.body_sha256 {
        text.push(format!("body sha256: {}", line(hash)));
    }
    text.extend(
        specimen
            .verdict
            .evidence
            .iter()
            .map(|e| format!("sign ({}): {}", e.strength, line(&e.text))),
    );
    if let Some(excerpt) = &specimen.excerpt {
        text.push(format!("the page says: {}", line(excerpt)));
    }
    lines(&text.join("\n"))
}

fn way(specimen: &Specimen) -> Option<String> {
    let parts: Vec<String> = [
        ("from", &specimen.local),
        ("seen as", &specimen.public),
        ("to", &specimen.remote),
    ]
    .into_iter()
    .filter_map(|(word, address)| address.as_ref().map(|a| format!("{word} {}", line(a))))
    .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn times(specimen: &Specimen) -> String {
    let mut parts = vec![format!("took {}", milliseconds(specimen.took))];
    for (phase, time) in &specimen.phases {
        let phase = line(phase).replace('_', " ");
        parts.push(format!("{phase} {}", milliseconds(*time)));
    }
    parts.join(", ")
}

fn milliseconds(time: std::time::Duration) -> String {
    if time.as_secs() >= 60 {
        duration(time)
    } else {
        format!("{} ms", time.as_millis())
    }
}
