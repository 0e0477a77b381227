//! A program of the operator's in place of our own client: curl, a JVM, whatever the services run.
//!
//! An edge may judge the TLS hello, and ours is that of rustls. So the program makes the request itself, through a
//! [`gate`] that edgewatch opens for it on loopback: the egress, the addresses and the hello are ours to see. What it
//! says of the answer is held against that, and what does not fit is our side's matter, never a pass.
//! It gets its request on standard input: no argument, variable or file holds a secret.

mod answer;
mod child;
mod contract;
mod curl;
mod gate;
mod kept;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::sync::Semaphore;

use self::answer::Answered;
use self::child::{Around, Ended};
use self::contract::Wrong;
use self::gate::{Gate, Seen};
pub(super) use self::kept::Leased;
use self::kept::{Kept, Worker};
use super::body::Gathered;
use super::failure::{failure, limit, one_line};
use super::progress::{Progress, Reading};
use super::redirect::Next;
use super::request::Request;
use super::{Cell, Prober};
use crate::domain::cell::{ClientName, Program, Speaks};
use crate::domain::observation::{Failure, FailureKind, HttpVersion, Phase, TlsFacts};
use crate::domain::plan::Plan;
use crate::domain::sent::Stack;

/// Processes at once.
const PROCESSES_MAX: usize = 8;
/// The program must be done this long before the run, and is stopped halfway between.
const BEFORE_THE_END: Duration = Duration::from_millis(250);
/// Bytes that an answer may hold around its body.
const AROUND_BODY: usize = 256 * 1024;
/// Characters of what a program says that are told.
const SAID_CHARS_MAX: usize = 160;

/// What programs need: a directory of their own, and the roots that the plan trusts.
pub(super) struct Programs {
    home: PathBuf,
    trust: Option<String>,
    pub(super) room: Semaphore,
    kept: Kept,
}

