//! A partner that counts by account: the limit of the file holds over restarts and commands, and a lock is believed.

use std::sync::Arc;

use tokio::sync::watch;

use crate::daemon::{Daemon, within};
use crate::kept;
use crate::server::{Reply, Server};
use crate::world::{program, run};

const LOCKED: &str = r#"{"success":false,"msg":"507","error":"Current account has been locked for 24 hours","lockDuration":"24"}"#;

struct Partner {
    server: Server,
    /// Requests that came.
    count: watch::Receiver<usize>,
    folder: tempfile::TempDir,
}

impl Partner {
    /// Answers `locks` of an account as locked.
    async fn start(locks: Option<&'static str>, politeness: &str) -> Self {
        let (said, count) = watch::channel(0);
        let said = Arc::new(said);
        let server = Server::http(move |seen| {
            said.send_modify(|count| *count += 1);
            let token = seen.header("x-token").unwrap_or_default();
            let body = match locks {
                Some(locked) if token == locked => LOCKED,
                _ => r#"{"success":true}"#,
            };
            Reply::new(200)
                .header("Content-Type", "application/json")
                .body(body)
        })
        .await;
        let folder = kept::folder();
        let text = format!(
            "version: 1\nservice: Acme\nclients: {{ batch: batch/1 }}\ncredentials:\n  first: {{ token: {{ env: FIRST, secret: false }} }}\n  second: {{ token: {{ env: SECOND, secret: false }} }}\n\
             probes:\n  plant: {{ url: \"http://api.acme.example:{port}/plant\", connect_to: 127.0.0.1, headers: {{ X-Token: \"{{{{ credential.token }}}}\" }}, with: [first, second, anonymous], every: 1s, timeout: 5s, \
             expect: {{ jsonpath: \"$.success == true\" }} }}\n\
             politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }}{politeness} }}\nweb: none\nstore: {{ path: edgewatch.sqlite }}\n",
            port = server.address.port()
        );
        std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
        Self {
            server,
            count,
            folder,
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = program(arguments);
        command.current_dir(self.folder.path());
        command.env("FIRST", "one").env("SECOND", "two");
        command
    }

    fn daemon(&self) -> Daemon {
        Daemon::spawn(self.command(&["run"]), self.folder.path())
    }

    /// Waits until the partner was asked so many times more.
    async fn asked(&mut self, more: usize) {
        let goal = *self.count.borrow() + more;
        let came = self.count.wait_for(|count| *count >= goal);
        within("requests", async { drop(came.await.unwrap()) }).await;
    }

    fn of(&self, token: &str) -> usize {
        let seen = self.server.seen();
        let of = seen
            .iter()
            .filter(|seen| seen.header("x-token") == Some(token));
        of.count()
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let (code, out, err) = run(self.command(arguments)).await;
        let text = format!("{out}{err}");
        (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Waits until the daemon says something.
    async fn says(&self, words: &str) {
        let log = self.folder.path().join("daemon.log");
        let mut count = self.count.clone();
        within(words, async {
            while !std::fs::read_to_string(&log).unwrap().contains(words) {
                let looked =
                    tokio::time::timeout(std::time::Duration::from_secs(1), count.changed());
                drop(looked.await);
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_so_many_requests_with_an_account_over_restarts_and_commands() {
    let politeness = ", per_credential: { requests_per_day: 6 }";
    let mut partner = Partner::start(None, politeness).await;
    let (code, out) = partner.run(&["check"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("first: 86400 of 6 requests a day by the schedule"),
        "{out}"
    );
    assert!(
        out.contains("the schedule asks 86400 times a day with \"first\", and 6 are allowed"),
        "{out}"
    );
    let (code, out) = partner.run(&["once"]).await;
    assert_eq!(code, 2, "nobody can count it yet: {out}");
    assert!(
        out.contains("there is no store edgewatch.sqlite yet"),
        "{out}"
    );
    assert_eq!(partner.of("one"), 0);

    let daemon = partner.daemon();
    partner.asked(3).await;
    assert_eq!(daemon.stop().await, 0);
    // It counts what another process asked.
    let before = partner.of("one") + partner.of("two");
    let (code, out) = partner.run(&["once"]).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(partner.of("one") + partner.of("two"), before + 2);
    let daemon = partner.daemon();
    for name in ["first", "second"] {
        partner
            .says(&format!("Credential `{name}` was used 6 times within 24 h"))
            .await;
    }
    assert_eq!(daemon.stop().await, 0);
    assert_eq!((partner.of("one"), partner.of("two")), (6, 6));

    // Another life gives them no new day; who has no account goes on.
    let daemon = partner.daemon();
    partner.asked(4).await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!((partner.of("one"), partner.of("two")), (6, 6));
    let (code, out) = partner.run(&["once", "--with", "first"]).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("\"first\" was used 6 times within 24 h, and this would ask 1 times more; the file allows 6"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_names_its_end_is_told_and_the_account_is_left_alone() {
    let mut partner = Partner::start(Some("one"), "").await;
    let daemon = partner.daemon();
    partner.asked(8).await;
    partner
        .says("The partner locked the account behind credential `first` until")
        .await;
    partner.says("limits the rate of").await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(partner.of("one"), 1, "once is enough");
    assert!(partner.of("two") >= 2, "the other account goes on");

    // Neither a restart nor a command asks again.
    let daemon = partner.daemon();
    partner.asked(4).await;
    assert_eq!(daemon.stop().await, 0);
    let (code, out) = partner.run(&["once", "--with", "first"]).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("the account behind credential \"first\" is locked until"),
        "{out}"
    );
    assert_eq!(partner.of("one"), 1);
}
