//! How long an answer asks us to stay away.

use std::time::Duration;

use jiff::Timestamp;

use super::signatures::page::Page;
use crate::lang::retry_after;

/// Longer waits than this are not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What `Retry-After` asks for, or a member of that name in a refusal; `at` is when the answer came.
pub(super) fn retry_after(page: &Page<'_>, at: Option<Timestamp>) -> Option<Duration> {
    let wait = match page.header("retry-after") {
        Some(asked) => retry_after::read(asked, page.header("date"), at)?,
        None if page.status() >= 400 => {
            let seconds = page.json()?.get("retry_after")?.as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()?
        }
        None => return None,
    };
    (!wait.is_zero() && wait <= RETRY_AFTER_MAX).then_some(wait)
}
