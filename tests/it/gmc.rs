//! The file in the root against a real SOAP stack: what we ship is what the GMC's service can read.
//!
//! Order counts there, and an element out of order is simply missing, so a wrong body is answered with a code
//! that sends people looking in the wrong place.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::kept;
use crate::world::{PASSWORD, program, run};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What stands inside the SOAP body, as a document of its own with `filled` in place of each placeholder.
fn inside(envelope: &str, filled: &str) -> String {
    let mut text = String::new();
    for (number, part) in envelope.split("{{").enumerate() {
        let rest = match part.split_once("}}") {
            Some((_, rest)) if number > 0 => {
                text.push_str(filled);
                rest
            }
            _ => part,
        };
        text.push_str(rest);
    }
    let document = roxmltree::Document::parse(&text).unwrap();
    let body = document
        .descendants()
        .find(|node| node.has_tag_name("Body"))
        .unwrap();
    let call = body.first_element_child().unwrap();
    text[call.range()].to_owned()
}

/// Whether the schema takes a document, and what it says.
fn validated(document: &str) -> (bool, String) {
    let mut child = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(root("tests/fixtures/gmc/check-status.xsd"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("xmllint; on Debian: apt-get install libxml2-utils");
    let mut input = child.stdin.take().unwrap();
    input.write_all(document.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn every_shipped_body_is_as_the_service_describes_it() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root("deploy/soap")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (right, said) = validated(&inside(&text, "1"));
        assert!(right, "{}: {said}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
    // The order of former days: the schema tells it from the right one.
    let text = std::fs::read_to_string(root("deploy/soap/check-status.xml")).unwrap();
    let moved = inside(&text, "1").replace("DesignatedBodyId>", "X>");
    let moved = moved.replace("RecommendationId>", "DesignatedBodyId>");
    let (right, said) = validated(&moved.replace("X>", "RecommendationId>"));
    assert!(!right && said.contains("not expected"), "{said}");
}

/// The service as a process; it ends when this is dropped.
struct Service {
    process: Child,
    port: u16,
}

impl Service {
    fn start() -> Self {
        // Debian's packages are for Debian's Python, which may stand behind another on the path.
        let has = |python: &&&str| {
            let mut command = Command::new(python);
            command.args(["-c", "import spyne, lxml"]);
            let output = command.output();
            output.is_ok_and(|output| output.status.success())
        };
        let pythons = ["python3", "/usr/bin/python3"];
        let python = pythons.iter().find(has).expect(
            "a Python with spyne; on Debian: apt-get install python3-spyne python3-lxml, else: pip install spyne lxml",
        );
        let mut process = Command::new(python)
            .arg(root("tests/fixtures/gmc/service.py"))
            .arg(PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { process, port }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_probe_is_answered_with_zero_by_a_real_soap_stack() {
    let service = Service::start();
    let folder = kept::folder();
    let base = format!("http://127.0.0.1:{}/", service.port);
    let ours = std::fs::read_to_string(root("probes.yaml")).unwrap();
    let text = ours
        .replace(
            "url: https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx\n",
            &format!("url: {base}\n"),
        )
        .replace(
            "file: deploy/soap/check-status.xml",
            &format!("file: {}", root("deploy/soap/check-status.xml").display()),
        )
        .replace("certificate_days: 21", "");
    assert!(text.contains(&base), "the probe of the file in the root");
    let config = folder.path().join("probes.yaml");
    std::fs::write(&config, text).unwrap();
    let once = || {
        let mut command = program(&["once", "gmc-check-status", "--format", "json"]);
        command
            .arg("--config")
            .arg(&config)
            .env("GMC_USERNAME", "tis")
            .env("GMC_PASSWORD", PASSWORD)
            .env("GMC_PROBE_DOCTOR", "1234567")
            .env("GMC_PROBE_RECOMMENDATION", "1")
            .env("GMC_PROBE_DESIGNATED_BODY", "1-AIIDR8");
        command
    };
    let (_, out, err) = run(once()).await;
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    // The controls of the file are outside of this host: what they say is not asked.
    let cells = answer["cells"].as_array().unwrap();
    let runs: Vec<_> = cells
        .iter()
        .filter(|run| run["probe"] == "gmc-check-status")
        .collect();
    assert!(!runs.is_empty(), "{out}{err}");
    assert!(
        runs.iter().all(|run| run["verdict"]["kind"] == "pass"),
        "{out}"
    );
    // The stack reads the account where it stands, and says so in its own code.
    let mut command = once();
    command.env("GMC_USERNAME", "another");
    let (_, out, err) = run(command).await;
    assert!(out.contains("99: invalid credentials"), "{out}{err}");
}
