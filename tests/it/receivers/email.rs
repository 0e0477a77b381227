//! How incidents look as mails, and what a mail server's answers mean at each step of the conversation.

use std::sync::LazyLock;
use std::time::Duration;

use edgewatch::domain::notification::{
    Channel, Encryption, Login, Mail, Notification, Reason, Receiver,
};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::email::{Email, Thread};
use edgewatch::notify::{Class, Message};
use proptest::prelude::*;

use super::mail_server::{Kind, MailFault, MailServer, PASSWORD, Taken, USER};
use super::{HASTE, PATIENCE, SHOWN, class, message, receiver, without_cause};
use crate::samples::{any_notification, cases, notification};
use crate::server::certificates::Authority;

pub(super) fn mail(server: &MailServer, encryption: Encryption) -> Mail {
    Mail {
        host: "localhost".into(),
        port: server.port(),
        encryption,
        login: Some(Ok(Login::Password {
            username: Secret::new(USER),
            password: Secret::new(PASSWORD),
        })),
        hello: "monitor.example.org".into(),
        from: "edgewatch <alerts@example.org>".into(),
        to: vec!["ann@example.org".into(), "Bob <bob@example.net>".into()],
        plain: false,
        roots: vec![server.root()],
    }
}

pub(super) fn to(server: &MailServer, fallback: Option<&str>) -> Receiver {
    let channel = Channel::Email(Box::new(mail(server, Encryption::StartTls)));
    receiver("mail", channel, fallback)
}

fn email(server: &MailServer, timeout: Duration) -> Email {
    Email::new(&mail(server, Encryption::StartTls), timeout).unwrap()
}

/// The mail as text, its body decoded.
pub(crate) fn readable(letter: &[u8]) -> String {
    let letter = String::from_utf8(letter.to_vec()).unwrap();
    let (head, body) = letter.split_once("\r\n\r\n").unwrap();
    let body = match head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Transfer-Encoding: "))
    {
        Some("quoted-printable") => quoted_printable(body),
        Some("7bit") => body.to_owned(),
        Some("base64") => {
            use base64::Engine as _;
            let whole = body.replace("\r\n", "");
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(whole)
                .unwrap();
            String::from_utf8(bytes).unwrap()
        }
        other => panic!("{other:?}"),
    };
    // Subjects in encoded words are shown as they are read.
    format!("{}\n\n{body}", words(&head.replace("\r\n", "\n"))).replace('\r', "")
}

/// Decodes what RFC 2045 section 6.7 says.
fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let hex: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Decodes what RFC 2047 says, as far as base64 goes.
fn words(head: &str) -> String {
    use base64::Engine as _;
    let word = regex::Regex::new(r"=\?utf-8\?b\?([^?]*)\?=").unwrap();
    // Between two of them a line break is no space.
    let joined = regex::Regex::new(r"\?=\s+=\?")
        .unwrap()
        .replace_all(head, "?==?");
    word.replace_all(&joined, |found: &regex::Captures<'_>| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&found[1])
            .unwrap();
        String::from_utf8(bytes).unwrap()
    })
    .into_owned()
}

#[tokio::test]
async fn mails_by_reason() {
    let server = MailServer::start(Kind::StartTls).await;
    let engineers = email(&server, PATIENCE);
    let plain = Mail {
        plain: true,
        ..mail(&server, Encryption::StartTls)
    };
    let support = Email::new(&plain, PATIENCE).unwrap();
    for reason in SHOWN {
        let due = notification(reason, 0, "mail");
        let name = reason.as_str();
        insta::assert_snapshot!(
            format!("email_{name}"),
            readable(&engineers.letter(&message(&due)).unwrap())
        );
        insta::assert_snapshot!(
            format!("email_plain_{name}"),
            readable(&support.letter(&message(&due)).unwrap())
        );
    }
    let mut due = without_cause(Reason::Reopened);
    due.briefing.our_side = true;
    let doubtful = Message {
        repeat: true,
        late: true,
        note: Some("Could not reach engineers: Slack refused: not_in_channel"),
        plain: true,
        ..message(&due)
    };
    insta::assert_snapshot!(
        "email_reduced",
        readable(&engineers.letter(&doubtful).unwrap())
    );
}

