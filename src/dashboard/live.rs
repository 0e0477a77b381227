//! The stream that keeps an open page fresh: it says that something changed, never what.
//!
//! The page then asks for itself again, so there is one way in which facts reach a person.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::present::Seq;
use super::{BUILD, Pages, gate};
use crate::clock;

/// A stream ends by itself after this, and the page opens another.
const STREAM_MAX: Duration = Duration::from_secs(10 * 60);
/// Between two events of one stream.
const GAP: Duration = Duration::from_secs(1);
/// Between two signs of life of a stream with nothing to say.
const SIGN: Duration = Duration::from_secs(15);

/// What a page wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Board,
    Incidents,
}

impl Topic {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Incidents => "incidents",
        }
    }

    /// What of it a page has.
    pub(super) fn of(self, seq: Seq) -> u64 {
        match self {
            Self::Board => seq.board + seq.incidents,
            Self::Incidents => seq.incidents,
        }
    }
}

struct Stream {
    topic: Topic,
    /// What the page has.
    told: u64,
    seqs: watch::Receiver<Seq>,
    stopping: watch::Receiver<bool>,
    next: Next,
    ends: Instant,
    _permit: OwnedSemaphorePermit,
}

enum Next {
    Hello,
    Changed { not_before: Instant },
    Nothing,
}

pub(super) async fn live(State(pages): State<Pages>, headers: HeaderMap, uri: Uri) -> Response {
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site == "cross-site") {
        return gate::text(StatusCode::FORBIDDEN, "for pages of edgewatch only\n");
    }
    let (Some(seqs), Some(permit)) = (pages.changes(), pages.stream()) else {
        let why = "no stream is free; ask again later\n";
        let mut answer = gate::text(StatusCode::SERVICE_UNAVAILABLE, why);
        let later = HeaderValue::from_static("30");
        answer.headers_mut().insert(RETRY_AFTER, later);
        return answer;
    };
    let topic = match uri.query() {
        Some("for=incidents") => Topic::Incidents,
        _ => Topic::Board,
    };
    let stream = Stream {
        topic,
        told: 0,
        seqs,
        stopping: pages.stops(),
        next: Next::Hello,
        ends: Instant::now() + STREAM_MAX,
        _permit: permit,
    };
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.event(clock::now()).await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    // A comment would be sign enough for proxies; pages hear only events.
    let signs = KeepAlive::new().interval(SIGN);
    let signs = signs.event(Event::default().event("sign").data("{}"));
    let mut answer = Sse::new(events).keep_alive(signs).into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds answers back otherwise: <https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering>.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    answer
}

impl Stream {
    /// The next event; `None` at the end.
    async fn event(&mut self, now: Timestamp) -> Option<Event> {
        let not_before = match self.next {
            Next::Hello => {
                self.told();
                let hello = json!({ "at": now, "build": *BUILD, "seq": self.told });
                let retry = Duration::from_secs(2);
                return Some(event("hello", &hello).retry(retry));
            }
            Next::Changed { not_before } => not_before,
            Next::Nothing => return None,
        };
        let (topic, told) = (self.topic, self.told);
        let changed = async {
            tokio::time::sleep_until(not_before).await;
            // What came while it waited is no less a change.
            let changed = self.seqs.wait_for(|seq| topic.of(*seq) != told).await;
            changed.is_ok()
        };
        let stopped = async {
            let _ = self.stopping.wait_for(|stopping| *stopping).await;
        };
        let stops = tokio::select! {
            () = stopped => true,
            () = tokio::time::sleep_until(self.ends) => return None,
            changed = changed => {
                if !changed {
                    return None;
                }
                false
            }
        };
        if stops {
            self.next = Next::Nothing;
            return Some(event("bye", &json!({ "why": "stopping" })));
        }
        self.told();
        Some(event("changed", &json!({ "seq": self.told })))
    }

    fn told(&mut self) {
        self.told = self.topic.of(*self.seqs.borrow());
        self.next = Next::Changed {
            not_before: Instant::now() + GAP,
        };
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
