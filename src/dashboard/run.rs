//! One run, at an address that stays: all that was kept of it. And two of them side by side.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Uri};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{cell_path, class, compared, probe_path, run_path, time, verdict, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::CellKey;
use crate::domain::sent::Stack;
use crate::report::matrix::duration;
use crate::store::{KeptRun, Reader, StoreError};
use crate::words::terms;

/// Reads what [`run_name`] writes.
fn named(text: &str) -> Option<(CellKey, Timestamp)> {
    let parts: Vec<String> = text
        .split('/')
        .map(|part| {
            // As a query's value is decoded; a plus is one.
            let pair = format!("x={}", part.replace('+', "%2B"));
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            decoded
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        })
        .collect();
    let [probe, egress, client, credential, at] = parts.as_slice() else {
        return None;
    };
    let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
    let cell = CellKey {
        probe: probe.as_str().into(),
        egress: egress.as_str().into(),
        client: client.as_str().into(),
        credential: credential.as_str().into(),
    };
    Some((cell, at))
}

fn missing() -> Failure {
    Failure::Missing("There is no such run, or it is no longer kept.".to_owned())
}

/// A run, what is kept of its body, and the run that tells most beside it.
struct Facts {
    run: KeptRun,
    body: Option<Vec<u8>>,
    beside: Option<KeptRun>,
}

fn facts(reader: &Reader, cell: &CellKey, at: Timestamp) -> Result<Option<Facts>, StoreError> {
    let Some(run) = reader.run(cell, at)? else {
        return Ok(None);
    };
    let body = match &run.body_sha256 {
        Some(sha256) => reader.body(sha256)?,
        None => None,
    };
    let beside = reader.beside(&run)?;
    Ok(Some(Facts { run, body, beside }))
}

/// Probe, egress, client, credential, microseconds since 1970.
type Asked = (String, String, String, String, String);

pub(super) async fn page(State(pages): State<Pages>, Path(asked): Path<Asked>) -> Page {
    let scene = scene(&pages).await?;
    let (probe, egress, client, credential, at) = asked;
    let at = at
        .parse()
        .ok()
        .and_then(|at| Timestamp::from_microsecond(at).ok());
    let Some(at) = at else {
        return Ok(failed(&scene, &missing()));
    };
    let cell = CellKey {
        probe: probe.as_str().into(),
        egress: egress.as_str().into(),
        client: client.as_str().into(),
        credential: credential.as_str().into(),
    };
    let read = pages.read(move |reader| facts(reader, &cell, at));
    Ok(
        match read.await.and_then(|found| found.ok_or_else(missing)) {
            Ok(facts) => answer(StatusCode::OK, shown(&scene, &facts)),
            Err(failure) => failed(&scene, &failure),
        },
    )
}

fn title(run: &KeptRun) -> Markup {
    html! {
        (run.cell.client) " from " (run.cell.egress)
        @if !run.cell.credential.is_anonymous() { " with " (run.cell.credential) }
        " at " (run.cell.probe)
    }
}

fn shown(scene: &Scene, facts: &Facts) -> Markup {
    let run = &facts.run;
    let main = html! {
        h1 { "Run: " (title(run)) }
        p {
            span class=(class(run.kind)) { (verdict(run.kind, run.code.as_deref(), run.status)) }
            " " (time(run.at, scene.zone(), scene.now)) " (" (run.at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()) ")"
        }
        ul.acts {
            li { a href=(scene.to(&cell_path(&run.cell))) { "The cell" } }
            li { a href=(scene.to(&probe_path(&run.cell.probe))) { "The probe" } }
            @if let Some(beside) = &facts.beside {
                li {
                    a href=(scene.to(&compared((&run.cell, run.at), (&beside.cell, beside.at)))) {
                        "Compare with " (title(beside)) ", which " @if beside.kind.works() { "passed" } @else { "failed" }
                    }
                }
            }
        }
        dl { @for (name, value) in lines(run) { dt { (name) } dd { (visible(&value)) } } }
        @if let (Some(body), Some(sha256)) = (&facts.body, &run.body_sha256) {
            section {
                h2 { "The body, as received" }
                p { a href=(scene.to(&format!("/bodies/{sha256}"))) { "As a file" } " (at most 64 KiB are kept; secrets are masked)" }
                pre { (visible(&String::from_utf8_lossy(body))) }
            }
        }
    };
    let content = Content {
        title: &format!("Run of {}", run.cell),
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

/// All that is kept of a run, a line each.
fn lines(run: &KeptRun) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("Client", run.cell.client.to_string()),
        ("Egress", run.cell.egress.to_string()),
        ("Credential", run.cell.credential.to_string()),
        ("Verdict", terms::kind(run.kind).to_owned()),
        ("Made by", run.maker.replace('_', " ")),
        ("Asked for", run.purpose.replace('_', " ")),
    ];
    let texts = [
        ("Status", run.status.map(|status| status.to_string())),
        (
            "Failed",
            run.failure.as_ref().map(|text| text.replace('_', " ")),
        ),
        ("Vendor", run.vendor.clone()),
        ("Rule", run.rule.as_ref().map(|text| text.replace('_', " "))),
        ("Code", run.code.clone()),
        ("Reference", run.reference_id.clone()),
        ("Remote address", run.remote.clone()),
        ("Body, SHA-256", run.body_sha256.clone()),
    ];
    lines.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?))),
    );
    if let Some(sent) = &run.sent {
        let stack = match &sent.stack {
            Stack::Native => "edgewatch's own (rustls)".to_owned(),
            Stack::Program { name, version } => format!("{name} {version}"),
        };
        lines.push(("Sent by", stack));
        let greeting = sent.greeting.as_ref();
        lines.extend(greeting.map(|greeting| ("TLS greeting", greeting.told())));
        let marks = [
            ("TLS fingerprint (JA4)", &sent.ja4),
            ("Without the offered session", &sent.ja4_fresh),
            ("HTTP/2, first flight", &sent.h2),
            ("Header order", &sent.header_order),
        ];
        lines.extend(
            marks
                .into_iter()
                .filter_map(|(name, mark)| Some((name, mark.clone()?))),
        );
    }
    lines.push(("Began late by", duration(run.late)));
    lines.push(("Took", duration(run.took)));
    let phases = [
        ("Name", run.phases.dns),
        ("Connection", run.phases.connect),
        ("TLS", run.phases.tls),
        ("First byte", run.phases.first_byte),
        ("Transfer", run.phases.transfer),
    ];
    lines.extend(
        phases
            .into_iter()
            .filter_map(|(name, took)| Some((name, duration(took?)))),
    );
    lines
}