/// Nothing for engineers reaches support staff, as in a Teams card.
#[test]
fn plain_mails_have_the_words_of_the_cards() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(MailServer::start(Kind::Plain));
    let plain = Mail {
        plain: true,
        ..mail(&server, Encryption::None)
    };
    let email = Email::new(&plain, PATIENCE).unwrap();
    for reason in SHOWN {
        let mut due = notification(reason, 0, "mail");
        due.briefing.headline =
            "GMC refuses Java at Cloudflare: HTTP 403, timeout, DNS, TLS, WAF".into();
        let letter = readable(&email.letter(&message(&due)).unwrap());
        let (head, body) = letter.split_once("\n\n").unwrap();
        let subject = head.lines().find(|l| l.starts_with("Subject: ")).unwrap();
        for word in ["HTTP", "403", "Cloudflare", "Java", "DNS", "gmc-uk", "%"] {
            assert!(
                !body.contains(word) && !subject.contains(word),
                "{word}: {letter}"
            );
        }
    }
}

fn subject(taken: &Taken) -> String {
    words(&taken.header("Subject").unwrap())
}

#[tokio::test]
async fn an_incident_is_one_thread_and_goes_to_all() {
    let server = MailServer::start(Kind::StartTls).await;
    let email = email(&server, PATIENCE);
    let mut thread = Thread::default();
    let mut due: Vec<Notification> = Vec::new();
    for (sequence, reason) in SHOWN.into_iter().enumerate() {
        due.push(notification(reason, sequence as u32, "mail"));
        let sent = email.tell(&message(due.last().unwrap()), thread).await;
        sent.result.unwrap();
        thread = Thread::read(&sent.thread.text());
        assert_eq!(thread, sent.thread, "kept and read again");
    }
    let taken = server.taken();
    assert_eq!(taken.len(), 5);
    let root = format!("<{}@example.org>", due[0].delivery);
    for (index, (taken, due)) in taken.iter().zip(&due).enumerate() {
        assert!(taken.encrypted);
        assert_eq!(taken.user.as_deref(), Some(USER));
        assert_eq!(taken.from, "alerts@example.org");
        assert_eq!(taken.to, ["ann@example.org", "bob@example.net"]);
        let id = format!("<{}@example.org>", due.delivery);
        assert_eq!(taken.header("Message-ID"), Some(id));
        let answered = (index > 0).then(|| root.clone());
        assert_eq!(taken.header("References"), answered);
        assert_eq!(taken.header("In-Reply-To"), answered);
        assert!(subject(taken).contains("INC-42"), "{}", subject(taken));
    }
    assert!(subject(&taken[0]).starts_with("[PROBLEM] "));
    assert!(subject(&taken[3]).starts_with("[FIXED] "));
    assert!(subject(&taken[4]).starts_with("[NO LONGER WATCHED] "));
    assert!(
        server
            .said()
            .contains(&"EHLO monitor.example.org".to_owned())
    );
}

#[tokio::test]
async fn encrypted_from_the_first_byte_and_on_this_host_not_at_all() {
    for (kind, encryption) in [
        (Kind::Implicit, Encryption::Implicit),
        (Kind::Plain, Encryption::None),
    ] {
        let server = MailServer::start(kind).await;
        let email = Email::new(&mail(&server, encryption), PATIENCE).unwrap();
        let due = notification(Reason::Opened, 0, "mail");
        email
            .tell(&message(&due), Thread::default())
            .await
            .result
            .unwrap();
        assert_eq!(server.taken()[0].encrypted, kind == Kind::Implicit);
    }
}

