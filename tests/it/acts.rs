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
        ("/incidents/1/release", ""),
    ];
    let stranger = "0".repeat(64);
    for (path, form) in acts {
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
    let page = look(address, "/incidents/1", &session).await;
    for part in ["Look after it", "Silence it", "Write it down", ">ann</a>"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for (place, (path, form)) in acts.into_iter().enumerate() {
        let whole = format!("{}{form}", once(2 + place as u8));
        for _ in 0..2 {
            let found = send(address, path, Some(&session), &whole).await;
            assert_eq!(found.status, 303, "{path}: {}", found.body);
        }
    }
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
    ] {
        assert_eq!(events.matches(part).count(), 1, "{part}: {events}");
    }
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
