//! The letter's curl lines against a real proxy: what failed fails, what passed passes.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::software::{Desk, free_port, has};

/// Confirming what breaks off takes minutes in the worst case.
const OPENS_WITHIN: Duration = Duration::from_secs(240);

/// A proxy with these lines, and two clients of which it serves the new one; the letter of the incident.
fn letter(desk: &mut Desk, bind: &str, rule: &str, url: &str, old: &str) -> Value {
    let (port, own) = (free_port(), free_port());
    let url = url.replace("PORT", &port.to_string());
    let file = desk.write(
        "haproxy.cfg",
        &format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 2s\nfrontend f\n bind 127.0.0.1:{port} {bind}\n\
             {rule}\n http-request return status 200 content-type text/plain string \"all well\"\n"
        ),
    );
    desk.start("haproxy", &["-db", "-f", &file.display().to_string()], port);
    let file = desk.write(
        "probes.yaml",
        &format!(
            "version: 1\nservice: Partner\nlisten: 127.0.0.1:{own}\ntrust: [ca.pem]\nclients:\n  old: {old}\n  new: \"Java/11.0.10\"\n\
             politeness: {{ per_host: {{ requests_per_minute: 1000, gap: 10ms }} }}\nprobes:\n  page: {{ url: \"{url}\", connect_to: 127.0.0.1, every: 1s, \
             timeout: 900ms, expect: {{ status: 200, body: all well }} }}\nnotify: {{ receivers: {{ all: {{ log: {{}} }} }} }}\n"
        ),
    );
    desk.daemon(&file, own);
    let began = Instant::now();
    loop {
        let output = desk.edgewatch(&file, &["report", "1", "--format", "json"]);
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        assert!(
            began.elapsed() < OPENS_WITHIN,
            "no incident: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// What a shell makes of a line of the letter: whether curl ended well, and the status that it shows.
fn replayed(desk: &Desk, letter: &Value, which: &str) -> (bool, String) {
    let line = letter[which]["curl"]
        .as_str()
        .unwrap_or_else(|| panic!("{letter:#}"));
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(desk.folder())
        .env("CURL_CA_BUNDLE", desk.folder().join("ca.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.lines().next().unwrap_or_default().to_owned();
    println!("{which}: {line}\n{status}");
    (output.status.success(), status)
}

/// A certificate of localhost that is its own root; the file with its key.
fn certificate(desk: &Desk) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    desk.write("ca.pem", &pem);
    desk.write(
        "site.pem",
        &format!("{pem}{}", made.signing_key.serialize_pem()),
    );
}

#[test]
fn a_refused_user_agent() {
    if !has("letter: user agent", &["haproxy", "curl"]) {
        return;
    }
    let desk = &mut Desk::new("letter-agent");
    certificate(desk);
    let rule = " http-request deny deny_status 403 if { req.hdr(User-Agent) -m beg Java/1.8 }";
    let url = "http://localhost:PORT/status";
    let letter = letter(desk, "", rule, url, "\"Java/1.8.0_275\"");
    let (ended, status) = replayed(desk, &letter, "failing");
    assert!(ended && status.contains(" 403"), "{status}");
    let (ended, status) = replayed(desk, &letter, "passing");
    assert!(ended && status.contains(" 200"), "{status}");
}

#[test]
fn a_version_of_tls_that_is_not_taken() {
    if !has("letter: TLS", &["haproxy", "curl"]) {
        return;
    }
    let desk = &mut Desk::new("letter-tls");
    certificate(desk);
    let site = desk.folder().join("site.pem").display().to_string();
    let bind = format!("ssl crt {site} ssl-min-ver TLSv1.3");
    let old = "{ user_agent: \"Java/1.8.0_275\", tls: { max: \"1.2\" } }";
    let letter = letter(desk, &bind, "", "https://localhost:PORT/status", old);
    let (ended, status) = replayed(desk, &letter, "failing");
    assert!(!ended, "{status}");
    let (ended, status) = replayed(desk, &letter, "passing");
    assert!(ended && status.contains(" 200"), "{status}");
}
