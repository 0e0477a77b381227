//! The accounts at the end: what was due, what the store says, and what the channels have.

use std::collections::{BTreeMap, BTreeSet};

use edgewatch::domain::incident::{Happening, State};
use edgewatch::domain::notification::Reason;
use edgewatch::store::{Delivery, Progress, Shown};
use jiff::Timestamp;
use serde_json::Value;

use super::stage::Stage;
use crate::fakes::{Call, Fault, SlackMessage};

/// Compares everything with everything; what does not fit is noted.
pub(super) async fn make_up(stage: &mut Stage) {
    let mut incidents = Vec::new();
    for incident in stage.world.store.incidents(None, 1_000).await.unwrap() {
        incidents.extend(stage.world.store.show(incident.number).await.unwrap());
    }
    let mut accounts = Accounts {
        stage,
        incidents,
        wrong: Vec::new(),
    };
    accounts.rows();
    accounts.episodes();
    accounts.slack();
    accounts.instead();
    accounts.teams(Teams::Support);
    accounts.teams(Teams::Backup);
    let wrong = accounts.wrong;
    stage.wrong.extend(wrong);
}

struct Accounts<'a> {
    stage: &'a Stage,
    incidents: Vec<Shown>,
    wrong: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teams {
    Support,
    /// Hears only what engineers could not be told.
    Backup,
}

/// A message that Slack took.
struct Post {
    /// Its place among the calls.
    at: usize,
    delivery: String,
    part: String,
    incident: String,
    text: String,
    broadcast: bool,
    /// Whether the answer said so.
    good: bool,
}

/// A card that Teams took: its place among the calls, the call, and what it says of whom.
type Card<'a> = (usize, &'a Call, Vec<(u64, Word)>);

/// What a card says of one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Problem,
    Still,
    Fixed,
}

fn is_episode(reason: Reason) -> bool {
    matches!(reason, Reason::Opened | Reason::Reopened | Reason::Resolved)
}

/// An end and a return of which neither is told, because it came back before its end was.
fn came_back(row: &Delivery) -> bool {
    let why = row.reference.as_deref().unwrap_or_default();
    row.progress == Progress::Overtaken
        && why.starts_with("came back")
        && matches!(row.notification.reason, Reason::Reopened | Reason::Resolved)
}

fn begins(reason: Reason) -> bool {
    matches!(reason, Reason::Opened | Reason::Reopened)
}

/// Answered as if nothing were wrong.
fn is_good(call: &Call) -> bool {
    let fault = call.fault.unwrap_or(Fault::None);
    // Teams says nothing in its answer, so that half of it is as good.
    let whole = call.method == "webhook" && matches!(fault, Fault::TakenThenCut);
    call.taken && (whole || matches!(fault, Fault::None | Fault::TakenStrangely))
}

/// Slack's way to say that somebody must mend something.
fn is_set_up(call: &Call) -> bool {
    matches!(
        call.fault,
        Some(
            Fault::Redirect
                | Fault::Status(404)
                | Fault::Refused("is_archived" | "invalid_auth" | "missing_scope")
        )
    )
}

fn refuses_layout(call: &Call) -> bool {
    matches!(
        call.fault,
        Some(Fault::Refused("invalid_blocks" | "msg_too_long") | Fault::Status(413))
    )
}

fn posts(calls: &[Call]) -> Vec<Post> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let taken = calls.iter().enumerate().filter(|(_, call)| call.taken);
    taken
        .filter(|(_, call)| call.method == "chat.postMessage")
        .map(|(at, call)| {
            let payload = &call.body["metadata"]["event_payload"];
            Post {
                at,
                delivery: text(&payload["delivery_id"]),
                part: text(&payload["part"]),
                incident: text(&payload["incident"]),
                text: text(&call.body["text"]),
                broadcast: call.body["reply_broadcast"] == true,
                good: is_good(call),
            }
        })
        .collect()
}

/// Of which incidents a card tells what; nothing for a notice.
fn told(card: &Value) -> Vec<(u64, Word)> {
    let number = |text: &str| -> Option<u64> {
        let (_, rest) = text.rsplit_once("(INC-")?;
        rest.split(')').next()?.parse().ok()
    };
    let summary = card["summary"].as_str().unwrap_or_default();
    if let Some(number) = number(summary) {
        let (state, _) = summary.split_once(':').unwrap_or_default();
        let word = match state {
            "PROBLEM" => Word::Problem,
            "STILL A PROBLEM" => Word::Still,
            "FIXED" => Word::Fixed,
            other => panic!("a card of another kind: {other}"),
        };
        return vec![(number, word)];
    }
    let body = card["attachments"][0]["content"]["body"].as_array();
    let lines = body
        .into_iter()
        .flatten()
        .filter_map(|b| b["text"].as_str());
    lines
        .filter_map(|line| {
            let over = line.contains("again, from ");
            let word = if over { Word::Fixed } else { Word::Problem };
            Some((number(line)?, word))
        })
        .collect()
}

