//! The daemon as a real process, killed with SIGKILL wherever a message can stand, and started again.
//!
//! Nothing in the product knows of this: a gate before each receiver stops one call at a point (`gate`), the
//! test holds the store's write lock, and a life ends there (`episode`). Each story is played once without a
//! kill to count its calls, then once for each call and each way to stop it, until every one had its turn.
//! What was promised is asked of the receivers: Slack shows each thing exactly once; the others hear each at
//! least once, and once more for each kill that struck after they took it and before that was on the disk.

mod episode;
pub(crate) mod gate;
mod live;
mod locked;

use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use episode::{Act, Story, Who};
use gate::{Kill, Stop};

/// Lives at the same time; each is a process.
const AT_ONCE: usize = 12;

/// An opening is told, and later its end.
const OPENED_THEN_FIXED: &[&[Act]] = &[&[Act::Opened(1)], &[Act::Fixed(1)]];

const SLACK: Story = Story {
    name: "Slack",
    receivers: &[Who::Slack],
    acts: OPENED_THEN_FIXED,
    calls: 4,
};

const TEAMS: Story = Story {
    name: "Teams",
    receivers: &[Who::Teams],
    acts: OPENED_THEN_FIXED,
    calls: 2,
};

const WEBHOOK: Story = Story {
    name: "a webhook",
    receivers: &[Who::Webhook],
    acts: OPENED_THEN_FIXED,
    calls: 2,
};

const PAGERDUTY: Story = Story {
    name: "PagerDuty",
    receivers: &[Who::PagerDuty],
    acts: OPENED_THEN_FIXED,
    calls: 2,
};

/// Slack refuses for ten minutes; Teams is told meanwhile, and of the end as well.
const DIVERTED: Story = Story {
    name: "diverted",
    receivers: &[Who::Slack, Who::TeamsInstead],
    acts: &[
        &[Act::SlackRefuses, Act::Opened(1)],
        &[Act::SlackIsMended],
        &[Act::Fixed(1)],
    ],
    calls: 7,
};

/// Six at once share a message; two of them end.
const STORM: Story = Story {
    name: "a storm",
    receivers: &[Who::Slack],
    acts: &[
        &[
            Act::Opened(1),
            Act::Opened(2),
            Act::Opened(3),
            Act::Opened(4),
            Act::Opened(5),
            Act::Opened(6),
        ],
        &[Act::Fixed(2), Act::Fixed(5)],
    ],
    calls: 10,
};

/// Everything that can happen to one call.
const EVERY_STOP: &[Stop] = &[
    Stop::Unread,
    Stop::Unanswered,
    Stop::HalfAnswered,
    Stop::Unmarked,
    Stop::SlowedDown,
    Stop::Failed,
];

#[tokio::test(flavor = "multi_thread")]
async fn one_kill_at_any_call() {
    let mut matrix = Matrix::new();
    for story in [SLACK, TEAMS, WEBHOOK, PAGERDUTY] {
        matrix.each_call(story, EVERY_STOP).await;
    }
    // A retry is on the disk here anyway.
    matrix.each_call(DIVERTED, &EVERY_STOP[..4]).await;
    matrix.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kill_in_a_storm() {
    let mut matrix = Matrix::new();
    matrix
        .each_call(STORM, &[Stop::Unread, Stop::Unanswered, Stop::Unmarked])
        .await;
    matrix.end().await;
}

/// The second strikes whatever the life after the first one does, its look-ups among it.
#[tokio::test(flavor = "multi_thread")]
async fn two_kills_in_a_row() {
    let mut matrix = Matrix::new();
    let both: &[Stop] = &[Stop::Unanswered, Stop::Unmarked];
    for (story, first, seconds) in [
        (SLACK, Stop::Unanswered, both),
        (SLACK, Stop::Unread, &both[..1]),
        (TEAMS, Stop::Unanswered, &both[1..]),
    ] {
        matrix
            .each_pair(story, 1..=story.calls, first, seconds)
            .await;
    }
    // At the refusal, and where somebody else is told of it.
    matrix
        .each_pair(DIVERTED, 1..=2, Stop::Unmarked, &both[..1])
        .await;
    matrix.end().await;
}

/// Before anything is marked or sent the row alone says that there is something to tell.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_mark() {
    let mut matrix = Matrix::new();
    for story in [SLACK, TEAMS, WEBHOOK, PAGERDUTY] {
        matrix.before_the_mark(story);
    }
    matrix.end().await;
}

