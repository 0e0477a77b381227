//! The daemon as a real process whose host's clock is set while it runs.

use crate::daemon::{Daemon, within};
use crate::fakes::{CHANNEL, Fake};
use crate::host::Host;
use crate::world::{RULE, World, run};

async fn json(host: &Host, world: &World, arguments: &[&str]) -> (i32, serde_json::Value) {
    let mut command = world.command(arguments);
    command.args(["--format", "json"]);
    let (code, out, err) = run(host.applied(command)).await;
    let json = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    (code, json)
}

fn at(value: &serde_json::Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_lives_on_when_the_clock_goes_back_two_hours() {
    let world = World::start().await;
    let slack = Fake::slack().await;
    let notify = format!(
        "notify: {{ receivers: {{ engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: \"{}\" }} }} }}, routes: [{{ to: engineers, notices: true }}] }}",
        slack.api()
    );
    world.write("de1: 127.0.0.2", "1s", &notify);
    let host = Host::make(world.directory.path());
    let start = || {
        let command = host.applied(world.command(&["run", "--log", "debug"]));
        Daemon::spawn(command, world.directory.path())
    };
    let gate = ["gate", "connect", "--as", "legacy"];
    let daemon = start();
    within("good rounds", async { drop(world.partner.seen(8).await) }).await;
    let (code, said) = json(&host, &world, &gate).await;
    assert_eq!(code, 0, "{said}");

    world.partner.switch(RULE, true);
    within("the opening", slack.eventually(|s| !s.parents().is_empty())).await;
    host.set_clock(-7_200);
    let told = |text: &'static str| {
        slack.eventually(move |s| {
            s.messages()
                .iter()
                .any(|m| m.body.to_string().contains(text))
        })
    };
    within("that it was set", told("set back by 2 h")).await;
    let before = world.partner.count();
    within("more rounds", async {
        drop(world.partner.seen(before + 8).await);
    })
    .await;
    // What passed by the former clock stands for nothing.
    let (code, said) = json(&host, &world, &gate).await;
    assert_ne!(code, 0, "{said}");
    let (_, status) = json(&host, &world, &["status"]).await;
    assert_eq!(status["daemon"]["state"], "running", "{status}");

    // Again, while nobody looks.
    assert_eq!(daemon.stop().await, 0);
    host.set_clock(-3 * 86_400);
    let daemon = start();
    let before = world.partner.count();
    within("more rounds", async {
        drop(world.partner.seen(before + 4).await);
    })
    .await;

    world.partner.switch(RULE, false);
    within("the end", told("FIXED")).await;
    let (_, incident) = json(&host, &world, &["incidents", "show", "1"]).await;
    let lasted = at(&incident["resolved_at"]).duration_since(at(&incident["onset_at"]));
    assert!((0..300).contains(&lasted.as_secs()), "{incident}");
    let (code, said) = json(&host, &world, &gate).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(daemon.stop().await, 0);
    // One incident, and one message that was edited.
    let about = |text: &str| {
        let parents = slack.parents();
        parents
            .iter()
            .filter(|m| m.body.to_string().contains(text))
            .count()
    };
    assert_eq!(about("FIXED"), 1, "{:?}", slack.parents());
    assert_eq!(about("DOWN"), 0, "{:?}", slack.parents());
    assert_eq!(about("set back by"), 2, "{:?}", slack.parents());
}