impl Accounts<'_> {
    fn wrong(&mut self, incident: u64, what: &str) {
        let shown = self
            .incidents
            .iter()
            .find(|s| s.incident.number == incident);
        let rows = shown.into_iter().flat_map(|s| &s.deliveries);
        let rows: Vec<String> = rows
            .map(|row| {
                let lane = if row.lane.is_empty() { "" } else { " instead" };
                let diverted = if row.diverted { " diverted" } else { "" };
                format!(
                    "{} {}{lane} {} {}×{diverted}",
                    row.notification.receiver,
                    row.notification.reason.as_str(),
                    row.progress.as_str(),
                    row.attempts
                )
            })
            .collect();
        self.wrong
            .push(format!("INC-{incident}: {what}; {}", rows.join(", ")));
    }

    /// Rows of one receiver, in their order; `lane` is the one it stands in for.
    fn of<'s>(shown: &'s Shown, receiver: &str, lane: &str) -> Vec<&'s Delivery> {
        let rows = shown.deliveries.iter();
        rows.filter(|row| row.notification.receiver.as_str() == receiver && row.lane == lane)
            .collect()
    }

    /// How each row ended, and that a faulty end has its reason in what was drawn.
    fn rows(&mut self) {
        let mut found = Vec::new();
        for shown in &self.incidents {
            let number = shown.incident.number;
            for row in &shown.deliveries {
                let reason = row.notification.reason;
                let what = match row.progress {
                    Progress::Accepted => continue,
                    Progress::Overtaken if !is_episode(reason) || came_back(row) => continue,
                    Progress::Dead if self.may_die(row, &shown.deliveries) => continue,
                    progress => format!("{reason:?} is {} in the end", progress.as_str()),
                };
                found.push((number, format!("{what}: {:?}", row.error)));
            }
        }
        for (number, what) in found {
            self.wrong(number, &what);
        }
    }

    /// A layout that was refused twice, a receiver that was taken out, or many tries that nobody could look up.
    fn may_die(&self, row: &Delivery, all: &[Delivery]) -> bool {
        // It was told by the message of another row, and given up with it.
        let went_with_another = |row: &Delivery| {
            let same = |other: &Delivery| {
                other.notification.receiver == row.notification.receiver && other.lane == row.lane
            };
            all.iter()
                .any(|other| same(other) && other.plain && other.progress == Progress::Dead)
        };
        let class = row.error_class.as_deref().unwrap_or_default();
        let fake = match row.notification.receiver.as_str() {
            "engineers" => 0,
            "support" => 1,
            _ => 2,
        };
        let calls = self.stage.fakes()[fake].heard();
        let some = |is: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
        match class {
            "payload" => some(&refuses_layout) >= 2 && (row.plain || went_with_another(row)),
            "removed" => row.notification.receiver.as_str() == "support",
            _ => false,
        }
    }

    /// Who was told of a beginning is told of its end, and nobody else; who ought to know was told.
    fn episodes(&mut self) {
        let mut found = Vec::new();
        for shown in &self.incidents {
            let number = shown.incident.number;
            if shown.incident.state == State::Open {
                found.push((number, "open in the store".to_owned()));
            }
            for receiver in ["engineers", "support"] {
                if receiver == "support" && self.stage.facts.unheard.contains(&number) {
                    continue;
                }
                let rows = Self::of(shown, receiver, "");
                for (episode, (from, until)) in (0..).zip(episodes(shown)) {
                    let within = |row: &&&Delivery| {
                        let at = row.notification.created_at;
                        from <= at && until.is_none_or(|until| at <= until)
                    };
                    let here: Vec<Reason> = rows
                        .iter()
                        .filter(within)
                        .map(|r| r.notification.reason)
                        .collect();
                    let count =
                        |wanted: fn(Reason) -> bool| here.iter().filter(|r| wanted(**r)).count();
                    let due = self.stage.facts.due.contains(&(number, episode, receiver));
                    let expected = usize::from(due);
                    let ends = count(|reason| reason == Reason::Resolved);
                    if (count(begins), ends) != (expected, expected) {
                        let due = if due { "is due" } else { "is muted or young" };
                        found.push((
                            number,
                            format!("episode {episode} {due} for {receiver}: {here:?}"),
                        ));
                    }
                }
            }
        }
        for (number, what) in found {
            self.wrong(number, &what);
        }
    }

    fn slack(&mut self) {
        let calls = self.stage.slack.heard();
        let posts = posts(&calls);
        let messages = self.stage.slack.messages();
        // Where we may not look, a message may come twice.
        let blind = calls
            .iter()
            .any(|call| call.method.starts_with("conversations.") && is_set_up(call));
        let known: BTreeSet<String> = self
            .incidents
            .iter()
            .flat_map(|shown| Self::of(shown, "engineers", ""))
            .map(|row| row.notification.delivery.to_string())
            .collect();
        let mut copies: BTreeMap<(&str, &str), Vec<&Post>> = BTreeMap::new();
        for post in &posts {
            copies
                .entry((&post.delivery, &post.part))
                .or_default()
                .push(post);
            if post.part != "summary" && !known.contains(&post.delivery) {
                let text = format!("a message in Slack that no row tells of: {}", post.text);
                self.wrong.push(text);
            }
        }
        for ((_, part), copies) in &copies {
            let unclear = copies.iter().filter(|post| !post.good).count();
            let crashes = self.stage.crashes.len();
            let most = if blind { 1 + unclear + crashes } else { 1 };
            if copies.len() > most {
                let text = format!(
                    "{} times in Slack, a {part}: {}",
                    copies.len(),
                    copies[0].text
                );
                self.wrong.push(text);
            }
        }
        let given_up = self.incidents.iter().any(|shown| {
            let rows = Self::of(shown, "engineers", "");
            rows.last()
                .is_some_and(|row| row.progress == Progress::Dead)
        });
        let summaries = messages.iter().filter(|m| part_of(m) == "summary");
        let texts: Vec<&str> = summaries
            .map(|m| m.body["text"].as_str().unwrap_or_default())
            .collect();
        let (over, open): (Vec<&str>, Vec<&str>) = texts
            .into_iter()
            .partition(|text| text.contains("all fixed"));
        // Of two copies only one is known, and kept up to date.
        let copied = blind && !over.is_empty();
        for text in open {
            if !given_up && !copied {
                let numbers: Vec<u64> = self.incidents.iter().map(|s| s.incident.number).collect();
                for number in numbers {
                    self.wrong(number, &format!("a summary in its last state: {text}"));
                }
            }
        }
        let mut found = Vec::new();
        for shown in &self.incidents {
            let mut complain = |what: String| found.push((shown.incident.number, what));
            slack_incident(shown, &posts, &messages, blind, &mut complain);
        }
        for (number, what) in found {
            self.wrong(number, &what);
        }
    }

    /// The fallback hears what the channel could not be told, and then the end of it, whoever else knows.
    fn instead(&mut self) {
        let calls = self.stage.slack.heard();
        let trouble = calls
            .iter()
            .any(|call| is_set_up(call) || refuses_layout(call));
        let mut refused: BTreeSet<String> = BTreeSet::new();
        for (at, call) in calls.iter().enumerate() {
            // What a crash cut off was perhaps not marked, and is tried again.
            let cut_off = self.stage.crashes.iter().any(|counts| counts[0] == at + 1);
            let id = call.body["metadata"]["event_payload"]["delivery_id"].as_str();
            if is_set_up(call) && !cut_off {
                refused.extend(id.map(ToOwned::to_owned));
            }
        }
        let mut found = Vec::new();
        for shown in &self.incidents {
            let mut complain = |what: String| found.push((shown.incident.number, what));
            let instead = Self::of(shown, "backup", "engineers");
            for row in Self::of(shown, "engineers", "") {
                let note = &row.notification;
                let (reason, id) = (note.reason, note.delivery.to_string());
                if is_episode(reason) && refused.contains(&id) && !row.diverted {
                    complain(format!("the fallback was not told of {reason:?}"));
                }
                let same = |other: &&&Delivery| other.notification.sequence == note.sequence;
                if row.diverted && instead.iter().find(same).is_none() {
                    complain(format!("{reason:?} is marked as diverted, and was not"));
                }
                if row.progress == Progress::Dead && is_episode(reason) && !row.diverted {
                    complain(format!(
                        "{reason:?} was given up, and the fallback was not told"
                    ));
                }
            }
            if !trouble && !instead.is_empty() {
                complain("the fallback was told although nothing was wrong".to_owned());
            }
            let last = instead.iter().rfind(|row| row.progress != Progress::Dead);
            if last.is_some_and(|row| row.notification.reason != Reason::Resolved) {
                complain("the fallback was not told of the end".to_owned());
            }
        }
        for (number, what) in found {
            self.wrong(number, &what);
        }
    }

    /// At least once, and more often only where an answer did not come.
    fn teams(&mut self, which: Teams) {
        let (fake, receiver, lane) = match which {
            Teams::Support => (1, "support", ""),
            Teams::Backup => (2, "backup", "engineers"),
        };
        let calls = self.stage.fakes()[fake].heard();
        let crashed: Vec<usize> = self
            .stage
            .crashes
            .iter()
            .map(|counts| counts[fake])
            .collect();
        let cards: Vec<Card<'_>> = calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.taken)
            .map(|(at, call)| (at, call, told(&call.body)))
            .collect();
        let mut found = Vec::new();
        for (_, _, told) in &cards {
            for (number, word) in told {
                let shown = self.incidents.iter().find(|s| s.incident.number == *number);
                if shown.is_none_or(|shown| Self::of(shown, receiver, lane).is_empty()) {
                    found.push((
                        *number,
                        format!("{receiver} has a card {word:?} that no row tells of"),
                    ));
                }
            }
        }
        for shown in &self.incidents {
            let number = shown.incident.number;
            let rows = Self::of(shown, receiver, lane);
            let removed = rows.iter().any(|row| row.progress == Progress::Dead);
            let mut complain = |what: String| found.push((number, format!("{receiver}: {what}")));
            let mut words = Vec::new();
            let mut good: BTreeMap<Word, usize> = BTreeMap::new();
            let mut spare: BTreeMap<Word, usize> = BTreeMap::new();
            for (at, call, told) in &cards {
                for (_, word) in told.iter().filter(|(n, _)| *n == number) {
                    words.push(*word);
                    if is_good(call) {
                        *good.entry(*word).or_default() += 1;
                        if crashed.contains(&(at + 1)) {
                            *spare.entry(*word).or_default() += 1;
                        }
                    }
                }
            }
            for (word, fits) in [
                (Word::Problem, begins as fn(Reason) -> bool),
                (Word::Still, |reason| {
                    matches!(reason, Reason::Changed | Reason::Reminder)
                }),
                (Word::Fixed, |reason| reason == Reason::Resolved),
            ] {
                let due = |row: &&&Delivery| {
                    row.progress == Progress::Accepted && fits(row.notification.reason)
                };
                let due = rows.iter().filter(due).count();
                let got = good.get(&word).copied().unwrap_or_default();
                let most = due + spare.get(&word).copied().unwrap_or_default();
                let least = if word == Word::Fixed { due } else { 0 };
                if !(least..=most).contains(&got) {
                    complain(format!("{got} cards {word:?} for {due} rows: {words:?}"));
                }
            }
            if rows.iter().any(|row| row.progress == Progress::Accepted) && words.is_empty() {
                complain("no card at all".to_owned());
            }
            words.dedup();
            let odd = words.first() == Some(&Word::Still)
                || words.windows(2).any(|pair| {
                    matches!(
                        pair,
                        [Word::Fixed, Word::Still] | [Word::Still, Word::Problem]
                    )
                });
            let unheard = which == Teams::Support && self.stage.facts.unheard.contains(&number);
            let ended = words.last().is_none_or(|last| *last == Word::Fixed);
            if !removed && !unheard && (odd || !ended) {
                complain(format!("in this order: {words:?}"));
            }
        }
        for (number, what) in found {
            self.wrong(number, &what);
        }
    }
}

