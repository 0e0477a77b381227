//! Who may change something through the pages: by a table, and what becomes of it.

use std::net::SocketAddr;

use crate::daemon::{Daemon, within};
use crate::fakes::Fake;
use crate::pages::{Answer, address, get, say};
use crate::secrets;
use crate::world::{RULE, World};

/// Sends a form as a page of ours does, with a session or without.
async fn send(address: SocketAddr, path: &str, session: Option<&str>, form: &str) -> Answer {
    let cookie = session.map(|session| format!("Cookie: other=1; __Host-edgewatch={session}\r\n"));
    let (length, cookie) = (form.len(), cookie.unwrap_or_default());
    say(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n{cookie}Content-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n{form}"
        ),
    )
    .await
}

async fn look(address: SocketAddr, path: &str, session: &str) -> Answer {
    let cookie = format!("Cookie: __Host-edgewatch={session}\r\n");
    say(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{cookie}Connection: close\r\n\r\n"),
    )
    .await
}

/// A text as of a form that was never sent.
fn once(number: u8) -> String {
    format!("once={number:064}")
}

/// The token of a link that a page shows.
fn token(page: &str) -> &str {
    let (_, rest) = page.split_once("/s/").expect("a link");
    &rest[..64]
}

/// What whoever has the link sees, and that it opens nothing else.
async fn shared(address: SocketAddr, page: &str, session: &str) {
    let token = token(page);
    for _ in 0..2 {
        let seen = get(address, &format!("/s/{token}")).await;
        assert_eq!(seen.status, 200, "{}", seen.body);
        assert!(seen.body.contains("INC-1"), "{}", seen.body);
        for part in ["<nav", "<form", "<script", "127.0.0.2", "/incidents/"] {
            assert!(!seen.body.contains(part), "{part}: {}", seen.body);
        }
        for part in [
            "cache-control: no-store",
            "x-robots-tag: noindex",
            "referrer-policy: no-referrer",
        ] {
            assert!(seen.head.contains(part), "{part}: {}", seen.head);
        }
    }
    let listed = look(address, "/quiet", session).await;
    assert!(listed.body.contains("Withdraw it"), "{}", listed.body);
    assert!(!listed.body.contains(token), "{}", listed.body);
    for path in ["/s/0", &format!("/s/{}", "0".repeat(64))] {
        let found = get(address, path).await;
        assert_eq!(found.status, 404, "{path}");
        assert!(!found.body.contains("<nav"), "{}", found.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_signed_in_acts_and_each_form_counts_once() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    let rest = "web: { listen: 127.0.0.1:0 }\nnotify: { receivers: { support: { teams: { webhook: { env: TEAMS_WEBHOOK_URL } } } } }";
    world.write("de1: 127.0.0.2", "1s", rest);
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    let address = address(&world);
    world.partner.switch(RULE, true);
    within(
        "a card",
        teams.eventually(|teams| !teams.cards().is_empty()),
    )
    .await;

    let offer = || {
        let output = world
            .command(&["web", "sign-in", "--who", "ann"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let secret = offer();
    assert_eq!(secret.len(), 64, "{secret}");
    assert_eq!(get(address, "/sign-in").await.status, 200);
    let wrong = send(address, "/sign-in", None, "secret=guess").await;
    assert_eq!(wrong.status, 403);
    let entered = send(address, "/sign-in", None, &format!("secret={secret}")).await;
    assert_eq!(entered.status, 303, "{}", entered.body);
    for part in ["secure", "httponly", "samesite=lax", "path=/"] {
        assert!(entered.head.contains(part), "{part}: {}", entered.head);
    }
    let (_, session) = entered
        .head
        .split_once("set-cookie: __host-edgewatch=")
        .unwrap();
    let session = session[..64].to_owned();
    let again = send(address, "/sign-in", None, &format!("secret={secret}")).await;
    assert_eq!(again.status, 403, "a secret is good once");

    // Every act by everybody: what is refused changes nothing.
    let acts = [
        ("/incidents/1/acknowledge", ""),
        ("/incidents/1/note", "&text=rang+the+GMC"),
        ("/incidents/1/silence", "&for=60&why=agreed"),
        ("/quiet/silence", "&client=legacy&for=60&why=agreed"),
        ("/quiet/1/end", ""),
        ("/incidents/1/run", ""),
        ("/probes/connect/run", ""),
        ("/cells/connect/de1/legacy/gmc/run", ""),
        ("/incidents/1/share", "&audience=partner&days=7"),
        ("/links/1/end", ""),
        ("/links", "&opens=wall&days=7"),
        ("/incidents/1/release", ""),
    ];
    // Of what was given up alone.
    let never = "/deliveries/01939f3e-0000-7000-8000-000000000000/again";
    let stranger = "0".repeat(64);
    for (path, form) in acts.into_iter().chain([(never, "")]) {
        let whole = format!("{}{form}", once(1));
        for session in [None, Some(stranger.as_str()), Some("")] {
            let found = send(address, path, session, &whole).await;
            assert_eq!(found.status, 401, "{path} by {session:?}");
        }
        for head in [
            "",
            "Origin: https://evil.example\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nCookie: __Host-edgewatch={session}\r\n{head}Content-Length: {}\r\n\
                 Connection: close\r\n\r\n{whole}",
                whole.len()
            );
            assert_eq!(say(address, &request).await.status, 403, "{path} {head}");
        }
        let found = get(address, path).await;
        assert!(
            [404, 405].contains(&found.status),
            "GET {path}: {}",
            found.status
        );
    }
    let quiet = get(address, "/quiet").await;
    assert!(quiet.body.contains("Nothing is."), "{}", quiet.body);
    assert!(!quiet.body.contains("<form"), "{}", quiet.body);

    // Who signed in sees what can be done, and does it.
    let mut link = String::new();
    let page = look(address, "/incidents/1", &session).await;
    for part in [
        "Look after it",
        "Silence it",
        "Write it down",
        "Run the matrix now",
        "Make a link",
        ">ann</a>",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for (place, (path, form)) in acts.into_iter().enumerate() {
        let whole = format!("{}{form}", once(2 + place as u8));
        for time in 0..2 {
            let found = send(address, path, Some(&session), &whole).await;
            if path.ends_with("/share") || path == "/links" {
                // What is made is shown once.
                let expected = [200, 409][time];
                assert_eq!(found.status, expected, "{path}: {}", found.body);
                if time == 0 && path != "/links" {
                    link = found.body;
                }
                continue;
            }
            assert_eq!(found.status, 303, "{path}: {}", found.body);
        }
        if path == "/incidents/1/share" {
            shared(address, &link, &session).await;
        }
    }
    let token = token(&link);
    let withdrawn = get(address, &format!("/s/{token}")).await;
    assert_eq!(withdrawn.status, 404, "{}", withdrawn.body);
    let refused = send(address, never, Some(&session), &once(80)).await;
    assert!(
        refused.body.contains("it is not given up any more"),
        "{}",
        refused.body
    );
    for (form, why) in [
        ("&client=nobody", "Name a probe"),
        ("", "Name a probe"),
        ("&client=legacy&for=61&why=x", "a time and a reason"),
        ("&client=legacy&for=60", "a time and a reason"),
    ] {
        let found = send(
            address,
            "/quiet/silence",
            Some(&session),
            &format!("{}{form}", once(90)),
        )
        .await;
        assert_eq!(
            (found.status, found.body.contains(why)),
            (400, true),
            "{form}: {}",
            found.body
        );
    }
    let preview = send(
        address,
        "/quiet/silence",
        Some(&session),
        "client=legacy&preview=yes&for=60&why=x",
    )
    .await;
    assert!(
        preview.body.contains("INC-1</a>, of which nobody is told"),
        "{}",
        preview.body
    );
    let silences = get(address, "/quiet.csv").await.body;
    assert_eq!(
        silences.matches("ann in the browser").count(),
        3,
        "two silences, and one end: {silences}"
    );
    let events = get(address, "/events?what=acts").await.body;
    for part in [
        "ann: acknowledge (",
        "ann: silence (silence 2)",
        "ann: end a silence (ended)",
        "ann: share (link 1)",
        "ann: withdraw a link (withdrawn)",
    ] {
        assert_eq!(events.matches(part).count(), 1, "{part}: {events}");
    }
    let asked = "ann: run now (asked, as fast as politeness allows)";
    assert_eq!(events.matches(asked).count(), 3, "{events}");
    within("the daemon takes it", async {
        loop {
            let page = get(address, "/api/v1/incidents/1").await.body;
            if page.contains("rang the GMC (ann in the browser)")
                && page.contains("\"what\": \"acknowledged\"")
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;

    let out = send(address, "/sign-out", Some(&session), "").await;
    assert_eq!(out.status, 303);
    let after = send(
        address,
        "/incidents/1/note",
        Some(&session),
        &format!("{}&text=late", once(99)),
    )
    .await;
    assert_eq!(after.status, 401);
    for path in ["/quiet", "/events", "/incidents/1"] {
        let body = get(address, path).await.body;
        assert!(
            !body.contains(&session) && !body.contains(&secret),
            "{path} shows a secret"
        );
        for secret in secrets::ALL {
            assert!(!body.contains(secret), "{path} shows a secret");
        }
    }
    assert_eq!(daemon.stop().await, 0);
}
