//! Times, lengths and clean text: the small words all receivers share.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Message;
use crate::domain::incident::Muted;
use crate::domain::notification::{Briefing, Reason};
use crate::domain::ordinal::ordinal;
use crate::domain::shown::{is_hidden, is_unsafe};
use crate::domain::verdict::Kind;

/// Of those who mute an incident; the foot of a message in Slack holds 250 characters.
const MUTED_BY_MAX: usize = 90;
/// Silences that are named with the command that ends them.
const SILENCES_NAMED: usize = 2;

/// `text` on one line, without characters that move the cursor, turn the direction or hide.
pub(super) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() {
            gap = true;
        } else if !is_hidden(character) {
            if gap && !clean.is_empty() {
                clean.push(' ');
            }
            gap = false;
            clean.push(character);
        }
    }
    clean
}

/// `text` with its line breaks, otherwise as [`line`].
pub(super) fn lines(text: &str) -> String {
    let cleaned: Vec<String> = text
        .lines()
        .map(|l| lines_kept(l).trim_end().to_owned())
        .collect();
    cleaned.join("\n").trim_end().to_owned()
}

/// `text` with its line breaks and spaces, without characters that hide or move.
pub(super) fn lines_kept(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| *c == '\n' || !is_unsafe(*c))
        .collect()
}

/// `text` in at most `max` UTF-16 units as `cost` counts them; says how much is missing.
pub(super) fn cut_by(text: &str, max: usize, cost: impl Fn(char) -> usize) -> String {
    let total: usize = text.chars().map(&cost).sum();
    if total <= max {
        return text.to_owned();
    }
    let all = text.chars().count();
    let room = max.saturating_sub(cut_mark(all).encode_utf16().count());
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += cost(*c);
            used <= room
        })
        .collect();
    let missing = all - kept.chars().count();
    format!("{kept}{}", cut_mark(missing))
}

/// `text` in at most `max` UTF-16 units.
pub(super) fn cut(text: &str, max: usize) -> String {
    cut_by(text, max, char::len_utf16)
}

pub(super) fn cut_mark(missing: usize) -> String {
    format!("… cut, {missing} characters more")
}

/// Up to three by name, more by their number: one name would stand for all of them.
pub(super) fn listed(names: &[String], what: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [one, other, third] => format!("{one}, {other} and {third}"),
        _ => format!("{} {what}", names.len()),
    }
}

/// `45 s`, `52 min`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn duration(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (hours, days) = (minutes / 60, minutes / (24 * 60));
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", duration.as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) if minutes.is_multiple_of(60) => format!("{hours} h"),
        (0, hours, _) => format!("{hours} h {} min", minutes % 60),
        (days, _, _) if hours.is_multiple_of(24) => format!("{days} d"),
        (days, _, _) => format!("{days} d {} h", hours % 24),
    }
}

/// From `from` to `to`; nothing when it would be negative.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A place's time for people: the zone of the briefing, UTC when its name is not known here.
pub(super) struct Clock {
    zone: TimeZone,
    /// `London time`.
    pub(super) place: String,
    now: Timestamp,
}

impl Clock {
    pub(super) fn new(message: &Message<'_>) -> Self {
        let (zone, place) = zone_of(&message.briefing.zone);
        Self {
            zone,
            place,
            now: message.now,
        }
    }

    /// `14:05`, with the date when that is not today's.
    pub(super) fn time(&self, at: Timestamp) -> String {
        time_in(&self.zone, at, self.now)
    }

    /// [`Clock::time`] and the zone's short name (`14:05 GMT`).
    pub(super) fn time_and_zone(&self, at: Timestamp) -> String {
        format!(
            "{} {}",
            self.time(at),
            at.to_zoned(self.zone.clone()).strftime("%Z")
        )
    }
}

/// The zone of this IANA name and its name for people (`London time`); UTC when it is not known here.
pub(super) fn zone_of(name: &str) -> (TimeZone, String) {
    match TimeZone::get(name) {
        Ok(zone) if name != "UTC" => {
            let city = name.rsplit('/').next().unwrap_or(name).replace('_', " ");
            (zone, format!("{city} time"))
        }
        _ => (TimeZone::UTC, "UTC".to_owned()),
    }
}

