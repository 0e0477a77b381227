//! A client tried from the browser: what it would meet, what it costs, and that the daemon's politeness holds over both.

use std::net::SocketAddr;

use crate::daemon::within;
use crate::pages::get;
use crate::roles::{ANN, ask, sign_in, stage};
use crate::world::{PASSWORD, RULE};

/// A form as of a page that was never shown.
fn asks(once: u8, agent: &str, more: &str) -> String {
    format!("once={once:064}&probe=connect&http=1&egress=&headers=&user_agent={agent}{more}")
}

/// A page's text as a person reads it.
fn plain(page: &str) -> String {
    page.replace("&quot;", "\"")
}

/// Until a trial is over: its page asks for itself anew before.
async fn ended(address: SocketAddr, page: &str, who: &str) {
    within("the round is over", async {
        loop {
            let head = ask(address, page, who, None).await.head;
            if !head.contains("\r\nrefresh: 2") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_tried_with_the_daemons_leave() {
    let stage = stage("users: { ann: { password: { file: ann } } }, operators: [ann]").await;
    let (address, partner) = (stage.address, &stage.world.partner);
    partner.switch(RULE, true);
    let ann = sign_in(address, "ann", ANN).await.ok().unwrap();
    let form = ask(address, "/try?probe=connect", &ann, None).await.body;
    for part in [
        "<option selected>connect",
        "As it will be sent",
        "Every egress",
    ] {
        let found = form.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "{part}: {form}");
    }
    assert!(!get(address, "/try").await.body.contains("<form"));

    // What must not be, and what can't be.
    let stranger = ask(address, "/try", "", Some(&asks(1, "x", ""))).await;
    assert_eq!(stranger.status, 401, "{}", stranger.body);
    for (agent, more, why) in [
        (PASSWORD, "", "It holds a secret of the file"),
        (
            "Mozilla%2F5.0+(X11)+Chrome%2F120.0",
            "",
            "edgewatch does not disguise itself",
        ),
        ("a%0Ab", "", "one line without control characters"),
        ("x", "&probe=nothing", "no such probe"),
        ("x", "&egress=moon", "No cell is left"),
        (
            "x",
            "&headers=Authorization%3A+Bearer+hunter22",
            "a secret can't stand here",
        ),
    ] {
        let found = ask(address, "/try", &ann, Some(&asks(1, agent, more))).await;
        assert_eq!(
            (found.status, found.body.contains(why)),
            (400, true),
            "{}",
            found.body
        );
        for secret in ["hunter22", PASSWORD] {
            assert!(!found.body.contains(secret), "{}", found.body);
        }
    }
    let cost = ask(
        address,
        "/try",
        &ann,
        Some(&asks(1, "Java%2F21", "&preview=yes")),
    )
    .await
    .body;
    for part in [
        "4 requests, about ",
        "Try \"Java/21\" at connect?",
        "Ask now",
    ] {
        assert!(plain(&cost).contains(part), "{part}: {cost}");
    }
    let tried = |agent: &str| {
        let seen = partner.requests();
        let of = seen
            .iter()
            .filter(|it| it.header("user-agent") == Some(agent));
        of.count()
    };
    assert_eq!(tried("Java/21"), 0, "nothing was asked yet");

    for (number, agent, shown, sentence) in [
        (1, "Java%2F21", "Java/21", "\"Java/21\" would pass"),
        (
            2,
            "Java%2F1.8.0_999",
            "Java/1.8.0_999",
            "\"Java/1.8.0_999\" would not pass",
        ),
    ] {
        let begun = ask(address, "/try", &ann, Some(&asks(number, agent, ""))).await;
        assert_eq!(begun.status, 303, "{}", begun.body);
        assert!(
            begun.head.contains(&format!("location: /try/{number}")),
            "{}",
            begun.head
        );
        let page = format!("/try/{number}");
        ended(address, &page, &ann).await;
        let page = ask(address, &page, &ann, None).await.body;
        for part in [sentence, "legacy", "modern", "internet"] {
            assert!(plain(&page).contains(part), "{part}: {page}");
        }
        // The same form again begins nothing.
        let again = ask(address, "/try", &ann, Some(&asks(number, agent, ""))).await;
        assert_eq!(again.status, 303, "{}", again.body);
        assert_eq!(tried(shown), 1, "{shown}");
    }

    // Both together keep the gap of 20 ms; when a request comes is not when it was sent.
    let mut times: Vec<_> = partner.requests().iter().map(|seen| seen.at).collect();
    times.sort();
    let span = times[times.len() - 1].duration_since(times[0]);
    assert!(
        span.as_millis() >= 20 * (times.len() as i128 - 1) - 100,
        "{span:?} for {}",
        times.len()
    );
    let events = ask(address, "/events?what=acts", &ann, None).await.body;
    assert!(events.contains("ann: try (trial 1)"), "{events}");
    let incident = ask(address, "/api/v1/incidents", &ann, None).await.body;
    assert!(!incident.contains("\"try\""), "{incident}");

    for number in 3..=10 {
        let begun = ask(address, "/try", &ann, Some(&asks(number, "Java%2F21", ""))).await;
        assert_eq!(begun.status, 303, "{number}: {}", begun.body);
        let page = format!("/try/{number}");
        ended(address, &page, &ann).await;
    }
    let eleventh = ask(address, "/try", &ann, Some(&asks(11, "Java%2F21", ""))).await;
    assert_eq!(eleventh.status, 409, "{}", eleventh.body);
    assert!(
        eleventh.body.contains("10 times within an hour"),
        "{}",
        eleventh.body
    );
    stage.daemon.stop().await;
}