/// A server that can't show who it is gets neither text nor password.
#[tokio::test]
async fn nothing_is_said_to_a_server_that_is_not_the_one_meant() {
    let stranger = Authority::named("A stranger");
    let (other, expired) = (
        stranger.issue(&["localhost"]),
        stranger.issue(&["mail.example.org"]),
    );
    for (identity, trusted) in [(other, false), (expired, true)] {
        for (kind, encryption) in [
            (Kind::StartTls, Encryption::StartTls),
            (Kind::Implicit, Encryption::Implicit),
        ] {
            let root = stranger.pem();
            let server = MailServer::start_as(kind, Authority::new(), &identity).await;
            let mail = Mail {
                roots: if trusted { vec![root] } else { vec![] },
                ..mail(&server, encryption)
            };
            let email = Email::new(&mail, PATIENCE).unwrap();
            let due = notification(Reason::Opened, 0, "mail");
            let told = email.tell(&message(&due), Thread::default()).await.result;
            let error = told.unwrap_err();
            assert_eq!(error.class, Class::Setup, "{error}");
            assert!(error.text.contains("certificate"), "{error}");
            assert!(
                !server
                    .said()
                    .iter()
                    .any(|s| s.contains("AUTH") || s.contains("MAIL"))
            );
        }
    }
}