/// `14:05`, with the date when that is not the day of `now`.
pub(super) fn time_in(zone: &TimeZone, at: Timestamp, now: Timestamp) -> String {
    let (then, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let pattern = if then.date() == now.date() {
        "%H:%M"
    } else if then.year() == now.year() {
        "%a %-d %b %H:%M"
    } else {
        "%a %-d %b %Y %H:%M"
    };
    then.strftime(pattern).to_string()
}

/// How the incident stands, word first: `DOWN`, `STILL DOWN 45 min`, `FIXED after 52 min`.
pub(super) fn state(message: &Message<'_>) -> String {
    let briefing = message.briefing;
    let (thing, word) = words(briefing.our_side, briefing.kind == Kind::Warning);
    if message.reason == Reason::Resolved {
        let end = over(message);
        let lasted = lasted(briefing, end);
        let whole = duration(between(briefing.onset_at, end));
        // The good time between is no trouble.
        return match briefing.reopened {
            0 => format!("{word} after {lasted}"),
            _ if lasted == whole => format!("{word} after {lasted}"),
            _ if briefing.comes_and_goes() => {
                format!("{word} after coming and going for {whole}, failing for {lasted} of it")
            }
            _ => format!("{word} after failing for {lasted} within {whole}"),
        };
    }
    if message.reason == Reason::Unwatched {
        return format!("NO LONGER WATCHED, last seen {}", briefing.kind.label());
    }
    if let Some(muted) = &briefing.muted {
        let word = if muted.silences.is_empty() {
            "MUTED"
        } else {
            "SILENCED"
        };
        let until = Clock::new(message).time_and_zone(muted.until);
        return format!("{word} until {until}");
    }
    match message.reason {
        Reason::Reopened if briefing.watched_again => {
            format!("WATCHED AGAIN, last seen {}", briefing.kind.label())
        }
        Reason::Reopened => {
            format!(
                "{thing} AGAIN ({} time)",
                ordinal(briefing.returns.max(briefing.reopened) + 1)
            )
        }
        Reason::Changed | Reason::Reminder | Reason::Muted => {
            let so_far = between(briefing.since(), message.happened_at);
            format!("STILL {thing} {}", duration(so_far))
        }
        Reason::Acknowledged => match &briefing.acknowledged {
            Some(by) => format!("ACKNOWLEDGED by {}", line(&by.by)),
            None => format!("{thing}, NO LONGER ACKNOWLEDGED"),
        },
        Reason::Notice => "NOTICE".to_owned(),
        Reason::Opened | Reason::Resolved | Reason::Unwatched => thing.to_owned(),
    }
}

/// What it is called while it stands, and when it is over.
pub(super) fn words(our_side: bool, warning: bool) -> (&'static str, &'static str) {
    match (our_side, warning) {
        (true, _) => ("MONITOR PROBLEM", "MONITOR PROBLEM OVER"),
        (_, true) => ("WARNING", "WARNING OVER"),
        _ => ("DOWN", "FIXED"),
    }
}

/// How long it failed: from a first failing run to the first that passed, each time that it came.
pub(super) fn lasted(briefing: &Briefing, end: Timestamp) -> String {
    duration(briefing.failing_for(end))
}

/// Until when what a message of an end is about failed.
pub(super) fn over(message: &Message<'_>) -> Timestamp {
    message.briefing.over_at().unwrap_or(message.happened_at)
}

/// `since 14:05 GMT`, `over since 15:10 GMT`.
pub(super) fn when(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    if message.reason == Reason::Resolved {
        let end = over(message);
        if message.whole {
            let was = match briefing.kind {
                Kind::Warning => "stood",
                _ => "was down",
            };
            format!(
                "{was} from {} to {}",
                clock.time(briefing.onset_at),
                clock.time_and_zone(end)
            )
        } else {
            format!("over since {}", clock.time_and_zone(end))
        }
    } else if message.reason == Reason::Unwatched {
        let end = briefing.resolved_at.unwrap_or(message.happened_at);
        format!(
            "since {}, not watched since {}",
            clock.time(briefing.onset_at),
            clock.time_and_zone(end)
        )
    } else if message.reason == Reason::Notice {
        format!("seen first at {}", clock.time_and_zone(briefing.onset_at))
    } else {
        let first = match briefing.back_since {
            Some(_) => format!(", first at {}", clock.time_and_zone(briefing.onset_at)),
            None => String::new(),
        };
        format!("since {}{first}", clock.time_and_zone(briefing.since()))
    }
}

/// `DOWN · GMC · <headline> · since 14:05 GMT`: the first line everywhere, and the push message.
pub(super) fn summary(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    let (service, headline) = (line(&briefing.service), line(&briefing.headline));
    let mut parts = vec![state(message)];
    // "GMC · GMC refuses …" says it twice, and our own side is no partner's.
    if !headline.starts_with(&service) && !briefing.our_side {
        parts.push(service);
    }
    parts.extend([headline, when(message, clock)]);
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// Whom engineers ring, and where they read on.
pub(super) fn contact(briefing: &Briefing) -> impl Iterator<Item = (&'static str, String)> {
    let contact = &briefing.words.contact;
    [
        ("Runbook", &contact.runbook),
        ("Ring", &contact.ring),
        ("More", &contact.link),
    ]
    .into_iter()
    .filter_map(|(title, text)| Some((title, line(text.as_ref()?))))
}

/// What must be said of the delivery itself: that it is late, that it stands in for another.
pub(super) fn remarks(message: &Message<'_>, clock: &Clock) -> Vec<String> {
    let mut remarks = Vec::new();
    let briefing = message.briefing;
    if briefing.is_open() {
        remarks.extend(
            briefing
                .during
                .iter()
                .map(|name| format!("During maintenance {}", line(name))),
        );
        remarks.extend(briefing.muted.as_ref().map(muted));
        if !briefing.held_back.is_empty() {
            let by: Vec<String> = briefing.held_back.iter().map(|by| line(by)).collect();
            remarks.push(format!("Told only now: muted by {}", by.join(", ")));
        }
    }
    if message.late {
        remarks.push(format!(
            "Delivered late, happened at {}",
            clock.time_and_zone(message.happened_at)
        ));
    }
    if message.repeat {
        remarks.push("May be a repeat".to_owned());
    }
    if let Some(note) = message.note {
        remarks.push(line(note));
    }
    remarks
}

/// Who mutes it and how one ends that: `Muted by silence 3 of ann; to end that: edgewatch silence end 3`.
fn muted(muted: &Muted) -> String {
    let by: Vec<String> = muted.by.iter().map(|by| line(by)).collect();
    let by = format!("Muted by {}", cut(&by.join(", "), MUTED_BY_MAX));
    let ends = muted.silences.iter().take(SILENCES_NAMED);
    let ends: Vec<String> = ends
        .map(|number| format!("`edgewatch silence end {number}`"))
        .collect();
    if ends.is_empty() {
        return by;
    }
    format!("{by}; to end that: {}", ends.join(", "))
}

/// Changes near the onset, for lines of their own.
pub(super) fn beside(briefing: &Briefing) -> impl Iterator<Item = String> {
    let changes = briefing.beside.iter().map(|change| line(change));
    changes.filter(|change| !change.trim().is_empty())
}

/// `Acknowledged by alice at 02:20 GMT`, when somebody did.
pub(super) fn acknowledged(briefing: &Briefing, clock: &Clock) -> Option<String> {
    let by = briefing.acknowledged.as_ref()?;
    let at = clock.time_and_zone(by.at);
    Some(format!("Acknowledged by {} at {at}", line(&by.by)))
}

/// `99 %`; never 100, as nothing is that sure.
pub(super) fn percent(confidence: f64) -> String {
    let percent = (confidence * 100.0).floor().clamp(0.0, 99.0);
    format!("{percent:.0} %")
}

/// How bad it is, in words that pagers share: `critical`, `error`, `warning`.
///
/// Nothing gets through any more; something is refused; we can't even tell because our own network fails.
pub(super) fn severity(briefing: &Briefing) -> &'static str {
    if briefing.our_side || briefing.kind == Kind::Warning {
        "warning"
    } else if briefing.cells.iter().all(|c| c.failing) {
        "critical"
    } else {
        "error"
    }
}

/// `INC-42`; a notice belongs to no incident.
pub(super) fn reference(briefing: &Briefing) -> String {
    if briefing.incident == 0 {
        return "no incident".to_owned();
    }
    format!("INC-{}", briefing.incident)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (52 * 60, "52 min"),
            (3600, "1 h"),
            (3600 * 2 + 300, "2 h 5 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d"),
            (86_400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
        ] {
            assert_eq!(
                duration(Duration::from_secs(seconds)),
                expected,
                "{seconds} s"
            );
        }
    }

    #[test]
    fn one_line_without_hidden_characters() {
        assert_eq!(line("  a\tb\r\n\u{202e}c\u{200b}d\u{7}  e "), "a b cd e");
        assert_eq!(lines("a\u{202e}b \nc\u{0}\td\n\n"), "ab\nc d");
    }

    #[test]
    fn cuts_say_what_is_missing() {
        assert_eq!(cut("abc", 3), "abc");
        let long = "é".repeat(100);
        let short = cut(&long, 40);
        assert_eq!(
            short,
            format!("{}… cut, 86 characters more", "é".repeat(14))
        );
        // A pair of UTF-16 units is never split.
        let short = cut(&"😀".repeat(100), 41);
        assert!(short.encode_utf16().count() <= 41, "{short}");
        assert!(short.starts_with("😀😀😀😀😀😀😀…"), "{short}");
    }
}
