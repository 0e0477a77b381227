//! Runs a program once: bounded in time and output, alone in its process group, with nothing of ours around it.

use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landlock::{
    AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError,
};
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

/// What a program has around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// Its own directory, where it starts.
    pub(super) home: &'a Path,
    /// Variables that the file gives it.
    pub(super) variables: &'a [(String, String)],
    /// The one port that it may connect to by TCP, where the kernel can hold it to that.
    pub(super) gate: u16,
}

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
    around: Around<'_>,
    input: Vec<u8>,
    output_max: usize,
) -> Result<Ended, String> {
    let program = command.first().ok_or("the command is empty")?;
    let Started {
        group,
        stdin,
        stdout,
        stderr,
        ended,
    } = start(command, around)?;
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
    let waited = ended.await;
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

/// A program that runs, in a group of its own.
struct Started {
    group: Group,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    ended: oneshot::Receiver<std::io::Result<ExitStatus>>,
}

/// Starts a program from a thread of its own, which is held to the gate before, hands that on to the program alone, and
/// waits for its end: by `--pdeathsig` the program would end with it.
fn start(command: &[String], around: Around<'_>) -> Result<Started, String> {
    let program = command.first().ok_or("the command is empty")?;
    let cannot = |error: &std::io::Error| format!("`{program}` can't be started: {}", why(error));
    std::fs::metadata(program)
        .and_then(|found| executable(&found))
        .map_err(|error| cannot(&error))?;
    let held = Path::new(HOLD[0]).exists();
    let hold = HOLD.iter().filter(|_| held).copied();
    let mut words = hold.chain(command.iter().map(String::as_str));
    let mut command = Command::new(words.next().unwrap_or_default());
    command
        .args(words)
        .env_clear()
        .env("PATH", crate::probe::PROGRAM_FOLDERS)
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", around.home)
        .envs(around.variables.iter().map(|(name, value)| (name, value)))
        .current_dir(around.home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let gate = around.gate;
    let (started, start) = std::sync::mpsc::sync_channel(1);
    let (end, ended) = oneshot::channel();
    let body = move || {
        // Where the kernel can't, or may not by our unit, what goes round the gate is noticed all the same.
        let _ = hold_to(gate);
        match command.spawn() {
            Ok(mut child) => {
                let group = Group(Pid::from_raw(child.id().cast_signed()));
                let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
                let _ = started.send(Ok((group, pipes)));
                let _ = end.send(child.wait());
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    };
    let thread = std::thread::Builder::new().name("program".to_owned());
    thread.spawn(body).map_err(|error| cannot(&error))?;
    match start.recv() {
        Ok(Ok((group, (stdin, stdout, stderr)))) => Ok(Started {
            group,
            stdin,
            stdout,
            stderr,
            ended,
        }),
        Ok(Err(error)) => Err(cannot(&error)),
        Err(_) => Err(format!("`{program}` can't be started")),
    }
}

/// Lets this thread, and what it starts, connect by TCP to this port alone: Landlock's fourth version, in Linux since 6.7
/// (<https://docs.kernel.org/userspace-api/landlock.html>, read 2026-11-30). Names are asked for by UDP, which it leaves alone.
fn hold_to(port: u16) -> Result<(), RulesetError> {
    Ruleset::default()
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rule(NetPort::new(port, AccessNet::ConnectTcp))?
        .restrict_self()?;
    Ok(())
}

/// Whether the kernel can hold a program to its gate.
pub(super) fn can_hold() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let rules = rules.handle_access(AccessNet::ConnectTcp);
    rules.and_then(Ruleset::create).is_ok()
}

/// A program that goes on, and is talked to by lines. Its group dies with this value.
pub(super) struct Talker {
    _group: Group,
    ended: oneshot::Receiver<std::io::Result<ExitStatus>>,
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
    pub(super) fn start(command: &[String], around: Around<'_>) -> Result<Self, String> {
        let Started {
            group,
            stdin,
            stdout,
            stderr,
            ended,
        } = start(command, around)?;
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
            _group: group,
            ended,
            stdin: Arc::new(Mutex::new(stdin)),
            output,
            begun: Vec::new(),
            said,
            all_said,
        })
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.output.is_closed() || self.ended.is_terminated() || !self.ended.is_empty()
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
        let status = tokio::time::timeout(DRAIN_WITHIN, &mut self.ended).await;
        let _ = tokio::time::timeout(DRAIN_WITHIN, &mut self.all_said).await;
        let status = match status {
            Ok(Ok(Ok(status))) => format!(" ({status})"),
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