pub(super) async fn compare(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let query = uri.query().unwrap_or_default();
    let asked: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let run = |key: &str| asked.get(key).and_then(|text| named(text));
    let (Some(one), Some(other)) = (run("a"), run("b")) else {
        let why = "Two runs are compared: /compare?a=…&b=…, each as in the address of its page."
            .to_owned();
        return Ok(failed(&scene, &Failure::Missing(why)));
    };
    let read = pages.read(move |reader| {
        Ok(reader
            .run(&one.0, one.1)?
            .zip(reader.run(&other.0, other.1)?))
    });
    Ok(
        match read.await.and_then(|found| found.ok_or_else(missing)) {
            Ok((one, other)) => answer(StatusCode::OK, side_by_side(&scene, &one, &other)),
            Err(failure) => failed(&scene, &failure),
        },
    )
}

/// What differs first, marked with words; what is equal below.
fn side_by_side(scene: &Scene, one: &KeptRun, other: &KeptRun) -> Markup {
    let (left, right) = (lines(one), lines(other));
    let mut names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
    names.extend(
        right
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !left.iter().any(|(known, _)| known == name)),
    );
    let of = |lines: &[(&str, String)], name: &str| {
        lines
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    };
    let rows: Vec<_> = names
        .into_iter()
        .map(|name| (name, of(&left, name), of(&right, name)))
        .collect();
    let (equal, differing): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, left, right)| left == right);
    let head = |run: &KeptRun| {
        html! {
            th scope="col" {
                a href=(scene.to(&run_path(&run.cell, run.at))) { (title(run)) } br;
                span class=(class(run.kind)) { (verdict(run.kind, run.code.as_deref(), run.status)) }
                " " (time(run.at, scene.zone(), scene.now))
            }
        }
    };
    let table = |rows: &[(&str, Option<String>, Option<String>)], differs: bool| {
        html! {
            div.scroll tabindex="0" role="region" aria-label=(if differs { "What differs" } else { "What is equal" }) {
                table {
                    thead { tr { th scope="col" { "What" } (head(one)) (head(other)) @if differs { th scope="col" { "How" } } } }
                    tbody { @for (name, left, right) in rows {
                        tr {
                            th scope="row" { (name) }
                            @for value in [left, right] { td.text { (visible(value.as_deref().unwrap_or("–"))) } }
                            @if differs {
                                td {
                                    @match (left, right) {
                                        (Some(_), Some(_)) => "differs",
                                        (Some(_), None) => "only in the first",
                                        _ => "only in the second",
                                    }
                                }
                            }
                        }
                    } }
                }
            }
        }
    };
    let main = html! {
        h1 { "Two runs side by side" }
        h2 { "What differs" }
        @if differing.is_empty() { p { "Nothing that is kept." } } @else { (table(&differing, true)) }
        @if !equal.is_empty() {
            details id="equal" { summary { "What is equal (" (equal.len()) ")" } (table(&equal, false)) }
        }
    };
    let content = Content {
        title: "Two runs side by side",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

/// A body as it is kept, as a file and never as a page.
pub(super) async fn body(State(pages): State<Pages>, Path(sha256): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    let found = if is_digest {
        pages.read(move |reader| reader.body(&sha256)).await
    } else {
        Ok(None)
    };
    let missing = || Failure::Missing("No such body is kept.".to_owned());
    let body = match found.and_then(|found| found.ok_or_else(missing)) {
        Ok(body) => body,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let text = visible(&String::from_utf8_lossy(&body)).into_owned();
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    let aside = HeaderValue::from_static("attachment; filename=\"body.txt\"");
    headers.insert(CONTENT_DISPOSITION, aside);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::parts::run_name;

    #[test]
    fn names_of_runs_are_read_as_they_are_written() {
        let cell = CellKey {
            probe: "a b/c".into(),
            egress: "ü+&%".into(),
            client: "x".into(),
            credential: "anonymous".into(),
        };
        let at = Timestamp::from_microsecond(1_614_477_247_000_001).unwrap();
        assert_eq!(named(&run_name(&cell, at)), Some((cell, at)));
        for junk in [
            "",
            "a/b/c/d",
            "a/b/c/d/x",
            "a/b/c/d/1/2",
            "a/b/c/d/99999999999999999999",
        ] {
            assert_eq!(named(junk), None, "{junk}");
        }
    }
}
