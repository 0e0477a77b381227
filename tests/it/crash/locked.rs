//! Somebody else holds the store's write lock for longer than a write waits: nothing is lost, nothing told twice.

use nix::sys::signal::{Signal, kill};

use super::OPENED_THEN_FIXED;
use super::episode::{Act, Episode, Story, Who};
use super::gate::{Kill, Stop, hold};

const STORY: Story = Story {
    name: "a locked store",
    receivers: &[Who::Slack],
    acts: OPENED_THEN_FIXED,
    calls: 4,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_store_is_waited_for() {
    let ended = tokio::join!(
        tokio::spawn(how_it_ended_can_not_be_marked(STORY, 2)),
        // Teams can't be asked what it took: without the mark it would be told again.
        tokio::spawn(how_it_ended_can_not_be_marked(super::TEAMS, 1)),
        tokio::spawn(that_it_begins_can_not_be_marked()),
        tokio::spawn(a_change_can_not_be_kept()),
        tokio::spawn(it_is_locked_at_the_start()),
        tokio::spawn(it_is_locked_at_a_reload()),
    );
    for ended in [ended.0, ended.1, ended.2, ended.3, ended.4, ended.5] {
        ended.unwrap().unwrap_or_else(|report| panic!("{report}"));
    }
}

/// The last of `calls` was answered, and that can't be written for longer than one write waits.
async fn how_it_ended_can_not_be_marked(story: Story, calls: usize) -> Result<(), String> {
    let mut episode = Episode::begin(story, &[Kill::nth(calls, Stop::Unmarked)]).await;
    episode.act(&[Act::Opened(1)]).await;
    let (daemon, _gates) = episode.start().await;
    episode.tally.shut().await;
    episode.says("can't mark how a message ended").await?;
    episode.tally.open();
    told(&episode).await?;
    let posts = episode.posts();
    if posts != calls {
        return Err(episode.report(&format!(
            "{posts} posts, not {calls}: it was told again for want of a mark"
        )));
    }
    drop(daemon);
    Ok(())
}

/// Nothing leaves before its mark is on the disk.
async fn that_it_begins_can_not_be_marked() -> Result<(), String> {
    let mut episode = Episode::begin(STORY, &[]).await;
    let (daemon, _gates) = {
        episode.act_ahead(&[Act::Opened(1)]).await;
        episode.start().await
    };
    episode.says("is probing").await?;
    let lock = hold(episode.store_path()).await;
    episode.says("messages wait").await?;
    if episode.posts() != 0 {
        return Err(episode.report("something left before it was marked"));
    }
    drop(lock);
    told(&episode).await?;
    drop(daemon);
    episode.fixed().await
}

/// What the loop decided waits for the store, and is told then.
async fn a_change_can_not_be_kept() -> Result<(), String> {
    let mut episode = Episode::begin(STORY, &[]).await;
    episode.act(&[]).await;
    let (daemon, _gates) = episode.start().await;
    episode.says("is probing").await?;
    let lock = hold(episode.store_path()).await;
    std::fs::write(episode.config(), "version: 1\nprobs: {}\n").unwrap();
    kill(daemon.process(), Signal::SIGHUP).unwrap();
    episode.says("the change is tried again").await?;
    drop(lock);
    let refused = |body: &serde_json::Value| body.to_string().contains("was not taken");
    let notices = || {
        let messages = episode.slack.messages();
        messages.iter().filter(|m| refused(&m.body)).count()
    };
    let came = episode.slack.eventually(|_| notices() > 0);
    if tokio::time::timeout(super::episode::PATIENCE, came)
        .await
        .is_err()
    {
        return Err(episode.report("the notice is lost"));
    }
    told(&episode).await?;
    match notices() {
        1 => Ok(()),
        more => Err(episode.report(&format!("{more} notices, not 1"))),
    }
}

/// It can't be recovered: the daemon says so and ends, and whoever starts it again finds everything.
async fn it_is_locked_at_the_start() -> Result<(), String> {
    let mut episode = Episode::begin(STORY, &[Kill::nth(1, Stop::Unanswered)]).await;
    episode.act(&[Act::Opened(1)]).await;
    let (daemon, gates) = episode.start().await;
    episode.tally.shut().await;
    drop((daemon, gates));
    let lock = hold(episode.store_path()).await;
    let (daemon, gates) = episode.start().await;
    let code = tokio::task::spawn_blocking(move || daemon.ended())
        .await
        .unwrap();
    if code != Some(2) || !episode.log().contains("database is locked") {
        return Err(episode.report(&format!("it ended with {code:?}")));
    }
    drop((lock, gates));
    episode.live_on().await?;
    episode.fixed().await
}

/// The new receivers' workers can't begin; they do as soon as they can, without another reload.
async fn it_is_locked_at_a_reload() -> Result<(), String> {
    let mut episode = Episode::begin(STORY, &[]).await;
    episode.act_ahead(&[Act::Opened(1)]).await;
    let (daemon, _gates) = episode.start().await;
    episode.says("is probing").await?;
    let lock = hold(episode.store_path()).await;
    let text = std::fs::read_to_string(episode.config()).unwrap();
    let more = text.replace("  receivers:\n", "  receivers:\n    journal: { log: {} }\n");
    assert_ne!(text, more);
    std::fs::write(episode.config(), more).unwrap();
    kill(daemon.process(), Signal::SIGHUP).unwrap();
    episode.says("delivery is tried again soon").await?;
    drop(lock);
    told(&episode).await?;
    drop(daemon);
    episode.fixed().await
}

/// Waits until everything is told by a daemon that is alive.
async fn told(episode: &Episode) -> Result<(), String> {
    let empty = async {
        let mut looks = tokio::time::interval(super::episode::LOOK);
        while !episode.undelivered().is_empty() {
            looks.tick().await;
        }
    };
    match tokio::time::timeout(super::episode::PATIENCE, empty).await {
        Ok(()) => Ok(()),
        Err(_) => Err(episode.report("something is not told")),
    }
}