impl Drop for Programs {
    fn drop(&mut self) {
        // What stays is an empty directory at worst.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Programs {
    /// `None` when no client of the plan is a program.
    ///
    /// # Errors
    /// A sentence why the directory can't be made.
    pub(super) fn new(plan: &Plan) -> Result<Option<Self>, String> {
        if plan.clients.iter().all(|client| client.program.is_none()) {
            return Ok(None);
        }
        let name = format!("edgewatch-programs-{}", uuid::Uuid::now_v7());
        let home = std::env::temp_dir().join(name);
        let wrong = |e: std::io::Error| format!("can't make {}: {e}", home.display());
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .map_err(wrong)?;
        let trust = if plan.trust.is_empty() {
            None
        } else {
            let path = home.join("trust.pem");
            write(&path, &roots(&plan.trust)).map_err(wrong)?;
            Some(path.display().to_string())
        };
        Ok(Some(Self {
            home,
            trust,
            room: Semaphore::new(PROCESSES_MAX),
            kept: Kept::new(plan),
        }))
    }

    fn around<'a>(&'a self, program: &'a Program, gate: &Gate) -> Around<'a> {
        Around {
            home: &self.home,
            variables: &program.variables,
            gate: gate.port,
        }
    }

    /// The kept program of a client for one run; `None`: it has one process a request.
    pub(super) async fn lease(&self, client: &ClientName) -> Option<Leased> {
        self.kept.lease(client, &self.home).await
    }
}

/// Whether the kernel can keep programs from connecting past their gate; else that is only noticed.
#[must_use]
pub fn are_held() -> bool {
    child::can_hold()
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// The system's roots and those of the plan in one text.
fn roots(trust: &[String]) -> String {
    let mut text = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let base64 = base64::engine::general_purpose::STANDARD.encode(&certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text + &trust.join("\n")
}

impl Prober {
    /// One hop by the client's program.
    pub(super) async fn ask_program(
        &self,
        cell: &Cell<'_>,
        program: &Program,
        request: &Request,
        decide: impl FnOnce(u16, &[(String, String)]) -> Next,
        now: &mut Progress,
    ) -> Result<Next, Failure> {
        let ours = |message: String| ours(cell, message);
        let Some(programs) = &self.programs else {
            return Err(ours("is not ready to run".to_owned()));
        };
        let mut leased = match &cell.worker {
            Some(worker) => Some(worker.lock().await),
            None => None,
        };
        let worker = match leased.as_deref_mut() {
            Some(Ok(place)) => Some(place),
            Some(Err(why)) => return Err(ours(why.clone())),
            None => None,
        };
        if let Some(place) = worker {
            return self
                .ask_kept(cell, (programs, program), request, place, decide, now)
                .await;
        }
        let gate = Gate::open().await?;
        let left = now.deadline.saturating_duration_since(Instant::now());
        let within = left.saturating_sub(BEFORE_THE_END);
        let (trust, agent) = (programs.trust.as_deref(), &cell.client.user_agent);
        let id = uuid::Uuid::now_v7().simple().to_string();
        let input = match program.speaks {
            Speaks::Curl => curl::config(request, agent, program.http, gate.port, trust, within)
                .map_err(ours)?,
            Speaks::Lines => contract::line(
                request,
                &contract::Around {
                    id: &id,
                    user_agent: agent,
                    http: program.http,
                    gate: gate.port,
                    trust,
                    within,
                    body_bytes_max: cell.probe.body_bytes_max,
                },
            ),
        };
        let output_max = cell.probe.body_bytes_max.saturating_mul(4) / 3 + AROUND_BODY;
        let mut seen = Seen::default();
        let outcome = {
            let around = programs.around(program, &gate);
            let child = child::run(&program.command, around, input, output_max);
            let gate = gate.serve(self, cell, &request.url, now, &mut seen);
            let both = async {
                tokio::select! {
                    ended = child => ended,
                    never = gate => match never {},
                }
            };
            tokio::time::timeout(within + BEFORE_THE_END / 2, both).await
        };
        let ended = match outcome {
            Ok(Ok(ended)) => ended,
            Ok(Err(why)) => return Err(ours(why)),
            Err(_) => return Err(too_late(cell, seen, now)),
        };
        now.leave();
        let answered = match program.speaks {
            Speaks::Curl => {
                let version = curl::version(&ended.said).unwrap_or_default();
                curl::answered(&ended.output, &ended.said)
                    .map(|answered| Answered {
                        version,
                        ..answered
                    })
                    .filter(|_| ended.status.success() || ended.status.code() == Some(18))
                    .ok_or(None)
            }
            Speaks::Lines => match contract::answered(&ended.output, &id) {
                Ok(Ok(answered)) => Ok(answered),
                Ok(Err(wrong)) => Err(Some(wrong)),
                Err(_) if !ended.status.success() => Err(None),
                Err(why) => return Err(ours(why)),
            },
        };
        if ended.over {
            let message = format!("wrote more than {output_max} bytes, which are not read");
            return Err(ours(message));
        }
        let answered = match answered {
            Ok(answered) => answered,
            Err(wrong) => return Err(unanswered(cell, program, &ended, wrong.as_ref(), seen, now)),
        };
        if let Some(wrong) = unlikely(request, &answered, &seen) {
            return Err(ours(wrong));
        }
        Ok(take(cell, program, answered, decide, now))
    }
}

impl Prober {
    /// One hop by a program that is kept; whatever it does wrong ends it.
    async fn ask_kept(
        &self,
        cell: &Cell<'_>,
        (programs, program): (&Programs, &Program),
        request: &Request,
        place: &mut Option<Worker>,
        decide: impl FnOnce(u16, &[(String, String)]) -> Next,
        now: &mut Progress,
    ) -> Result<Next, Failure> {
        let ours = |message: String| ours(cell, message);
        // It leaves its place for the run, and comes back when all went well.
        let Some(mut worker) = place.take() else {
            return Err(ours("ended between two redirects".to_owned()));
        };
        let id = uuid::Uuid::now_v7().simple().to_string();
        let mut seen = Seen::default();
        let outcome = self.one_line(cell, programs, request, (&mut worker, &id), now, &mut seen);
        let mut outcome = outcome.await;
        // One that was ended while it waited for work is none of the run's: it is started again.
        if matches!(outcome, Some(Err(_))) && seen.connections == 0 && worker.is_dead() {
            worker = Worker::start(program, &programs.home).await.map_err(ours)?;
            let again = self.one_line(cell, programs, request, (&mut worker, &id), now, &mut seen);
            outcome = again.await;
        }
        let Some(line) = outcome else {
            return Err(too_late(cell, seen, now));
        };
        now.leave();
        let answered = line
            .and_then(|line| contract::answered(&line, &id))
            .map_err(ours)?;
        let version = worker.version.clone();
        *place = Some(worker);
        let answered = match answered {
            Ok(answered) => Answered {
                version,
                ..answered
            },
            Err(wrong) => return Err(went_wrong(cell, &wrong, seen, now)),
        };
        if let Some(wrong) = unlikely(request, &answered, &seen) {
            *place = None;
            return Err(ours(wrong));
        }
        Ok(take(cell, program, answered, decide, now))
    }
}

impl Prober {
    /// Lets a kept program answer one request; `None`: not in time.
    async fn one_line(
        &self,
        cell: &Cell<'_>,
        programs: &Programs,
        request: &Request,
        (worker, id): (&mut Worker, &str),
        now: &mut Progress,
        seen: &mut Seen,
    ) -> Option<Result<Vec<u8>, String>> {
        let left = now.deadline.saturating_duration_since(Instant::now());
        let within = left.saturating_sub(BEFORE_THE_END);
        let around = contract::Around {
            id,
            user_agent: &cell.client.user_agent,
            http: cell
                .client
                .program
                .as_ref()
                .and_then(|program| program.http),
            gate: worker.gate.port,
            trust: programs.trust.as_deref(),
            within,
            body_bytes_max: cell.probe.body_bytes_max,
        };
        let input = contract::line(request, &around);
        let output_max = cell.probe.body_bytes_max.saturating_mul(4) / 3 + AROUND_BODY;
        let (talker, gate) = (&mut worker.talker, &worker.gate);
        let both = async {
            tokio::select! {
                line = talker.ask(input, output_max) => line,
                never = gate.serve(self, cell, &request.url, now, seen) => match never {},
            }
        };
        tokio::time::timeout(within + BEFORE_THE_END / 2, both)
            .await
            .ok()
    }
}

/// The time of the run is over.
fn too_late(cell: &Cell<'_>, seen: Seen, now: &Progress) -> Failure {
    let timeout = cell.probe.timeout;
    if let Some(failed) = seen.failed {
        return failed;
    }
    if seen.connections == 0 {
        let what = match seen.elsewhere {
            Some(host) => format!("wanted to connect to {host}, which is not the probe's host"),
            None => format!("made no connection within {}", limit(timeout)),
        };
        return ours(cell, what);
    }
    now.timed_out(timeout)
}

/// Something that the program did, or did not do.
fn ours(cell: &Cell<'_>, message: impl std::fmt::Display) -> Failure {
    let message = format!("the program of client {}: {message}", cell.client.name);
    failure(Phase::Connect, FailureKind::Program, message)
}

/// Why an answer can't be what the program says it is; `None`: what the gate saw fits.
fn unlikely(request: &Request, answered: &Answered, seen: &Seen) -> Option<String> {
    let claims = format!("says that the answer was HTTP {}", answered.status);
    if let Some(host) = &seen.elsewhere {
        return Some(format!(
            "wanted to connect to {host}, which is not the probe's host"
        ));
    }
    if seen.connections == 0 {
        return Some(format!("{claims}, and did not connect through edgewatch"));
    }
    if seen.down == 0 {
        return Some(format!("{claims}, and the host has sent nothing"));
    }
    if seen.over {
        return Some(format!("{claims}; it was longer than is let through"));
    }
    if request.url.scheme() != "https" {
        return None;
    }
    let Some(hello) = &seen.hello else {
        return Some(format!("{claims}, and made no TLS hello"));
    };
    if let Some(url::Host::Domain(host)) = request.url.host() {
        let host = host.trim_end_matches('.');
        // Java sends no name that has no dot.
        let named = hello.sni.as_deref().map_or(!host.contains('.'), |sni| {
            sni.trim_end_matches('.').eq_ignore_ascii_case(host)
        });
        if !named {
            let sni = hello.sni.as_deref().unwrap_or("no name");
            return Some(format!("{claims}, and asked for {sni} in its TLS hello"));
        }
    }
    let http2 = hello.alpn.iter().any(|name| name == b"h2");
    if answered.http == HttpVersion::H2 && !http2 {
        return Some(format!(
            "{claims} over HTTP/2, which its TLS hello did not offer"
        ));
    }
    None
}

/// Why there is no answer: by what went over the wire first, then by what the program says.
fn unanswered(
    cell: &Cell<'_>,
    program: &Program,
    ended: &Ended,
    wrong: Option<&Wrong>,
    seen: Seen,
    now: &Progress,
) -> Failure {
    let complaint = match wrong {
        Some(wrong) => wrong.message.clone(),
        None if program.speaks == Speaks::Curl => curl::complaint(&ended.said).to_owned(),
        None => {
            let mut lines = ended.said.lines().filter(|line| !line.trim().is_empty());
            lines.next_back().unwrap_or_default().to_owned()
        }
    };
    let complaint = one_line(&complaint, SAID_CHARS_MAX);
    let kind = match wrong {
        Some(wrong) => kind_of(wrong),
        None => ended.status.code().and_then(|code| match program.speaks {
            Speaks::Curl => curl::failed(code),
            Speaks::Lines => None,
        }),
    };
    if let Some(failed) = on_the_wire(cell, seen, kind, &complaint, now) {
        return failed;
    }
    let gap = if complaint.is_empty() { "" } else { ": " };
    ours(
        cell,
        format!("ended without an answer ({}){gap}{complaint}", ended.status),
    )
}

/// A failure that a kept program tells of: by what went over the wire first, then by what it says.
fn went_wrong(cell: &Cell<'_>, wrong: &Wrong, seen: Seen, now: &Progress) -> Failure {
    let complaint = one_line(&wrong.message, SAID_CHARS_MAX);
    on_the_wire(cell, seen, kind_of(wrong), &complaint, now)
        .unwrap_or_else(|| ours(cell, format!("got no answer: {complaint}")))
}

fn kind_of(wrong: &Wrong) -> Option<FailureKind> {
    let mut kinds = FailureKind::ALL.iter().copied();
    kinds.find(|kind| kind.as_str() == wrong.kind)
}

/// What went over the wire of a request without an answer; `None`: nothing that would not be the program's own trouble.
fn on_the_wire(
    cell: &Cell<'_>,
    seen: Seen,
    kind: Option<FailureKind>,
    complaint: &str,
    now: &Progress,
) -> Option<Failure> {
    if let Some(failed) = seen.failed {
        return Some(failed);
    }
    if let Some(host) = seen.elsewhere {
        let message = format!("wanted to connect to {host}, which is not the probe's host");
        return Some(ours(cell, message));
    }
    let peer = &now.peer;
    let at_the_hello = seen.connections > 0 && seen.hello.is_some() && seen.down == 0;
    if at_the_hello && (seen.ended || seen.broke.is_some()) {
        let kind = match seen.broke {
            Some(_) => FailureKind::Reset,
            None => FailureKind::Closed,
        };
        let message = format!("{peer} cut the connection at the TLS hello");
        return Some(failure(Phase::Tls, kind, message));
    }
    let kind = kind.filter(|_| seen.connections > 0)?;
    let phase = match kind {
        FailureKind::Handshake
        | FailureKind::Certificate
        | FailureKind::CertificateName
        | FailureKind::CertificateIssuer
        | FailureKind::CertificateExpired => Phase::Tls,
        _ => Phase::FirstByte,
    };
    Some(failure(phase, kind, format!("{peer}: {complaint}")))
}

/// Takes the answer over, or follows it.
fn take(
    cell: &Cell<'_>,
    program: &Program,
    answered: Answered,
    decide: impl FnOnce(u16, &[(String, String)]) -> Next,
    now: &mut Progress,
) -> Next {
    let name = program.command.first().map(Path::new);
    let name = name.and_then(Path::file_name).unwrap_or_default();
    if let Some(sent) = &mut now.sent {
        sent.stack = Stack::Program {
            name: name.to_string_lossy().into_owned(),
            version: answered.version,
        };
        if sent.ja4.is_some() {
            let http2 = answered.http == HttpVersion::H2;
            now.tls = Some(TlsFacts {
                version: None,
                alpn: http2.then(|| "h2".to_owned()),
                cipher: None,
                certificate: None,
                paths: Vec::new(),
            });
        }
    }
    now.phases.first_byte = answered.first_byte.or(now.phases.first_byte);
    now.phases.transfer = answered.transfer.or(now.phases.transfer);
    let next = decide(answered.status, &answered.headers);
    if matches!(next, Next::Follow(_)) {
        return next;
    }
    let codings = answered.headers.iter();
    let codings = codings.filter(|(name, _)| name == "content-encoding");
    let mut body = Gathered::new(
        cell.probe.body_bytes_max,
        codings.map(|(_, value)| value.as_str()),
    );
    if body.push(&answered.body) && !answered.truncated {
        body.end();
    }
    now.reading = Some(Reading {
        http: answered.http,
        status: answered.status,
        headers: answered.headers,
        body,
    });
    next
}
