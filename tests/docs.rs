//! Holds the book to the truth: its links lead somewhere, and its commands are commands.
//!
//! Every command, in a block of `sh` or within a sentence, is understood by the program, flags included. Nearly all are run
//! as well, beside a daemon whose partner on loopback refuses one client, and must not fail on our side.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and the book, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md")];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_some_and(|e| e == "md") {
            paths.push(path);
        }
    }
    assert!(paths.len() > 10, "only {} pages", paths.len());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What stands outside blocks of code, and the lines of those of `language`.
fn blocks(text: &str, language: &str) -> (String, Vec<String>) {
    let (mut prose, mut lines) = (String::new(), Vec::new());
    let mut within: Option<String> = None;
    for line in text.lines() {
        match (&within, line.trim_start().strip_prefix("```")) {
            (None, Some(begins)) => within = Some(begins.trim().to_owned()),
            (Some(_), Some(_)) => within = None,
            (None, None) => {
                prose.push_str(line);
                prose.push('\n');
            }
            (Some(of), None) if of == language => lines.push(line.trim().to_owned()),
            (Some(_), None) => {}
        }
    }
    (prose, lines)
}

/// As web sites make an anchor of a heading: letters, digits and dashes in small letters.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let mut broken = Vec::new();
    let mut links = 0;
    for (path, text) in pages() {
        let (prose, _) = blocks(&text, "");
        for part in prose.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a folder").join(file)
            };
            let found = there.exists()
                && (heading.is_empty() || {
                    let page = std::fs::read_to_string(&there).unwrap_or_default();
                    let mut headings = page.lines().filter(|line| line.starts_with('#'));
                    headings.any(|line| anchor(line.trim_start_matches('#')) == heading)
                });
            if !found {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(links > 30, "only {links} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_contents() {
    let contents = std::fs::read_to_string(root().join("docs/README.md")).expect("the contents");
    for (path, _) in pages() {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "README.md" || contents.contains(&format!("({name})")),
            "docs/README.md does not name {name}"
        );
    }
}

/// Words as a shell cuts them, double quotes kept together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("one word at least").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Those that go on until they are ended, or take minutes; what runs them instead.
const ELSEWHERE: [(&str, &str); 7] = [
    ("run", "the daemon of this test"),
    ("hub", "tests/it/sites, with a real nats-server"),
    ("agent", "tests/it/sites"),
    ("sites", "tests/it/sites"),
    ("demo", "tests/it/cli"),
    ("replay", "tests/it/replay"),
    ("web", "tests/it/pages"),
];

/// Commands of a page: those in blocks, and those within sentences.
fn commands(text: &str) -> Vec<String> {
    let (prose, lines) = blocks(text, "sh");
    let within = prose.split('`').skip(1).step_by(2).map(str::to_owned);
    let all = lines.into_iter().chain(within);
    let ours = all.filter(|line| line.starts_with("edgewatch "));
    // A form, with names to fill in or parts to leave out, is no command.
    let is_form = |word: &String| {
        word.contains(['[', '|', '…', '\\'])
            || word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase())
            || word == "N"
            || word == ">"
    };
    ours.map(|line| {
        let said: Vec<String> = words(&line);
        let whole = !said.iter().any(is_form);
        let upto = said.iter().take_while(|word| !is_form(word));
        let mut upto: Vec<&str> = upto.map(String::as_str).collect();
        // What the option takes was to be filled in.
        if upto.last().is_some_and(|last| last.starts_with("--")) {
            upto.pop();
        }
        if whole {
            line
        } else {
            format!("{} --help", upto.join(" "))
        }
    })
    .collect()
}

/// A partner whose edge refuses programs that call themselves Java/1.8.
fn partner() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: Vec<String> =
                    lines.by_ref().take_while(|line| !line.is_empty()).collect();
                let refused = head.iter().any(|line| line.contains("Java/1.8"));
                let (status, body) = if refused {
                    ("403 Forbidden", "error code: 1010")
                } else {
                    ("200 OK", "all is well")
                };
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status}\r\nServer: cloudflare\r\nCF-RAY: 8a1b2c3d4e5f6789-LHR\r\nContent-Type: text/plain\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    port
}

