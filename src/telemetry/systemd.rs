//! Tells the service manager how we are: ready, reloading, stopping, alive.
//!
//! The protocol is a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>, read 2026-11-22). Sending never
//! waits: a manager that does not read must not hold up the loop.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The status line is one line of `systemctl status`.
const STATUS_CHARS_MAX: usize = 200;

/// The way to the service manager.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    /// It must hear of us this often.
    watchdog: Option<Duration>,
    status: String,
}

impl Systemd {
    /// From what the manager put into the environment; `None`: nobody started us that listens.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let path = std::env::var_os("NOTIFY_SOCKET")?;
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // Meant for this process, unless it says for which.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")
            .filter(|usec| ours && *usec > 0)
            .map(Duration::from_micros);
        match Self::connect(&path, watchdog) {
            Ok(systemd) => Some(systemd),
            Err(error) => {
                tracing::warn!("the service manager can't be told how we are: {error}");
                None
            }
        }
    }

    /// # Errors
    /// What the system says of the socket.
    pub fn connect(path: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match path.as_bytes() {
            // A name in the abstract namespace of Linux: unix(7).
            [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            _ => socket.connect(path)?,
        }
        Ok(Self {
            socket,
            watchdog,
            status: String::new(),
        })
    }

    /// How often [`Systemd::alive`] should be called: twice in the time allowed, as the manual advises.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.watchdog.map(|most| most / 2)
    }

    pub fn ready(&self) {
        self.send("READY=1\n");
    }

    pub fn reloading(&self) {
        self.send("RELOADING=1\n");
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// Keeps the watchdog quiet.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1\n");
        }
    }

    /// Shows a line in `systemctl status`; the same again is not sent.
    pub fn status(&mut self, line: &str) {
        let line: String = line
            .chars()
            .map(|c| {
                if crate::domain::shown::is_unsafe(c) {
                    ' '
                } else {
                    c
                }
            })
            .take(STATUS_CHARS_MAX)
            .collect();
        if self.status != line {
            self.send(&format!("STATUS={line}\n"));
            self.status = line;
        }
    }

    fn send(&self, text: &str) {
        // A manager that went away or does not read is no reason to stop probing; the watchdog is its own alarm.
        if let Err(error) = self.socket.send(text.as_bytes()) {
            tracing::debug!("the service manager does not listen: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn both_kinds_of_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Systemd::connect(path.as_os_str(), None).unwrap().ready();
        assert_eq!(heard(&socket), "READY=1\n");

        let name = format!("edgewatch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let path = format!("@{name}");
        Systemd::connect(OsStr::new(&path), None)
            .unwrap()
            .stopping();
        assert_eq!(heard(&socket), "STOPPING=1\n");
    }

    #[test]
    fn the_watchdog_is_fed_only_where_there_is_one_and_a_status_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut systemd = Systemd::connect(path.as_os_str(), None).unwrap();
        systemd.alive();
        systemd.status("two\nlines");
        systemd.status("two\nlines");
        systemd.reloading();
        assert_eq!(heard(&socket), "STATUS=two lines\n");
        assert_eq!(heard(&socket), "RELOADING=1\n");

        let most = Some(Duration::from_secs(30));
        let systemd = Systemd::connect(path.as_os_str(), most).unwrap();
        assert_eq!(systemd.every(), Some(Duration::from_secs(15)));
        systemd.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_is_gone_is_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        assert!(Systemd::connect(path.as_os_str(), None).is_err());
        let socket = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd::connect(path.as_os_str(), None).unwrap();
        // Full, as nobody reads: sending must not wait.
        for _ in 0..10_000 {
            systemd.ready();
        }
        drop(socket);
        systemd.ready();
    }
}