/// The incident ends while nobody is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_comes_while_the_daemon_is_down() {
    let mut matrix = Matrix::new();
    for story in [SLACK, TEAMS, WEBHOOK, PAGERDUTY] {
        matrix.fixed_meanwhile(story, &EVERY_STOP[..4]);
    }
    matrix.end().await;
}

/// Episodes that run beside each other, and what became of them.
struct Matrix {
    room: Arc<Semaphore>,
    running: JoinSet<Result<Played, String>>,
    failed: Vec<String>,
    played: usize,
}

/// An episode that went well.
struct Played {
    /// Calls since the last kill.
    calls: usize,
    kills: Vec<Kill>,
    /// Every kill had its call.
    complete: bool,
}

impl Matrix {
    fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
            failed: Vec::new(),
            played: 0,
        }
    }

    fn play(&mut self, story: Story, kills: Vec<Kill>) {
        self.start(async move {
            let mut episode = episode::Episode::begin(story, &kills).await;
            episode.play().await?;
            Ok(Played {
                calls: episode.calls_since_kill(),
                complete: episode.killed() == kills.len(),
                kills,
            })
        });
    }

    fn start(&mut self, episode: impl Future<Output = Result<Played, String>> + Send + 'static) {
        let room = Arc::clone(&self.room);
        self.running.spawn(async move {
            let _place = room.acquire().await.unwrap();
            episode.await
        });
    }

    /// Waits for all that were started.
    async fn ended(&mut self) -> Vec<Played> {
        let mut good = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            self.played += 1;
            match ended.unwrap() {
                Ok(played) => good.push(played),
                Err(report) => self.failed.push(report),
            }
        }
        good
    }

    /// Plays the story without a kill: it must make the calls that are to be killed at.
    async fn calls(&mut self, story: Story) {
        self.play(story, Vec::new());
        let calls = self.ended().await.first().map_or(0, |played| played.calls);
        if calls < story.calls {
            self.failed
                .push(format!("{}: only {calls} calls to kill at", story.name));
        }
    }

    async fn each_call(&mut self, story: Story, stops: &[Stop]) {
        self.calls(story).await;
        self.each_of(story, 1..=story.calls, stops).await;
    }

    async fn each_of(
        &mut self,
        story: Story,
        calls: RangeInclusive<usize>,
        stops: &[Stop],
    ) -> Vec<Played> {
        for stop in stops {
            for nth in calls.clone() {
                self.play(story, vec![Kill::nth(nth, *stop)]);
            }
        }
        let played = self.ended().await;
        for one in played.iter().filter(|one| !one.complete) {
            let why = format!("{}: {:?} was never reached", story.name, one.kills);
            self.failed.push(why);
        }
        played
    }

    /// A kill at each call, and another at each call after it, until one is not reached any more.
    async fn each_pair(
        &mut self,
        story: Story,
        firsts: RangeInclusive<usize>,
        first: Stop,
        seconds: &[Stop],
    ) {
        let (mut reached, least) = (0, firsts.clone().count() * seconds.len());
        for one in self.each_of(story, firsts, &[first]).await {
            // One more than there are: the last episode passes with no second kill.
            for nth in 1..=one.calls + 1 {
                for second in seconds {
                    self.play(story, vec![one.kills[0], Kill::nth(nth, *second)]);
                }
            }
        }
        for one in self.ended().await {
            reached += usize::from(one.complete);
        }
        if reached < least {
            let why = format!("{}: only {reached} second kills", story.name);
            self.failed.push(why);
        }
    }

    fn before_the_mark(&mut self, story: Story) {
        self.start(async move {
            let mut episode = episode::Episode::begin(story, &[]).await;
            episode.play_before_the_mark().await?;
            Ok(Played {
                calls: 0,
                kills: Vec::new(),
                complete: true,
            })
        });
    }

    fn fixed_meanwhile(&mut self, story: Story, stops: &[Stop]) {
        for stop in stops {
            for nth in 1..=story.calls / 2 {
                let kills = vec![Kill::nth(nth, *stop)];
                self.start(async move {
                    let mut episode = episode::Episode::begin(story, &kills).await;
                    episode.play_fixed_meanwhile().await?;
                    Ok(Played {
                        calls: 0,
                        complete: episode.killed() == 1,
                        kills,
                    })
                });
            }
        }
    }

    async fn end(mut self) {
        let incomplete = self
            .ended()
            .await
            .iter()
            .filter(|one| !one.complete)
            .count();
        assert_eq!(incomplete, 0, "kills that were never reached");
        assert!(
            self.failed.is_empty(),
            "{} of {} episodes failed:\n\n{}",
            self.failed.len(),
            self.played,
            self.failed.join("\n\n")
        );
        println!("{} episodes", self.played);
    }
}