/// The folder that a reader has: a file, a daemon that runs by it, and what the repository has.
struct Desk {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = partner();
        let file = format!(
            "version: 1\nservice: GMC\negresses: {{ here: {{ address: 127.0.0.1 }} }}\n\
             clients: {{ legacy-reval: Java/1.8.0_275, new-reval: Java/11.0.10, monitor: {{ user_agent: monitor, control: true }} }}\n\
             politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 20ms }} }}\n\
             probes: {{ gmc-connect: {{ url: \"http://127.0.0.1:{port}/\", every: 1s, timeout: 1s }} }}\n\
             controls: {{ internet: {{ url: \"http://127.0.0.2:{port}/\", every: 1s }} }}\n\
             store: {{ path: edgewatch.db }}\nweb: none\nnotify: {{ receivers: {{ here: {{ log: {{}} }} }} }}\n"
        );
        std::fs::write(folder.path().join("probes.yaml"), file).expect("a file");
        for name in ["deploy", "tests"] {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name))
                .expect("a link");
        }
        let mut daemon = command(folder.path(), &["run"]);
        let log = folder.path().join("log");
        let daemon = daemon
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a file"));
        let daemon = daemon.spawn().expect("the daemon starts");
        let mut desk = Self { folder, daemon };
        let began = Instant::now();
        while desk.run(&["incidents", "list"]).0 != Some(1) {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let ended = desk.daemon.try_wait().expect("a child").is_some();
            assert!(
                !ended && began.elapsed() < Duration::from_secs(120),
                "no incident was opened\n{said}"
            );
            std::thread::sleep(Duration::from_millis(250));
        }
        desk
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = command(self.folder.path(), arguments).output();
        let output = output.expect("the program runs");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgewatch"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[test]
fn every_command_of_the_book_is_one_and_does_what_it_should() {
    let desk = Desk::new();
    let (mut run, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for line in commands(&text) {
            let at = format!("{}: {line}", path.display());
            // What stands in the book as an example is something else here.
            let arguments: Vec<String> = words(&line)
                .split_off(1)
                .into_iter()
                .map(|word| match word.as_str() {
                    "12" | "3" => "1".to_owned(),
                    "/etc/edgewatch/nats" => "nats".to_owned(),
                    "page.http" => "tests/corpus/cloudflare-1010-h2/response.http".to_owned(),
                    _ => word,
                })
                .collect();
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // Help is only given where all before it is understood.
            let mut asked = arguments.clone();
            asked.push("--help");
            let (code, said) = desk.run(&asked);
            if code != Some(0) {
                wrong.push(format!("{at}\n{said}"));
                continue;
            }
            let name = arguments
                .iter()
                .find(|word| !word.starts_with("--") && **word != "probes.yaml");
            let name = name.copied().unwrap_or_default();
            let elsewhere = ELSEWHERE.iter().any(|(other, _)| *other == name);
            if elsewhere && !arguments.contains(&"init") || arguments.contains(&"--help") {
                continue;
            }
            if name == "init" {
                arguments.splice(0..0, ["--config", "first.yaml"]);
                let _ = std::fs::remove_file(desk.folder.path().join("first.yaml"));
            }
            let _ = std::fs::remove_file(desk.folder.path().join("copy.sqlite"));
            run += 1;
            let (code, said) = desk.run(&arguments);
            // A sentence names commands without what they need.
            let named = said.contains("required arguments were not provided");
            if code.is_none_or(|code| code > 1) && !named {
                wrong.push(format!("{at}\n{said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(run > 35, "only {run} commands were run");
}

/// Of other programs: the script is there.
#[test]
fn every_script_of_the_book_is_there() {
    let mut missing = Vec::new();
    for (path, text) in pages() {
        for line in blocks(&text, "sh").1 {
            let line = line.split('#').next().unwrap_or_default();
            for word in line.split_whitespace() {
                let script = ["deploy/", "tests/", ".ci/"]
                    .iter()
                    .any(|dir| word.starts_with(dir));
                if script && !root().join(word).exists() {
                    missing.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
