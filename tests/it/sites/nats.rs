//! A real nats-server on loopback, and a proxy before it that cuts.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where `tests/run` puts it.
const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/nats/nats-server");

fn binary() -> PathBuf {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from(BINARY));
    assert!(
        path.exists(),
        "these tests need nats-server: `tests/run` fetches it to {BINARY}, or name one in NATS_SERVER"
    );
    path
}

/// A server; killed when dropped.
pub(crate) struct Nats {
    child: Child,
    conf: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Nats {
    /// One without TLS, whose files are on the disk before it acknowledges.
    pub(crate) fn plain(folder: &Path) -> Self {
        let store = folder.join("jetstream");
        let text = format!(
            "jetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            store.display()
        );
        Self::with(folder, &text)
    }

    /// One with this configuration besides where it listens: that is on a port that the system chooses.
    pub(crate) fn with(folder: &Path, text: &str) -> Self {
        let conf = folder.join("server.conf");
        std::fs::write(&conf, format!("listen: \"127.0.0.1:-1\"\n{text}")).unwrap();
        let (child, address) = start(&conf);
        // From now on it is there again after a restart.
        std::fs::write(&conf, format!("listen: \"{address}\"\n{text}")).unwrap();
        Self {
            child,
            conf,
            address,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        let (child, address) = start(&self.conf);
        assert_eq!(address, self.address);
        self.child = child;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it and waits until it says that it is ready, and where.
#[allow(
    clippy::zombie_processes,
    reason = "one that does not start fails the test"
)]
fn start(conf: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(binary())
        .arg("-c")
        .arg(conf)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut address, mut said) = (None, String::new());
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, at)) = line.split_once("Listening for client connections on ") {
            address = at.trim().parse().ok();
        }
        said.push_str(&line);
        said.push('\n');
        if line.contains("Server is ready") {
            // What it says from now on nobody reads, but it must not block.
            std::thread::spawn(move || lines.for_each(drop));
            return (child, address.unwrap());
        }
    }
    panic!("nats-server does not start:\n{said}");
}

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// Nothing passes, nothing is closed: a cable that was pulled.
    Silent,
    /// What is open is closed, what is new too.
    Closed,
}

/// A proxy before a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel(Mode::Open);
        let task = tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                if *seen.borrow() == Mode::Closed {
                    continue;
                }
                tokio::spawn(pass(inside, server, seen.clone()));
            }
        });
        Self {
            address,
            mode,
            task,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pass(inside: TcpStream, server: SocketAddr, mode: watch::Receiver<Mode>) {
    let Ok(outside) = TcpStream::connect(server).await else {
        return;
    };
    let (from, to) = (inside.into_split(), outside.into_split());
    let mode = Arc::new(mode);
    tokio::select! {
        () = pump(from.0, to.1, Arc::clone(&mode)) => {}
        () = pump(to.0, from.1, mode) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mode: Arc<watch::Receiver<Mode>>,
) {
    let mut mode = (*mode).clone();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count,
            _ = mode.wait_for(|mode| *mode == Mode::Closed) => return,
        };
        let Ok(count @ 1..) = count else { return };
        let passes = mode.wait_for(|mode| *mode != Mode::Silent).await;
        if passes.is_ok_and(|mode| *mode == Mode::Closed) {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
