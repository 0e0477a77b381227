//! The daemon as a real process whose disk is full for a while.

use crate::daemon::{Daemon, within};
use crate::fakes::{CHANNEL, Fake};
use crate::host::Host;
use crate::world::{RULE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_what_is_over_by_then_alarms_nobody() {
    let world = World::start().await;
    let slack = Fake::slack().await;
    let notify = format!(
        "notify: {{ receivers: {{ engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: \"{}\" }} }} }} }}",
        slack.api()
    );
    world.write("de1: 127.0.0.2", "1s", &notify);
    let host = Host::make(world.directory.path());
    let command = host.applied(world.command(&["run", "--log", "debug"]));
    let daemon = Daemon::spawn(command, world.directory.path());
    within("good rounds", async { drop(world.partner.seen(8).await) }).await;

    host.fill_disk(true);
    world.partner.switch(RULE, true);
    let said = |words: &'static [&'static str]| {
        slack.eventually(move |s| {
            let mut calls = s.heard().into_iter();
            calls.any(|call| words.iter().all(|word| format!("{call:?}").contains(word)))
        })
    };
    within(
        "that it cannot write, and what is not recorded",
        said(&[
            "edgewatch cannot write: incidents are not recorded",
            "is full",
            "INC-1: ",
        ]),
    )
    .await;
    world.partner.switch(RULE, false);
    let log = || std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    within("the end, of which nobody is told", async {
        while !log().contains("what=\"resolved\"") {
            let before = world.partner.count();
            drop(world.partner.seen(before + 1).await);
        }
    })
    .await;

    host.fill_disk(false);
    within("what was, when it is over", said(&["FIXED"])).await;
    assert_eq!(daemon.stop().await, 0);
    let calls = slack.heard();
    let alarms = calls
        .iter()
        .filter(|call| format!("{call:?}").contains("DOWN"));
    assert_eq!(alarms.count(), 0, "{calls:#?}");
}
