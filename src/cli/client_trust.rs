//! `edgewatch client --trust-from`: would the partner's certificates hold for a client with these roots?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::trust_store::{self, TrustStore, USUAL_PASSWORD};
use crate::cli::{Format, exit};
use crate::clock;
use crate::domain::cell::{CellKey, Client, CredentialName};
use crate::domain::observation::Observation;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::probe::Prober;

/// What `edgewatch client` is told of roots.
#[derive(Debug, clap::Args)]
pub(super) struct Roots {
    /// Judge the certificates of the client's partners by the roots of this trust store (a JVM's cacerts, PKCS #12, JKS or
    /// PEM): one TLS handshake with each host, no request
    #[arg(long, value_name = "FILE", conflicts_with_all = ["like", "other"])]
    pub(super) trust_from: Option<PathBuf>,
    /// The variable that holds the store's password, where its certificates are sealed; "changeit" is tried when left out
    #[arg(long, value_name = "NAME", requires = "trust_from")]
    password_env: Option<String>,
    /// Write these roots as PEM, for `trust:` of the client
    #[arg(long, value_name = "FILE", requires = "trust_from")]
    pem: Option<PathBuf>,
}

/// A handshake with one host.
struct Judged<'a> {
    probe: &'a Probe,
    seen: Observation,
}

pub(super) fn run(
    plan: &Plan,
    client: &Client,
    probes: &[&Probe],
    (from, roots): (&Path, &Roots),
    format: Format,
) -> Result<ExitCode, String> {
    let password = match &roots.password_env {
        None => USUAL_PASSWORD.to_owned(),
        Some(name) => std::env::var(name).map_err(|_| format!("{name} is not set"))?,
    };
    let store = trust_store::read(from, &password)?;
    if let Some(path) = &roots.pem {
        std::fs::write(path, &store.pem)
            .map_err(|e| format!("can't write {}: {e}", path.display()))?;
    }
    let judged = judge(plan, client, probes, &store)?;
    match format {
        Format::Text => super::show(&text(client, from, &store, &judged)),
        Format::Json => {
            let keys = json!({
                "client": client.name.as_str(),
                "store": { "kind": store.kind, "roots": store.count },
                "hosts": judged.iter().map(keys).collect::<Vec<_>>(),
            });
            super::print(&format!("{keys:#}\n"));
        }
    }
    let holds = judged.iter().all(|it| it.seen.failure.is_none());
    Ok(if holds { exit::OK } else { exit::problem() })
}

fn judge<'a>(
    plan: &Plan,
    client: &Client,
    probes: &[&'a Probe],
    store: &TrustStore,
) -> Result<Vec<Judged<'a>>, String> {
    let mut plan = plan.clone();
    for known in plan.clients.iter_mut().filter(|c| c.name == client.name) {
        // A program has roots of its own; it is these that are asked for.
        known.program = None;
        known.trust = Some(store.pem.as_str().into());
    }
    let prober = Prober::new(&plan)?;
    let runtime = super::runtime()?;
    let mut hosts: Vec<String> = Vec::new();
    let mut judged = Vec::new();
    for probe in probes.iter().filter(|p| p.url.scheme() == "https") {
        let here = |egress: &&_| plan.site_of(egress).is_none();
        let Some(egress) = probe.from.iter().find(here) else {
            continue;
        };
        if hosts.contains(&probe.host()) {
            continue;
        }
        if !hosts.is_empty() {
            std::thread::sleep(plan.politeness.gap);
        }
        hosts.push(probe.host());
        let cell = CellKey {
            probe: probe.name.clone(),
            egress: egress.clone(),
            client: client.name.clone(),
            credential: CredentialName::anonymous(),
        };
        let seen = runtime.block_on(prober.greet(&cell, clock::now()));
        judged.push(Judged { probe, seen });
    }
    if judged.is_empty() {
        return Err(format!(
            "client {} asks no host over https from here, so there is no certificate to judge",
            client.name
        ));
    }
    Ok(judged)
}

fn text(client: &Client, from: &Path, store: &TrustStore, judged: &[Judged<'_>]) -> String {
    let mut text = format!(
        "client {} with the {} roots of {} ({})\n",
        client.name,
        store.count,
        from.display(),
        store.kind
    );
    // Writing to a string can't fail.
    for Judged { probe, seen } in judged {
        let _ = writeln!(text, "\n{}", probe.host());
        let tls = seen.tls.as_ref();
        if let Some(certificate) = tls.and_then(|tls| tls.certificate.as_ref()) {
            let until = certificate.not_after.strftime("%Y-%m-%d %H:%M UTC");
            let _ = writeln!(text, "  certificate  valid until {until}");
        }
        for path in tls.iter().flat_map(|tls| &tls.paths) {
            let _ = writeln!(text, "  path         to {}", path.end(seen.started_at));
        }
        let _ = match &seen.failure {
            None => writeln!(text, "  holds        yes"),
            Some(failed) => writeln!(text, "  holds        no: {}", failed.message),
        };
    }
    text
}

/// For scripts; keys are stable.
fn keys(judged: &Judged<'_>) -> Value {
    let seen = &judged.seen;
    let tls = seen.tls.as_ref();
    json!({
        "host": judged.probe.host(),
        "holds": seen.failure.is_none(),
        "failure": seen.failure.as_ref().map(|failed| &failed.message),
        "certificate_ends_at": tls.and_then(|tls| Some(tls.certificate.as_ref()?.not_after)),
        "paths": tls.map(|tls| &tls.paths),
    })
}
