//! Starts software as Debian ships it, on loopback and free ports, and ends it with the test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A program that takes longer than this to begin or to end has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// One case: a folder of its own, and the programs that run in it.
pub(crate) struct Desk {
    folder: PathBuf,
    running: Vec<Child>,
}

/// Whether all programs are here; says which case is left out for which.
pub(crate) fn has(case: &str, programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return true;
    }
    // Not through `eprintln!`, which the harness keeps to itself for tests that pass.
    let said = format!("NOT RUN: {case}: {missing:?} is missing on this machine\n");
    let _ = std::io::stderr().write_all(said.as_bytes());
    false
}

/// Where a program or a file of a package is; servers lie outside of an ordinary user's path.
fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}

impl Desk {
    pub(crate) fn new(case: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("edgewatch-real-{}-{case}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self {
            folder,
            running: Vec::new(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the folder can be written to");
        path
    }

    /// Starts a program and waits until it listens on `port`.
    pub(crate) fn start(&mut self, program: &str, arguments: &[&str], port: u16) {
        let path = find(program).expect("`has` was asked before");
        let log = fs::File::create(self.folder.join("log")).expect("the folder can be written to");
        let child = Command::new(path)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has two handles"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.running.push(child);
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let ended = self.running.last_mut().expect("it was just started");
        let started = until(|| listens() || ended.try_wait().is_ok_and(|end| end.is_some()));
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(
            started && listens(),
            "{program} does not listen on {port}: {log}"
        );
    }

    /// What `once` says of one probe, of `client` and through `egress`.
    pub(crate) fn once(&self, egress: &str, probe: &str) -> Value {
        let file = self.write(
            "probes.yaml",
            &format!(
                "version: 1\nservice: Partner\nclients: {{ batch: \"Java/1.8.0_275\" }}\negresses: {{ out: {egress} }}\n\
                 politeness: {{ per_host: {{ requests_per_minute: 600, gap: 0s }} }}\nprobes:\n  page: {probe}\n"
            ),
        );
        let output = self.edgewatch(&file, &["once", "--format", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        answer["cells"][0]["verdict"].clone()
    }

    pub(crate) fn edgewatch(&self, file: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_edgewatch"))
            .arg("--config")
            .arg(file)
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .expect("edgewatch runs")
    }

    /// Starts the daemon of a file that listens on `port`.
    pub(crate) fn daemon(&mut self, file: &Path, port: u16) {
        let file = file.display().to_string();
        self.start(
            env!("CARGO_BIN_EXE_edgewatch"),
            &["--config", &file, "run"],
            port,
        );
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for child in &mut self.running {
            // Asked kindly, so that those with children of their own take them along.
            let kindly = format!("kill {}", child.id());
            let _ = Command::new("sh").args(["-c", &kindly]).status();
            if !until(|| child.try_wait().is_ok_and(|end| end.is_some())) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether it holds before our patience ends.
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::park_timeout(PAUSE);
    }
    holds()
}

/// The body of what a server on loopback answers to a GET.
pub(crate) fn get(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        let asked = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        let _ = stream.write_all(asked.as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}
