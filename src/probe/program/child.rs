//! Runs a program once: bounded in time and output, alone in its process group, with nothing of ours around it.

use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot};

use crate::probe::failure::one_line;

/// Takes from a program what it would inherit of our rights, and ends it with us, whatever ends us; in util-linux since
/// 2.33 (<https://man7.org/linux/man-pages/man1/setpriv.1.html>, read 2026-11-30). Without it programs run as they are.
const HOLD: [&str; 6] = [
    "/usr/bin/setpriv",
    "--pdeathsig=KILL",
    "--ambient-caps=-all",
    "--inh-caps=-all",
    "--no-new-privs",
    "--",
];
/// Bytes kept of standard error, the last ones.
const SAID_MAX: usize = 8 * 1024;
/// Pieces of output that wait to be read; the program waits beyond that.
const PIECES_MAX: usize = 16;
/// How long what is in the pipes is waited for once the program has ended.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);

/// What a program left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    /// It wrote more than is read, and was stopped.
    pub(super) over: bool,
    /// The end of what it wrote to standard error.
    pub(super) said: String,
}

/// A process group that dies with this value.
struct Group(Pid);

impl Group {
    fn kill(&self) {
        // It may be gone already, which is what is wanted.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    over: bool,
}

/// Runs `command` with `input` on its standard input and reads at most `output_max` bytes of its output.
///
/// Dropping the future kills the program and all that it started in its group. The environment is empty but for
/// what every program needs: proxies, key logs and options of a JVM in ours must not reach it, nor secrets.
///
/// # Errors
/// A sentence why the program could not be started.
pub(super) async fn run(
    command: &[String],
    home: &Path,
    input: Vec<u8>,
    output_max: usize,
) -> Result<Ended, String> {
    let program = command.first().ok_or("the command is empty")?;
    let (mut child, group) = start(command, home)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (output, said) = (
        Arc::<Mutex<Output>>::default(),
        Arc::<Mutex<Output>>::default(),
    );
    let writer = tokio::task::spawn_blocking(move || {
        // A program that does not read its request shows that by its answer.
        let _ = stdin.map(|mut stdin| stdin.write_all(&input));
    });
    let reader = {
        let (output, group) = (output.clone(), Pid::from_raw(group.0.as_raw()));
        tokio::task::spawn_blocking(move || {
            read(stdout, &output, |kept, bytes| {
                let room = output_max.saturating_sub(kept.bytes.len());
                kept.bytes
                    .extend_from_slice(&bytes[..bytes.len().min(room)]);
                kept.over = bytes.len() > room;
                if kept.over {
                    Group(group).kill();
                }
                !kept.over
            });
        })
    };
    let errors = {
        let said = said.clone();
        tokio::task::spawn_blocking(move || read_errors(stderr, &said))
    };
    let waited = tokio::task::spawn_blocking(move || child.wait()).await;
    // What it left behind may hold the pipes open for ever.
    group.kill();
    let drained = async {
        let _ = writer.await;
        let _ = reader.await;
        let _ = errors.await;
    };
    let _ = tokio::time::timeout(DRAIN_WITHIN, drained).await;
    let status = match waited {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(format!("`{program}`: {error}")),
        Err(_) => return Err(format!("`{program}` can't be waited for")),
    };
    let output = std::mem::take(&mut *lock(&output));
    let said = std::mem::take(&mut *lock(&said));
    Ok(Ended {
        status,
        output: output.bytes,
        over: output.over,
        said: String::from_utf8_lossy(&said.bytes).into_owned(),
    })
}

/// Starts a program in a group of its own. It ends with the thread that starts it, which must be one of the runtime's.
fn start(command: &[String], home: &Path) -> Result<(Child, Group), String> {
    let program = command.first().ok_or("the command is empty")?;
    if let Err(error) = std::fs::metadata(program).and_then(|found| executable(&found)) {
        return Err(format!("`{program}` can't be started: {}", why(&error)));
    }
    let held = Path::new(HOLD[0]).exists();
    let hold = HOLD.iter().filter(|_| held).copied();
    let mut words = hold.chain(command.iter().map(String::as_str));
    let child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .env_clear()
        .env("PATH", crate::probe::PROGRAM_FOLDERS)
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`{program}` can't be started: {}", why(&error)))?;
    let group = Group(Pid::from_raw(child.id().cast_signed()));
    Ok((child, group))
}

/// A program that goes on, and is talked to by lines. It dies with this value.
pub(super) struct Talker {
    /// `None` once it was waited for.
    child: Option<Child>,
    group: Group,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    /// Pieces of its output; closed when that ends.
    output: mpsc::Receiver<Vec<u8>>,
    /// What came of the next line so far.
    begun: Vec<u8>,
    said: Arc<Mutex<Output>>,
    /// Closed when nothing more comes of that.
    all_said: oneshot::Receiver<()>,
}

impl Talker {
    /// # Errors
    /// A sentence why the program could not be started.
    pub(super) fn start(command: &[String], home: &Path) -> Result<Self, String> {
        let (mut child, group) = start(command, home)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stderr = child.stderr.take();
        let said = Arc::<Mutex<Output>>::default();
        let (sender, output) = mpsc::channel(PIECES_MAX);
        // Threads of their own: they last as long as the program.
        std::thread::spawn(move || {
            let Some(mut stdout) = stdout else { return };
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.blocking_send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let kept = said.clone();
        let (whole, all_said) = oneshot::channel();
        std::thread::spawn(move || {
            read_errors(stderr, &kept);
            drop::<oneshot::Sender<()>>(whole);
        });
        Ok(Self {
            child: Some(child),
            group,
            stdin: Arc::new(Mutex::new(stdin)),
            output,
            begun: Vec::new(),
            said,
            all_said,
        })
    }

    pub(super) fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut();
        self.output.is_closed() || child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Writes a request and reads the next line, of at most so many bytes.
    ///
    /// # Errors
    /// What it did in place of a line.
    pub(super) async fn ask(&mut self, input: Vec<u8>, most: usize) -> Result<Vec<u8>, String> {
        if !self.begun.is_empty() || self.output.try_recv().is_ok() {
            return Err("spoke before it was asked".to_owned());
        }
        let stdin = Arc::clone(&self.stdin);
        let write = move || {
            let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
            stdin
                .as_mut()
                .is_some_and(|stdin| stdin.write_all(&input).is_ok())
        };
        // One that takes nothing is waited for in vain like one that says nothing.
        let _ = tokio::task::spawn_blocking(write).await;
        self.line(most).await
    }

    /// The next line.
    ///
    /// # Errors
    /// What came in place of one.
    pub(super) async fn line(&mut self, most: usize) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let rest = self.begun.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.begun, rest));
            }
            if self.begun.len() > most {
                return Err(format!("wrote more than {most} bytes, which are not read"));
            }
            match self.output.recv().await {
                Some(piece) => self.begun.extend_from_slice(&piece),
                None => return Err(self.end().await),
            }
        }
    }

    /// How it ended, with the last that it said.
    async fn end(&mut self) -> String {
        let child = self.child.take();
        let wait =
            tokio::task::spawn_blocking(move || child.and_then(|mut child| child.wait().ok()));
        let status = tokio::time::timeout(DRAIN_WITHIN, wait).await;
        let _ = tokio::time::timeout(DRAIN_WITHIN, &mut self.all_said).await;
        let status = match status {
            Ok(Ok(Some(status))) => format!(" ({status})"),
            _ => String::new(),
        };
        let said = lock(&self.said);
        let said = String::from_utf8_lossy(&said.bytes);
        let mut lines = said.lines().filter(|line| !line.trim().is_empty());
        match lines.next_back() {
            Some(line) => format!("ended{status}: {}", one_line(line, super::SAID_CHARS_MAX)),
            None => format!("ended{status}"),
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // The group is killed with it; what is left is a line in the table of processes.
        self.group.kill();
        let _ = self.child.take().map(|mut child| child.wait());
    }
}

/// Keeps the end of what comes.
fn read_errors(pipe: Option<impl Read>, said: &Mutex<Output>) {
    read(pipe, said, |kept, bytes| {
        kept.bytes.extend_from_slice(bytes);
        let many = kept.bytes.len().saturating_sub(SAID_MAX);
        kept.bytes.drain(..many);
        true
    });
}

fn lock(output: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands what comes to `take` until that has enough, or nothing comes any more.
fn read(pipe: Option<impl Read>, kept: &Mutex<Output>, take: impl Fn(&mut Output, &[u8]) -> bool) {
    let Some(mut pipe) = pipe else { return };
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut bytes) {
        if !take(&mut lock(kept), &bytes[..count]) {
            return;
        }
    }
}

fn executable(found: &std::fs::Metadata) -> std::io::Result<()> {
    if found.is_file() && found.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
        _ => error.to_string(),
    }
}
