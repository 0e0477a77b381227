//! Tells any HTTP endpoint, signed after the Standard Webhooks convention.
//!
//! Each request is a `POST` of JSON (`webhook_event`) with three headers:
//! `webhook-id`, the delivery's id, the same however often it is tried, so the key to recognise a repeat;
//! `webhook-timestamp`, seconds since 1970 of this try, so that an old one can't be played again;
//! `webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, 2026-11-22).
//!
//! 2xx is done. 410 ends it: nothing more is tried, the fallback is told. 429 and 503 slow down; 401, 403,
//! 404 and a redirect are matters of set-up; any other 4xx is about what we sent, which then goes once more
//! with the least there is (`"reduced": true`). Everything else is tried again under the same id.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use uuid::Uuid;

use super::error::{Class, SendError};
use super::http::{self, Again, Answer, Peer};
use super::{Message, Trouble, webhook_event};
use crate::domain::secret::Secret;

pub use super::webhook_event::payload;

const PEER: Peer = Peer {
    name: "the webhook",
    again: Again::Recognised,
};

/// One endpoint.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    /// The whole URL is the secret.
    url: Secret,
    key: hmac::Key,
}

impl Webhook {
    /// A sender to `url`; `key` is base64, perhaps behind `whsec_`.
    ///
    /// # Errors
    /// [`Class::Setup`] when the key can't be read, or no HTTP client can be made.
    pub fn new(
        url: Secret,
        key: &Secret,
        roots: &[String],
        timeout: Duration,
    ) -> Result<Self, SendError> {
        let key = key
            .signing_key()
            .ok_or_else(|| SendError::new(Class::Setup, "the key of the webhook can't be read"))?;
        Ok(Self {
            client: http::client(timeout, roots)?,
            url,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    /// Tells one thing.
    pub async fn tell(&self, message: &Message<'_>) -> Result<(), SendError> {
        let body = payload(message).to_string();
        self.post(message.delivery, message.now, body).await
    }

    /// Tells of another channel.
    pub async fn trouble(&self, trouble: &Trouble<'_>) -> Result<(), SendError> {
        let body = webhook_event::of_channel(trouble).to_string();
        self.post(trouble.id(), trouble.now, body).await
    }

    async fn post(&self, id: Uuid, now: Timestamp, body: String) -> Result<(), SendError> {
        let seconds = now.as_second();
        let request = self
            .client
            .post(self.url.expose())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .header(
                reqwest::header::USER_AGENT,
                concat!("edgewatch/", env!("CARGO_PKG_VERSION")),
            )
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", self.sign(id, now, &body))
            .body(body);
        classify(&PEER.send(request).await?)
    }

    fn sign(&self, id: Uuid, now: Timestamp, body: &str) -> String {
        let signed = format!("{id}.{}.{body}", now.as_second());
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

fn classify(answer: &Answer) -> Result<(), SendError> {
    match answer.status {
        200..=299 if answer.is_page() => Err(PEER.page()),
        410 => Err(SendError::new(
            Class::Closed,
            "the webhook is gone for good (HTTP 410)",
        )),
        503 => Err(SendError::new(
            Class::SlowDown(answer.retry_after),
            "the webhook answered HTTP 503",
        )),
        status => PEER.judge(status, answer.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the convention's own libraries
    /// (<https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries>, 2026-11-22) with a UUID for
    /// its id, calculated with `openssl dgst -mac hmac`.
    #[test]
    fn signs_as_others_verify() {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let url = Secret::new("http://127.0.0.1/");
        let webhook = Webhook::new(url, &key, &[], Duration::from_secs(1)).unwrap();
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        assert_eq!(
            webhook.sign(id, now, "{\"test\": 2432232314}"),
            "v1,XrCqJwpigJfo9G8t+9edOOTEXKlZHE05NiiIil5Rgwk="
        );
    }
}
