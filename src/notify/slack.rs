//! Tells Slack: one message for each incident, always edited to the present state, facts in its thread.
//!
//! Every post carries the delivery's id in its metadata. After an unclear outcome the id is looked for
//! before anything is posted again, so that an engineer reads each thing once; edits are harmless to repeat.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::{SlackApiChatPostMessageRequest, SlackApiChatUpdateRequest};
use slack_morphism::{
    SlackApiToken, SlackApiTokenValue, SlackChannelId, SlackClient, SlackMessageContent, SlackTs,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::error::{Class, SendError};
use super::phrases::Phrases;
use super::slack_connector::Connector;
use super::slack_errors::{classify, forbids_reading};
use super::slack_message::{self, EVENT_TYPE, Part};
use super::{Message, REQUEST_TIMEOUT, Summary, slack_summary};
use crate::domain::moment::elapsed;
use crate::domain::notification::{Reason, Templates};
use crate::domain::secret::Secret;

/// Slack's own API.
pub const API: &str = "https://slack.com/api";

/// How far before the first try a message is looked for: clocks differ.
const LOOK_BACK: Duration = Duration::from_secs(60);
/// Messages on one page of history; 15 to 999 are allowed: <https://docs.slack.dev/reference/methods/conversations.history> (2026-11-22).
const LOOK_PAGE: &str = "100";
/// Of a text that one person sees.
const WHISPER_MAX: usize = 600;
/// Of a name that Slack tells.
const NAME_MAX: usize = 100;
/// Pages looked through; a channel with more messages since the try is not ours alone.
const LOOK_PAGES: usize = 10;
/// As long as this after the first try the message can't be looked for, it waits; then it is posted as a possible repeat.
const LOOK_PATIENCE: Duration = Duration::from_secs(900);
/// A summary that was written is taken to stand as it is for so long.
const STANDS_FOR: Duration = Duration::from_secs(600);

/// The parent message of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Channel id as Slack answered it.
    pub channel: String,
    pub ts: String,
}

/// How far a delivery got; the parent is set as soon as it is there, also when the rest failed.
#[derive(Debug)]
pub struct Sent {
    pub parent: Option<Parent>,
    pub result: Result<(), SendError>,
}

/// One Slack channel.
#[derive(Debug)]
pub struct Slack {
    client: SlackClient<Connector>,
    token: Secret,
    channel: String,
    mention: Option<String>,
    /// Whether somebody hears buttons.
    buttons: bool,
    phrases: Phrases,
    /// Our own bot, asked for once; `None` when Slack does not say.
    bot: OnceCell<Option<String>>,
    /// The summary that was written last, and when: what stands there need not be written again.
    stands: Mutex<Option<Stands>>,
}

/// What a summary says, as far as this process knows.
#[derive(Debug)]
struct Stands {
    parent: Parent,
    content: SlackMessageContent,
    at: Timestamp,
}

#[derive(Deserialize)]
struct Posted {
    channel: String,
    ts: String,
}

/// What a search for an earlier try found.
enum Found {
    At(Parent),
    Nothing,
    /// We may not look (a scope is missing).
    Forbidden,
    /// Not found, but not everything could be looked through.
    Unknown,
}

/// What a look into the channel came to.
enum Looked {
    At(Parent),
    /// All of it was read, or more would have been there.
    Through {
        all: bool,
    },
}

/// The message at the top of a thread.
struct Top {
    delivery: Uuid,
    part: Part,
    incident: Option<u64>,
    look_since: Option<Timestamp>,
}

impl Slack {
    /// A sender to `channel`; `api` is [`API`] unless the operator has a relay.
    ///
    /// # Errors
    /// [`Class::Setup`] when no HTTP client can be made.
    pub fn new(
        api: &str,
        token: Secret,
        channel: &str,
        mention: Option<&str>,
    ) -> Result<Self, SendError> {
        Self::with_timeout(api, token, channel, mention, REQUEST_TIMEOUT)
    }