/// From when to when an incident was open, each time.
fn episodes(shown: &Shown) -> Vec<(Timestamp, Option<Timestamp>)> {
    let mut episodes = Vec::new();
    for entry in &shown.timeline {
        match entry.what {
            Happening::Opened | Happening::Reopened => episodes.push((entry.at, None)),
            Happening::Resolved | Happening::Removed => {
                if let Some(last) = episodes.last_mut() {
                    last.1 = Some(entry.at);
                }
            }
            _ => {}
        }
    }
    episodes
}

fn part_of(message: &SlackMessage) -> &str {
    message.metadata["event_payload"]["part"]
        .as_str()
        .unwrap_or_default()
}

fn slack_incident(
    shown: &Shown,
    posts: &[Post],
    messages: &[SlackMessage],
    blind: bool,
    complain: &mut dyn FnMut(String),
) {
    let name = format!("INC-{}", shown.incident.number);
    let rows = Accounts::of(shown, "engineers", "");
    let ours: Vec<&Post> = posts.iter().filter(|post| post.incident == name).collect();
    if rows.is_empty() && !ours.is_empty() {
        complain("in Slack although nothing was due".to_owned());
    }
    // In the order of what they tell.
    let place = |post: &Post| {
        let row = rows
            .iter()
            .find(|row| row.notification.delivery.to_string() == post.delivery);
        row.map_or(0, |row| row.notification.sequence)
    };
    for pair in ours.windows(2) {
        if place(pair[0]) > place(pair[1]) {
            let texts = format!("{} / {}", pair[0].text, pair[1].text);
            complain(format!(
                "in the wrong order, calls {} and {}: {texts}",
                pair[0].at, pair[1].at
            ));
        }
    }
    // One place for all of it, in its last state.
    let payload = |message: &SlackMessage| message.metadata["event_payload"]["incident"] == *name;
    let own: Vec<&SlackMessage> = messages
        .iter()
        .filter(|m| m.thread_ts.is_none() && payload(m))
        .collect();
    let mut homes: BTreeSet<&str> = own.iter().map(|m| m.ts.as_str()).collect();
    homes.extend(
        messages
            .iter()
            .filter(|m| payload(m))
            .filter_map(|m| m.thread_ts.as_deref()),
    );
    let accepted = rows.iter().any(|row| row.progress == Progress::Accepted);
    if accepted && homes.is_empty() {
        complain("never told in Slack".to_owned());
    }
    if homes.len() > 1 && !blind {
        complain(format!("{} threads in Slack", homes.len()));
    }
    // An end that was refused twice is nowhere but in the fallback.
    let given_up = rows
        .last()
        .is_some_and(|row| row.progress == Progress::Dead);
    for parent in &own {
        let text = parent.body["text"].as_str().unwrap_or_default();
        let over = text.contains("FIXED") || text.contains("MONITOR PROBLEM OVER");
        if !over && !blind && !given_up {
            complain(format!("the message in its last state: {text}"));
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let (reason, id) = (
            row.notification.reason,
            row.notification.delivery.to_string(),
        );
        let mine: Vec<&&Post> = ours.iter().filter(|post| post.delivery == id).collect();
        let has = |part: &str| mine.iter().any(|post| post.part == part);
        if row.progress != Progress::Accepted {
            let told_unclearly = row.progress == Progress::Dead || reason == Reason::Reminder;
            if !mine.is_empty() && !told_unclearly {
                complain(format!(
                    "{reason:?} is in Slack and {} in the store",
                    row.progress.as_str()
                ));
            }
            continue;
        }
        // What was not through yet when it ended is told with the end.
        let next = rows[index + 1..]
            .iter()
            .find(|row| is_episode(row.notification.reason) && !came_back(row));
        let ended = next.is_some_and(|next| {
            let end = next.notification.delivery.to_string();
            next.notification.reason == Reason::Resolved
                && ours.iter().any(|post| post.delivery == end)
        });
        match reason {
            Reason::Opened | Reason::Reopened if ended => {}
            Reason::Opened | Reason::Reopened if mine.is_empty() => {
                complain(format!("{reason:?} is accepted and not in Slack"));
            }
            Reason::Opened if !has("reply") => {
                complain("an opening without its evidence".to_owned());
            }
            Reason::Resolved if mine.is_empty() => {
                complain("the end is accepted and not in Slack".to_owned());
            }
            Reason::Resolved => {
                let words = |post: &&Post| {
                    post.text.contains("FIXED") || post.text.contains("MONITOR PROBLEM OVER")
                };
                if !mine.iter().any(|post| words(post)) {
                    complain(format!("the end says {:?}", mine[0].text));
                }
                let in_summary = own.is_empty();
                if !in_summary && !has("parent") && !mine.iter().any(|post| post.broadcast) {
                    complain("the end was not shown to the channel".to_owned());
                }
                if has("parent") && has("reply") && !blind {
                    complain("the end as a message and as a reply".to_owned());
                }
            }
            _ => {}
        }
    }
    // The same words under another id are the same message to those who read it.
    let mut texts: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for post in &ours {
        let row = rows
            .iter()
            .find(|row| row.notification.delivery.to_string() == post.delivery);
        if row.is_some_and(|row| is_episode(row.notification.reason)) {
            texts
                .entry((&post.part, &post.text))
                .or_default()
                .insert(&post.delivery);
        }
    }
    for ((part, text), ids) in texts {
        if ids.len() > 1 {
            complain(format!(
                "{} {part} messages say the same: {text}",
                ids.len()
            ));
        }
    }
}
