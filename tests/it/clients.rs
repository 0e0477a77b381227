//! Heads and hellos of real programs, as they were recorded: what a client of the file can be made to send.
//!
//! Each file of `tests/clients` holds a GET as bytes, and the TLS hello of the same program. Our own client is then
//! configured as well as it can be, through the file, and the bytes are compared.

use std::path::Path;

use base64::Engine as _;
use edgewatch::ask::likeness::Look;
use edgewatch::config::{self, Inputs};
use edgewatch::domain::hello;

use crate::server::{Reply, Server};

/// A recorded program.
struct Recorded {
    name: String,
    text: String,
    ja4: String,
    hello: Vec<u8>,
    /// As it stood on the wire.
    head: String,
}

fn recorded() -> Vec<Recorded> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let one = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let note = |name: &str| {
            let mut notes = text.lines().filter_map(|line| line.strip_prefix(name));
            notes.next().unwrap().to_owned()
        };
        let head = text.lines().filter(|line| !line.starts_with('#'));
        let head: Vec<&str> = head.collect();
        let hello = base64::engine::general_purpose::STANDARD.decode(note("# hello: "));
        Recorded {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            ja4: note("# ja4: "),
            hello: hello.unwrap(),
            head: head.join("\r\n") + "\r\n\r\n",
            text,
        }
    };
    paths.iter().map(|path| one(path)).collect()
}

struct Nothing;

impl Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound))
    }
}

/// The entry under `clients:` that sends this head, as an operator would write it.
fn entry(look: &Look) -> String {
    let quoted = |text: &str| format!("{text:?}");
    let mut agent = "";
    let mut headers = Vec::new();
    for (name, value) in &look.headers {
        let value = match name.to_ascii_lowercase().as_str() {
            "user-agent" => {
                agent = value;
                "~".to_owned()
            }
            "host" | "content-length" => "~".to_owned(),
            _ => quoted(value),
        };
        headers.push(format!("{name}: {value}"));
    }
    if !look
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
    {
        headers.push("Accept: ~".to_owned());
    }
    format!(
        "{{ user_agent: {}, headers: {{ {} }} }}",
        quoted(agent),
        headers.join(", ")
    )
}

/// The fingerprints are those of the published measurements, as an independent program computed them.
#[test]
fn every_recorded_hello_has_its_fingerprint() {
    let all = recorded();
    assert!(all.len() >= 30, "{}", all.len());
    for program in &all {
        let hello::Read::Hello(hello) = hello::read(&program.hello) else {
            panic!("{}: no hello", program.name);
        };
        assert_eq!(hello.ja4(), program.ja4, "{}", program.name);
        assert_eq!(hello.sni.as_deref(), Some("partner.test"));
        assert!(!hello.resumes, "{}", program.name);
        let look = Look::read(&program.text).unwrap();
        assert_eq!(look.ja4.as_ref(), Some(&program.ja4));
    }
}

#[tokio::test]
async fn nine_in_ten_heads_are_sent_byte_for_byte() {
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    let (mut exact, mut not) = (Vec::new(), Vec::new());
    for program in recorded() {
        let look = Look::read(&program.text).unwrap();
        let text = format!(
            "version: 1\nservice: s\ntimezone: UTC\nclients: {{ c: {} }}\nprobes: {{ p: {{ url: \"http://partner.test:{}/ws\", \
             connect_to: 127.0.0.1, every: 1m }} }}\n",
            entry(&look),
            server.address.port()
        );
        let checked = match config::read(&text, "probes.yaml", &Nothing) {
            Ok(checked) => checked,
            Err(findings) => {
                not.push(format!("{}: {findings}", program.name));
                continue;
            }
        };
        let seen = super::probe::run(&checked.plan).await;
        assert_eq!(seen.failure, None, "{}", program.name);
        let sent = server.seen().pop().unwrap();
        let sent = sent
            .head
            .replace(&format!(":{}\r\n", server.address.port()), "\r\n");
        if sent == program.head {
            exact.push(program.name);
        } else {
            not.push(format!("{}: {sent}", program.name));
        }
    }
    assert!(
        exact.len() * 10 >= (exact.len() + not.len()) * 9,
        "{not:#?}"
    );
    // HTTP/1.0, and a wish to change to HTTP/2 in the middle.
    let beyond = ["jdk-httpclient", "lynx", "w3m"];
    let names: Vec<&str> = not
        .iter()
        .filter_map(|text| text.split(':').next())
        .collect();
    assert_eq!(names, beyond, "{not:#?}");
}