    /// As [`Slack::new`], with another time for a whole request.
    pub fn with_timeout(
        api: &str,
        token: Secret,
        channel: &str,
        mention: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, SendError> {
        Ok(Self {
            client: SlackClient::new(Connector::new(api, timeout)?),
            token,
            channel: channel.to_owned(),
            mention: mention.map(ToOwned::to_owned),
            buttons: false,
            phrases: Phrases::for_slack(&Templates::default()),
            bot: OnceCell::new(),
            stands: Mutex::new(None),
        })
    }

    /// Draws buttons on open incidents; only where a [`super::slack_socket::Socket`] hears them.
    #[must_use]
    pub fn with_buttons(mut self, buttons: bool) -> Self {
        self.buttons = buttons;
        self
    }

    /// Uses the operator's words where there are some.
    #[must_use]
    pub fn with_templates(mut self, templates: &Templates) -> Self {
        self.phrases = Phrases::for_slack(templates);
        self
    }

    /// Asks Slack whether the token is good and the channel can be read; posts nothing.
    ///
    /// Returns workspace and bot name, and what is missing that one can do without.
    pub async fn check(&self) -> Result<String, SendError> {
        let answer = self.get("auth.test", &[]).await?;
        let text = |key: &str| {
            let word = answer[key].as_str().unwrap_or("?");
            super::text::cut(&super::text::line(word), NAME_MAX)
        };
        let who = format!("{} as {}", text("team"), text("user"));
        let parameters = [("channel", self.channel.clone()), ("limit", "1".to_owned())];
        match self.get("conversations.history", &parameters).await {
            Ok(_) => Ok(who),
            Err(error) if error.text.ends_with("missing_scope") => Ok(format!(
                "{who}; without the scope channels:history (groups:history for a private channel) a message may come twice after trouble"
            )),
            Err(error) => Err(error),
        }
    }

    /// Says one line that belongs to no incident.
    pub async fn say(&self, delivery: Uuid, text: &str) -> Result<(), SendError> {
        let metadata = slack_message::metadata(delivery, Part::Notice, None);
        let content = SlackMessageContent::new()
            .with_text(slack_message::escape(text, WHISPER_MAX))
            .with_metadata(metadata);
        self.post(&request(&self.channel, content), true)
            .await
            .map(drop)
    }

    /// Tells one thing.
    ///
    /// `parent` is where messages of this incident hang, if they do. `look_since` is set when an earlier try
    /// may have arrived: its posts are then looked for from that time on.
    pub async fn tell(
        &self,
        message: &Message<'_>,
        parent: Option<Parent>,
        look_since: Option<Timestamp>,
    ) -> Sent {
        let mut sent = Sent {
            parent,
            result: Ok(()),
        };
        sent.result = self.try_tell(message, &mut sent.parent, look_since).await;
        sent
    }

    /// Tells one thing of an incident that shares `parent` with others; the details go into its thread.
    pub async fn tell_member(
        &self,
        message: &Message<'_>,
        summary: &Summary<'_>,
        parent: Option<Parent>,
        look_since: Option<Timestamp>,
    ) -> Sent {
        let mut sent = Sent {
            parent,
            result: Ok(()),
        };
        sent.result = self
            .try_tell_member(message, summary, &mut sent.parent, look_since)
            .await;
        sent
    }

    async fn try_tell(
        &self,
        message: &Message<'_>,
        parent: &mut Option<Parent>,
        look_since: Option<Timestamp>,
    ) -> Result<(), SendError> {
        let what = Top {
            delivery: message.delivery,
            part: Part::Parent,
            incident: Some(message.briefing.incident),
            look_since,
        };
        if message.reason == Reason::Muted {
            return self.redraw(message, parent.as_ref()).await;
        }
        let mention = self.mention(message);
        let edited = self
            .tell_top(&what, message, parent, |message, first| {
                let mention = mention.filter(|_| first);
                slack_message::parent(message, mention, self.buttons, &self.phrases)
            })
            .await?;
        // A message just posted says it all; only an opening has more to show.
        if !edited && message.reason != Reason::Opened {
            return Ok(());
        }
        let broadcast = message.reason.is_end() || message.reason == Reason::Reopened;
        self.reply(
            message,
            parent.as_ref(),
            look_since,
            broadcast,
            slack_message::reply,
        )
        .await
    }

    /// Brings the message to the present state; where there is none, nobody is told by posting one.
    async fn redraw(
        &self,
        message: &Message<'_>,
        parent: Option<&Parent>,
    ) -> Result<(), SendError> {
        let Some(parent) = parent else { return Ok(()) };
        let content = slack_message::parent(message, None, self.buttons, &self.phrases);
        match self.update(content, message.plain, parent).await {
            Err(error) if error.class == Class::Gone => Ok(()),
            result => result,
        }
    }

    async fn try_tell_member(
        &self,
        message: &Message<'_>,
        summary: &Summary<'_>,
        parent: &mut Option<Parent>,
        look_since: Option<Timestamp>,
    ) -> Result<(), SendError> {
        // The message of many does not say how each stands.
        if message.reason == Reason::Muted {
            return Ok(());
        }
        let what = Top {
            delivery: summary.delivery,
            part: Part::Summary,
            incident: None,
            look_since: summary.look_since,
        };
        let mention = self.mention(message);
        self.tell_top(&what, message, parent, |message, first| {
            let mention = mention.filter(|_| first);
            slack_summary::summary(message, summary, mention)
        })
        .await?;
        // One end after the other would be a second storm; the last one says that all is over.
        let over = !summary.more && summary.members.iter().all(|m| m.resolved_at.is_some());
        let broadcast =
            message.reason == Reason::Reopened || over && message.reason.is_end() && !message.whole;
        self.reply(message, parent.as_ref(), look_since, broadcast, |message| {
            slack_summary::reply(message, &self.phrases)
        })
        .await
    }

    /// Whom to call, when it is an opening.
    fn mention(&self, message: &Message<'_>) -> Option<&str> {
        let opening = message.reason == Reason::Opened;
        self.mention.as_deref().filter(|_| opening)
    }

    /// Posts what this delivery has to say in a thread, unless it is there.
    async fn reply(
        &self,
        message: &Message<'_>,
        parent: Option<&Parent>,
        look_since: Option<Timestamp>,
        broadcast: bool,
        content: impl FnOnce(&Message<'_>) -> SlackMessageContent,
    ) -> Result<(), SendError> {
        let Some(parent) = parent else { return Ok(()) };
        let found = self
            .look(
                message.delivery,
                Part::Reply,
                Some(parent),
                look_since,
                message.now,
            )
            .await?;
        if matches!(found, Found::At(_)) {
            return Ok(());
        }
        let forbidden = matches!(found, Found::Forbidden);
        let repeat = forbidden || matches!(found, Found::Unknown);
        let incident = Some(message.briefing.incident);
        let metadata = slack_message::metadata(message.delivery, Part::Reply, incident);
        let content = content(&repeated(message, repeat)).with_metadata(metadata);
        let request = request(&parent.channel, content)
            .with_thread_ts(SlackTs(parent.ts.clone()))
            .opt_reply_broadcast(broadcast.then_some(true));
        self.post(&request, forbidden).await.map(drop)
    }

    /// Brings the top message to the present state, posting it where there is none; `true` when it was there before.
    ///
    /// `content` makes it; its second argument is true when it is posted for the first time.
    async fn tell_top(
        &self,
        what: &Top,
        message: &Message<'_>,
        parent: &mut Option<Parent>,
        content: impl Fn(&Message<'_>, bool) -> SlackMessageContent,
    ) -> Result<bool, SendError> {
        if let Some(there) = parent.clone() {
            let written = content(message, false);
            if what.part == Part::Summary && self.stands(&there, &written, message.now) {
                return Ok(true);
            }
            match self.update(written.clone(), message.plain, &there).await {
                Ok(()) => {
                    if what.part == Part::Summary {
                        self.remember(there, written, message.now);
                    }
                    return Ok(true);
                }
                Err(error) if error.class == Class::Gone => *parent = None,
                Err(error) => return Err(error),
            }
        }
        let found = self
            .look(what.delivery, what.part, None, what.look_since, message.now)
            .await?;
        let forbidden = matches!(found, Found::Forbidden);
        let repeat = forbidden || matches!(found, Found::Unknown);
        if let Found::At(found) = found {
            *parent = Some(found.clone());
            // A summary may have been posted by another member's delivery, and tell less than is known now.
            if what.part == Part::Summary {
                self.update(content(message, false), message.plain, &found)
                    .await?;
            }
            return Ok(false);
        }
        let metadata = slack_message::metadata(what.delivery, what.part, what.incident);
        let first = content(&repeated(message, repeat), true).with_metadata(metadata);
        let posted = self.post(&request(&self.channel, first), forbidden).await?;
        let there = Parent {
            channel: posted.channel,
            ts: posted.ts,
        };
        if what.part == Part::Summary && !repeat {
            self.remember(there.clone(), content(message, false), message.now);
        }
        *parent = Some(there);
        Ok(false)
    }

    /// Whether a summary says this already; looked at again after a while, since somebody may have deleted it.
    fn stands(&self, parent: &Parent, content: &SlackMessageContent, now: Timestamp) -> bool {
        let known = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|known| {
            known.parent == *parent
                && known.content == *content
                && elapsed(known.at, now) < STANDS_FOR
        })
    }

    fn remember(&self, parent: Parent, content: SlackMessageContent, at: Timestamp) {
        let mut known = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Stands {
            parent,
            content,
            at,
        });
    }

    async fn update(
        &self,
        mut content: SlackMessageContent,
        plain: bool,
        parent: &Parent,
    ) -> Result<(), SendError> {
        if plain {
            // Left out, the old ones would stay.
            content = content.with_blocks(Vec::new()).with_attachments(Vec::new());
        }
        let request = SlackApiChatUpdateRequest::new(
            SlackChannelId(parent.channel.clone()),
            content,
            SlackTs(parent.ts.clone()),
        );
        let token = self.token();
        let session = self.client.open_session(&token);
        session
            .http_session_api
            .http_post::<_, Value>("chat.update", &request, None)
            .await
            .map(drop)
            .map_err(|e| classify(&e))
    }

    /// Posts; of the answer only what we need is read, as a strange rest must not make a sent message look failed.
    ///
    /// `blind`: we may not look for this post if its outcome is unclear.
    async fn post(
        &self,
        request: &SlackApiChatPostMessageRequest,
        blind: bool,
    ) -> Result<Posted, SendError> {
        let token = self.token();
        let session = self.client.open_session(&token);
        session
            .http_session_api
            .http_post("chat.postMessage", request, None)
            .await
            .map_err(|e| {
                let error = classify(&e);
                if blind { error.blind() } else { error }
            })
    }

    async fn get(
        &self,
        method: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<Value, SendError> {
        let answer = self.ask(method, parameters).await;
        answer.map_err(|e| classify(&e))
    }

    async fn ask(
        &self,
        method: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<Value, SlackClientError> {
        let token = self.token();
        let session = self.client.open_session(&token);
        let parameters: Vec<(&str, Option<&str>)> = parameters
            .iter()
            .map(|(name, value)| (*name, Some(value.as_str())))
            .collect();
        session
            .http_session_api
            .http_get(method, &parameters, None)
            .await
    }

    fn token(&self) -> SlackApiToken {
        SlackApiToken::new(SlackApiTokenValue(self.token.expose().to_owned()))
    }

    /// Looks for what an earlier try of this delivery posted, if there was one that may have arrived.
    async fn look(
        &self,
        delivery: Uuid,
        part: Part,
        parent: Option<&Parent>,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Found, SendError> {
        let Some(since) = since else {
            return Ok(Found::Nothing);
        };
        let twice = "can't look for an earlier try in Slack, so a message may come twice";
        let error = match self.find(delivery, part, parent, since).await {
            Ok(Looked::At(there)) => return Ok(Found::At(there)),
            Ok(Looked::Through { all: true }) => return Ok(Found::Nothing),
            Ok(Looked::Through { all: false }) => {
                tracing::warn!("{twice}: the channel has too many messages since then");
                return Ok(Found::Unknown);
            }
            Err(error) => error,
        };
        let forbidden = forbids_reading(&error);
        let error = classify(&error);
        if forbidden {
            tracing::warn!("{twice}: {error}");
            return Ok(Found::Forbidden);
        }
        let patient = since
            .checked_add(LOOK_PATIENCE)
            .is_ok_and(|until| now < until);
        if patient || matches!(error.class, Class::SlowDown(_) | Class::Transient) {
            return Err(error);
        }
        tracing::warn!("{twice}: {error}");
        Ok(Found::Unknown)
    }

    /// Looks from the time of the first try on, and, as Slack's clock may be behind ours, at what is newest.
    async fn find(
        &self,
        delivery: Uuid,
        part: Part,
        parent: Option<&Parent>,
        since: Timestamp,
    ) -> Result<Looked, SlackClientError> {
        let oldest = since.checked_sub(LOOK_BACK).unwrap_or(since).as_second();
        let oldest = ("oldest", format!("{oldest}.000000"));
        let looked = self
            .leaf_through(delivery, part, parent, Some(oldest), LOOK_PAGES)
            .await?;
        let Looked::Through { all } = looked else {
            return Ok(looked);
        };
        // A thread begins with what is oldest, a channel with what is newest.
        let pages = if parent.is_some() { LOOK_PAGES } else { 1 };
        match self
            .leaf_through(delivery, part, parent, None, pages)
            .await?
        {
            Looked::Through { .. } => Ok(Looked::Through { all }),
            found @ Looked::At(_) => Ok(found),
        }
    }

    async fn leaf_through(
        &self,
        delivery: Uuid,
        part: Part,
        parent: Option<&Parent>,
        oldest: Option<(&'static str, String)>,
        pages: usize,
    ) -> Result<Looked, SlackClientError> {
        let channel = parent.map_or(&self.channel, |p| &p.channel);
        let mut parameters = vec![
            ("channel", channel.clone()),
            ("limit", LOOK_PAGE.to_owned()),
            ("include_all_metadata", "true".to_owned()),
        ];
        parameters.extend(oldest);
        let method = if let Some(parent) = parent {
            parameters.push(("ts", parent.ts.clone()));
            "conversations.replies"
        } else {
            "conversations.history"
        };
        let bot = self.bot().await;
        for _ in 0..pages {
            let page = self.ask(method, &parameters).await?;
            let ours = page["messages"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|m| is_ours(m, delivery, part, bot.as_deref()));
            if let Some(ts) = ours.and_then(|m| m["ts"].as_str()) {
                return Ok(Looked::At(Parent {
                    channel: channel.clone(),
                    ts: ts.to_owned(),
                }));
            }
            match page["response_metadata"]["next_cursor"].as_str() {
                Some(cursor) if !cursor.is_empty() => {
                    parameters.retain(|(name, _)| *name != "cursor");
                    parameters.push(("cursor", cursor.to_owned()));
                }
                _ => return Ok(Looked::Through { all: true }),
            }
        }
        Ok(Looked::Through { all: false })
    }

    /// Tells one person in the channel something that the others do not see.
    pub async fn whisper(
        &self,
        user: &str,
        thread_ts: Option<&str>,
        text: &str,
    ) -> Result<(), SendError> {
        let mut body = serde_json::json!({
            "channel": self.channel,
            "user": user,
            "text": slack_message::escape(text, WHISPER_MAX),
        });
        if let Some(thread) = thread_ts {
            body["thread_ts"] = thread.into();
        }
        let token = self.token();
        let session = self.client.open_session(&token);
        session
            .http_session_api
            .http_post::<_, Value>("chat.postEphemeral", &body, None)
            .await
            .map(drop)
            .map_err(|e| classify(&e))
    }

    /// The people of a user group; needs the scope `usergroups:read`.
    pub async fn user_group(&self, group: &str) -> Result<Vec<String>, SendError> {
        let answer = self
            .get("usergroups.users.list", &[("usergroup", group.to_owned())])
            .await?;
        let users = answer["users"].as_array().into_iter().flatten();
        Ok(users
            .filter_map(|user| user.as_str().map(ToOwned::to_owned))
            .collect())
    }

    /// Our own bot id; without it, the delivery's id alone is trusted.
    async fn bot(&self) -> Option<String> {
        self.bot
            .get_or_try_init(|| async {
                let answer = self.get("auth.test", &[]).await?;
                Ok::<_, SendError>(answer["bot_id"].as_str().map(ToOwned::to_owned))
            })
            .await
            .cloned()
            .unwrap_or_default()
    }
}

fn request(channel: &str, content: SlackMessageContent) -> SlackApiChatPostMessageRequest {
    SlackApiChatPostMessageRequest::new(SlackChannelId(channel.to_owned()), content)
        .with_unfurl_links(false)
        .with_unfurl_media(false)
}

/// The message as it says of itself that it may be a repeat.
fn repeated<'a>(message: &Message<'a>, repeat: bool) -> Message<'a> {
    Message {
        repeat: message.repeat || repeat,
        ..message.clone()
    }
}

fn is_ours(found: &Value, delivery: Uuid, part: Part, bot: Option<&str>) -> bool {
    let metadata = &found["metadata"];
    let payload = &metadata["event_payload"];
    let by_us = match (bot, found["bot_id"].as_str()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    };
    by_us
        && metadata["event_type"] == EVENT_TYPE
        && payload["delivery_id"] == delivery.to_string()
        && payload["part"] == part.as_str()
}