#[tokio::test]
async fn each_answer_has_its_class() {
    use MailFault::{
        Data, DroppedAfterData, Greeting, Login, NoLogin, NoStartTls, Recipient, Sender, Silence,
        TakenThenDropped, TakenThenHang, Verdict,
    };
    let not_now = Err((Class::Transient, false));
    let set_up = Err((Class::Setup, false));
    let unclear = Err((Class::Ambiguous, true));
    let server = MailServer::start(Kind::StartTls).await;
    let (patient, hasty) = (email(&server, PATIENCE), email(&server, HASTE));
    for (fault, expected, taken) in [
        (Greeting("421 4.3.2 try later"), not_now, 0),
        (Greeting("554 5.7.1 not you"), set_up, 0),
        (Greeting("HTTP/1.1 400 Bad Request"), not_now, 0),
        (Silence, not_now, 0),
        (NoStartTls, set_up, 0),
        (NoLogin, set_up, 0),
        (Login("535 5.7.8 SECRET-ECHO"), set_up, 0),
        (Login("454 4.7.0 not now"), not_now, 0),
        (Sender("451 4.3.0 not now"), not_now, 0),
        (Sender("550 5.7.1 SECRET-ECHO"), set_up, 0),
        (Recipient("@", "450 4.2.0 greylisted"), not_now, 0),
        (Recipient("@", "550 5.1.1 nobody"), set_up, 0),
        // The other has it.
        (Recipient("ann", "550 5.1.1 nobody"), Ok(()), 1),
        (Recipient("ann", "450 4.2.0 greylisted"), not_now, 1),
        (Data("451 4.3.0 not now"), not_now, 0),
        (Data("554 5.5.1 no"), Err((Class::Payload, false)), 0),
        (Verdict("452 4.3.1 no room"), not_now, 0),
        (Verdict("554 5.6.0 spam"), Err((Class::Payload, false)), 0),
        (TakenThenDropped, unclear, 1),
        (TakenThenHang, unclear, 1),
        (DroppedAfterData, unclear, 0),
    ] {
        server.fault(fault.clone());
        let before = server.taken().len();
        let email = match fault {
            Silence | TakenThenHang => &hasty,
            _ => &patient,
        };
        let due = notification(Reason::Opened, 0, "mail");
        let told = email.tell(&message(&due), Thread::default()).await.result;
        if let Err(error) = &told {
            let shown = format!("{error} {error:?} {email:?}");
            assert!(
                !shown.contains("SECRET") && !shown.contains(PASSWORD) && !shown.contains(USER),
                "{shown}"
            );
        }
        assert_eq!(class(told), expected, "{fault:?}");
        assert_eq!(server.taken().len() - before, taken, "{fault:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_surely_not_told() {
    let mail = {
        let server = MailServer::start(Kind::StartTls).await;
        mail(&server, Encryption::StartTls)
    };
    let email = Email::new(&mail, PATIENCE).unwrap();
    let due = notification(Reason::Opened, 0, "mail");
    let error = email
        .tell(&message(&due), Thread::default())
        .await
        .result
        .unwrap_err();
    assert_eq!((error.class, error.blind), (Class::Transient, false));
}

/// Who has the mail does not get it again while the others are tried.
#[tokio::test]
async fn a_recipient_that_waits_gets_it_alone() {
    let server = MailServer::start(Kind::StartTls).await;
    server.fault(MailFault::Recipient("bob", "450 4.2.0 greylisted"));
    let email = email(&server, PATIENCE);
    let due = notification(Reason::Opened, 0, "mail");
    let first = email.tell(&message(&due), Thread::default()).await;
    assert_eq!(first.result.unwrap_err().class, Class::Transient);
    let second = email.tell(&message(&due), first.thread).await;
    second.result.unwrap();
    let to: Vec<Vec<String>> = server.taken().into_iter().map(|t| t.to).collect();
    assert_eq!(to, [["ann@example.org"], ["bob@example.net"]]);
    // The next delivery goes to both again.
    let due = notification(Reason::Resolved, 1, "mail");
    email
        .tell(&message(&due), second.thread)
        .await
        .result
        .unwrap();
    assert_eq!(server.taken()[2].to.len(), 2);
}

/// The second copy has the id of the first, so that a reader's program can drop it.
#[tokio::test]
async fn what_is_unclear_comes_again_under_its_id_and_stays_the_root() {
    let server = MailServer::start(Kind::StartTls).await;
    server.fault(MailFault::TakenThenDropped);
    let email = email(&server, PATIENCE);
    let due = notification(Reason::Opened, 0, "mail");
    let first = email.tell(&message(&due), Thread::default()).await;
    assert_eq!(first.result.unwrap_err().class, Class::Ambiguous);
    let again = Message {
        repeat: true,
        ..message(&due)
    };
    let second = email.tell(&again, first.thread).await;
    second.result.unwrap();
    let end = notification(Reason::Resolved, 1, "mail");
    email
        .tell(&message(&end), second.thread)
        .await
        .result
        .unwrap();
    let taken = server.taken();
    let id = taken[0].header("Message-ID");
    assert_eq!(taken[1].header("Message-ID"), id);
    assert_eq!(taken[1].header("References"), None);
    assert_eq!(taken[2].header("References"), id);
    assert!(readable(taken[1].text.as_bytes()).contains("May be a repeat"));
}

/// For engineers and for support; made once, as each reads the roots of the system.
static EMAILS: LazyLock<[Email; 2]> = LazyLock::new(|| {
    [false, true].map(|plain| {
        let mail = Mail {
            host: "localhost".into(),
            port: 25,
            encryption: Encryption::None,
            login: None,
            hello: "monitor.example.org".into(),
            from: "edgewatch <alerts@example.org>".into(),
            to: vec!["ann@example.org".into()],
            plain,
            roots: vec![],
        };
        Email::new(&mail, PATIENCE).unwrap()
    })
});

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever was found, no text of it gets into the head, and every line can be sent.
    #[test]
    fn any_incident_makes_a_mail(due in any_notification(3), plain: bool, for_support: bool) {
        let letter = EMAILS[usize::from(for_support)].letter(&Message { plain, ..message(&due) }).unwrap();
        let letter = String::from_utf8(letter).unwrap();
        prop_assert!(letter.is_ascii());
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .lines()
            .filter(|l| !l.starts_with(' '))
            .map(|l| l.split(':').next().unwrap())
            .collect();
        prop_assert_eq!(names.len(), 12, "{:?}", names);
        for line in letter.split("\r\n") {
            prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{:?}", line);
        }
    }
}
