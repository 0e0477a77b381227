//! Runs a program once: bounded in time and output, alone in its process group, with nothing of ours around it.

use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

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
    if let Err(error) = std::fs::metadata(program).and_then(|found| executable(&found)) {
        return Err(format!("`{program}` can't be started: {}", why(&error)));
    }
    let held = Path::new(HOLD[0]).exists();
    let hold = HOLD.iter().filter(|_| held).copied();
    let mut words = hold.chain(command.iter().map(String::as_str));
    let mut child = Command::new(words.next().unwrap_or_default())
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
        tokio::task::spawn_blocking(move || {
            read(stderr, &said, |kept, bytes| {
                kept.bytes.extend_from_slice(bytes);
                let many = kept.bytes.len().saturating_sub(SAID_MAX);
                kept.bytes.drain(..many);
                true
            });
        })
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
