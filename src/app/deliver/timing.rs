//! When a failed delivery is tried again, as plain functions.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::moment::elapsed;

use crate::domain::notification::Reason;
use crate::notify::{Class, SendError};
use crate::store::Delivery;

/// The waiting times of delivery; tests shorten them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// First pause after a transient failure; doubles with each try.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Where a receiver asks to slow down and does not say for how long.
    pub slow_down: Duration,
    /// A receiver that asks for more gets a try after this all the same.
    pub slow_down_max: Duration,
    /// Between tries while the receiver's set-up is wrong: a person may mend it.
    pub setup: Duration,
    /// Between two looks at a channel that does not work yet; `None`: it is not looked at before something is sent.
    pub check: Option<Duration>,
    /// Before an unclear try is looked up: it may still be on its way.
    pub look: Duration,
    /// Before an unclear try is repeated where nothing can be looked up: the first time, then at least, and at most.
    pub blind_first: Duration,
    pub blind: Duration,
    pub blind_max: Duration,
    /// From then on a message says that it is late.
    pub late: Duration,
    /// Without success for so long, the fallback is told.
    pub divert: Duration,
    /// Given up, as a dead letter, after this and so many tries: the host may have slept meanwhile.
    pub give_up: Duration,
    pub give_up_tries: u32,
    /// Between two messages to one receiver.
    pub gap_slack: Duration,
    pub gap_teams: Duration,
    pub gap_email: Duration,
    pub gap_pagerduty: Duration,
    /// Between two times that what stands open is sent again, to receivers that forget.
    pub refresh: Duration,
    /// So many openings within the window have messages of their own; beyond it is a storm.
    pub storm_most: usize,
    pub storm_window: Duration,
    /// Between two cards in a storm, so that the next one can tell of many.
    pub storm_gap: Duration,
    /// After the store could not be asked.
    pub store: Duration,
    /// For one request; connecting has half of it at most.
    pub request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            slow_down: Duration::from_secs(30),
            slow_down_max: Duration::from_secs(900),
            setup: Duration::from_secs(600),
            check: Some(Duration::from_secs(600)),
            look: Duration::from_secs(5),
            blind_first: Duration::from_secs(60),
            blind: Duration::from_secs(600),
            blind_max: Duration::from_secs(2 * 3600),
            late: Duration::from_secs(120),
            divert: Duration::from_secs(180),
            give_up: Duration::from_secs(24 * 3600),
            give_up_tries: 8,
            // About one message a second is allowed, and 50 edits a minute: each message may be one.
            // <https://docs.slack.dev/apis/web-api/rate-limits> (2026-11-22).
            gap_slack: Duration::from_millis(1_250),
            // 100 cards an hour was the connectors' limit, 4 requests a second Teams': well inside both.
            gap_teams: Duration::from_secs(5),
            // No server minds one mail a second.
            gap_email: Duration::from_secs(1),
            // 120 events a minute and key are taken: <https://support.pagerduty.com/main/docs/rate-limits> (2026-11-22).
            gap_pagerduty: Duration::from_millis(600),
            // Every half to three minutes is usual: <https://prometheus.io/docs/alerting/clients> (2026-11-22).
            refresh: Duration::from_secs(60),
            storm_most: 5,
            storm_window: Duration::from_secs(300),
            storm_gap: Duration::from_secs(60),
            store: Duration::from_secs(5),
            request: crate::notify::REQUEST_TIMEOUT,
        }
    }
}

/// So many tries come back as early as the receiver says.
const PROMPT_TRIES: u32 = 3;

/// What a failure asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Again after this time; `pause` holds for the whole receiver.
    Again {
        wait: Duration,
        pause: bool,
        uncertain: bool,
        plain: bool,
    },
    Dead,
}

/// What follows from a failed try, and whether the fallback is to be told now.
///
/// `random` is in 0..1. `delivery` is as it was before the try.
pub(super) fn after_failure(
    timing: &Timing,
    delivery: &Delivery,
    error: &SendError,
    now: Timestamp,
    random: f64,
) -> (Verdict, bool) {
    let tries = delivery.attempts + 1;
    let since_first = elapsed(delivery.first_attempt_at.unwrap_or(now), now);
    let verdict = if since_first >= timing.give_up && tries >= timing.give_up_tries {
        Verdict::Dead
    } else {
        by_class(timing, delivery, error, since_first, random)
    };
    let told = divertible(delivery);
    let divert = told
        && (verdict == Verdict::Dead
            || error.class == Class::Setup
            || since_first >= timing.divert);
    (verdict, divert)
}

fn by_class(
    timing: &Timing,
    delivery: &Delivery,
    error: &SendError,
    since_first: Duration,
    random: f64,
) -> Verdict {
    let tries = delivery.attempts + 1;
    // Who always asks to come back at once is not asked for ever at that pace.
    let patience = if tries > PROMPT_TRIES {
        backoff(
            timing.backoff_min,
            timing.backoff_max,
            tries - PROMPT_TRIES,
            random,
        )
    } else {
        Duration::ZERO
    };
    // `least` holds whatever was asked for.
    let again = |wait: Duration, least: Duration, uncertain| Verdict::Again {
        wait: error.retry_after.map_or(wait, |asked| {
            asked.min(timing.slow_down_max).max(least).max(patience)
        }),
        pause: false,
        uncertain,
        plain: false,
    };
    let pause = |wait: Duration| Verdict::Again {
        wait: wait.min(timing.slow_down_max),
        pause: true,
        uncertain: false,
        plain: false,
    };
    let backoff = backoff(timing.backoff_min, timing.backoff_max, tries, random);
    // Not all tries: what was surely refused for hours must not be given up at the first doubt.
    let unclear = delivery.unclear_tries + 1;
    match error.class {
        Class::SlowDown(asked) => pause(asked.unwrap_or(timing.slow_down).max(patience)),
        Class::Setup => pause(timing.setup),
        Class::Transient => again(backoff, Duration::ZERO, false),
        Class::Gone => again(timing.backoff_min.max(backoff), Duration::ZERO, false),
        Class::Ambiguous if error.blind && unclear <= 1 => {
            again(timing.blind_first, Duration::ZERO, true)
        }
        // Each try may be one more copy: the longer it lasts, the fewer.
        Class::Ambiguous if error.blind => again(
            since_first.min(timing.blind_max).max(timing.blind),
            Duration::ZERO,
            true,
        ),
        Class::Ambiguous => again(backoff.max(timing.look), timing.look, true),
        Class::Closed => Verdict::Dead,
        Class::Payload if delivery.plain => Verdict::Dead,
        Class::Payload => Verdict::Again {
            wait: Duration::ZERO,
            pause: false,
            uncertain: false,
            plain: true,
        },
    }
}

/// Whether a fallback should hear of it: openings and ends, once.
pub(super) fn divertible(delivery: &Delivery) -> bool {
    !delivery.diverted
        && matches!(
            delivery.notification.reason,
            Reason::Opened | Reason::Reopened | Reason::Resolved | Reason::Unwatched
        )
}

/// Full jitter: anything between nothing and `min · 2^(tries − 1)`, at most `max`; `random` in 0..1.
pub(super) fn backoff(min: Duration, max: Duration, tries: u32, random: f64) -> Duration {
    let doubled = min.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    doubled.min(max).mul_f64(random.clamp(0.0, 1.0))
}
