//! A log that a daemon wrote: it plays back to the same answers and the same state, and holds no secret.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgewatch::machine::log::{Heard, Line};
use tokio::sync::watch;

use crate::daemon::{Daemon, within};
use crate::kept;
use crate::secrets::{ALL, MARKER};
use crate::server::{Reply, Seen, Server};
use crate::world::{program, run};

/// Every text that has another spelling somewhere has one here.
const PASSWORD: &str = "it's \"hunter22\" & <ö> /+!";

/// How the line of a state begins.
const STATE: &str = r#"{"state":"#;

/// The state is compared after so many events.
const STATE_EVERY: u64 = 1_000;

/// A page that shows whatever it was sent in every way in which pages do.
fn echo(seen: &Seen) -> Reply {
    let percent: String = url::form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect();
    let json = serde_json::to_string(PASSWORD).unwrap();
    let html = PASSWORD
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let login = STANDARD.encode(format!("tis:{PASSWORD}"));
    let text = String::from_utf8_lossy(&seen.body);
    let page = format!(
        "{text} {percent} {} {json} {html} {login}",
        percent.replace('+', "%20")
    );
    let agent = seen.header("user-agent").unwrap_or_default();
    let reply = if agent.starts_with("Java") {
        Reply::new(403)
            .header("Server", "cloudflare")
            .header("CF-RAY", "8a1b2c3d4e5f6789-LHR")
            .body(format!("error code: 1010 {page}"))
    } else {
        Reply::new(200).body(page)
    };
    reply
        .header("Content-Type", "text/html; charset=utf-8")
        .header("X-Echo", percent)
        .header("X-Login", login)
}

fn config(partner: &Server, control: &Server, folder: &Path, modern: &str) -> String {
    format!(
        r#"version: 1
service: GMC
egresses: {{ a: 127.0.0.2, b: 127.0.0.3, c: 127.0.0.4, d: 127.0.0.5 }}
clients: {{ legacy: "Java/1.8.0_275", modern: "{modern}" }}
credentials: {{ gmc: {{ password: {{ env: GMC_PASSWORD }} }} }}
probes:
  connect:
    url: http://connect.gmc.example:{partner}/
    connect_to: 127.0.0.1
    method: POST
    headers: {{ Content-Type: text/plain }}
    body: "password={{{{ credential.password }}}}"
    with: gmc
    every: 1s
    timeout: 5s
controls:
  internet: {{ url: "http://www.control.example:{control}/", connect_to: 127.0.0.1, every: 1s, timeout: 5s }}
politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 1ms }} }}
store: {{ path: {folder}/edgewatch.sqlite }}
"#,
        partner = partner.address.port(),
        control = control.address.port(),
        folder = folder.display(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_a_daemon_plays_back_and_holds_no_secret() {
    assert!(PASSWORD.contains(MARKER) && !ALL.contains(&PASSWORD));
    let (count, counted) = watch::channel(0);
    let partner = Server::http(move |seen| {
        count.send_modify(|n| *n += 1);
        echo(seen)
    })
    .await;
    let asked = async |times: u32| {
        let mut counted = counted.clone();
        within("so many requests", async {
            drop(counted.wait_for(|n| *n >= times).await);
        })
        .await;
    };
    let control = Server::http(|_| Reply::new(200).body("well")).await;
    let folder = kept::folder();
    let file = folder.path().join("probes.yaml");
    let log = folder.path().join("machine.log");
    let write = |modern| {
        std::fs::write(&file, config(&partner, &control, folder.path(), modern)).unwrap();
    };
    let command = |arguments: &[&str]| {
        let mut command = program(arguments);
        command
            .arg("--config")
            .arg(&file)
            .env("GMC_PASSWORD", PASSWORD);
        command
    };
    let log_path = log.to_str().unwrap();
    write("okhttp/4");
    // Two lives in one file: killed, and stopped; what people ask for and another plan are in it.
    let first = Daemon::spawn(command(&["run", "--record", log_path]), folder.path());
    asked(320).await;
    first.kill();
    // In the middle of a line, as it may happen.
    let mut cut = std::fs::File::options().append(true).open(&log).unwrap();
    cut.write_all(br#"{"step":{"now":"2026"#).unwrap();
    let second = Daemon::spawn(command(&["run", "--record", log_path]), folder.path());
    asked(360).await;
    let why = format!("its password is {PASSWORD}");
    let (code, out, err) = run(command(&[
        "silence", "add", "--probe", "connect", "--for", "1h", "--why", &why,
    ]))
    .await;
    assert_eq!(code, 0, "{out}{err}");
    write("okhttp/5");
    second.reload();
    // A busy machine takes several events in one step, so that requests say little of how many there were.
    let has_state = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(STATE));
    for times in (700..3_000).step_by(50) {
        asked(times).await;
        if has_state() {
            break;
        }
    }
    assert_eq!(second.stop().await, 0);

    let (code, out, err) = run(program(&["replay", "--log", log_path])).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("as recorded: "), "{out}");
    assert!(out.contains(" of 2 lives of the daemon"), "{out}");

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Line> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let (mut states, mut plans, mut silences, mut incidents) = (0, 0, 0, false);
    for line in &lines {
        match line {
            Line::Begin { known, .. } => incidents |= !known.incidents.is_empty(),
            Line::State { after, .. } => {
                states += 1;
                assert_eq!(after % STATE_EVERY, 0);
            }
            Line::Step {
                event: Heard::PlanReplaced(_),
                ..
            } => plans += 1,
            Line::Step {
                event: Heard::Silenced(_),
                ..
            } => silences += 1,
            Line::Step {
                event: Heard::Ended { judged, .. },
                ..
            } => {
                let answer = judged.observation.answer.as_ref().unwrap();
                let body = String::from_utf8_lossy(&answer.body.bytes);
                assert!(!body.contains(MARKER), "{body}");
                let login = answer.headers.iter().find(|(name, _)| name == "x-login");
                assert!(
                    login.is_none_or(|(_, value)| value.contains("[secret]")),
                    "{login:?}"
                );
            }
            Line::Step { .. } => {}
        }
    }
    assert!(
        states >= 1 && plans == 1 && silences >= 1 && incidents,
        "{states} {plans} {silences}"
    );
    assert!(!text.contains(MARKER), "a secret in the log");

    // What was answered otherwise is found, and where.
    let mut changed: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let state = |line: &String| line.starts_with(STATE);
    let at = changed.iter().rposition(state).unwrap();
    let digest = changed[at].find("digest").unwrap() + 12;
    let other = if changed[at].as_bytes()[digest] == b'0' {
        "1"
    } else {
        "0"
    };
    changed[at].replace_range(digest..=digest, other);
    std::fs::write(&log, changed.join("\n")).unwrap();
    let (code, out, err) = run(program(&["replay", "--log", log_path])).await;
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.starts_with(&format!("differs: line {}:", at + 1)),
        "{out}"
    );
    std::fs::write(&log, "no log\n").unwrap();
    assert_eq!(run(program(&["replay", "--log", log_path])).await.0, 2);
}
