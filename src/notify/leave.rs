//! Whether a request may leave now: of several hubs only the one that leads tells anything.
//!
//! A message can be several requests, and a process can be frozen between two of them, or while a connection is made. So it
//! is asked before each request, and once more by its body, just before that is written.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// What stands before each request.
#[derive(Clone)]
pub struct Guard {
    /// Waits until it is known; `false`: another hub tells it.
    pub wait: Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>,
    /// Whether this one still leads.
    pub still: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

tokio::task_local! {
    static GUARD: Guard;
}

/// Does the work; each request of it leaves only if the guard lets it.
pub async fn within<T>(guard: Option<Guard>, work: impl Future<Output = T>) -> T {
    match guard {
        Some(guard) => GUARD.scope(guard, work).await,
        None => work.await,
    }
}

/// Sends it; where nobody guards, at once.
///
/// # Errors
/// [`Unsent`].
pub(super) async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, Unsent> {
    let Ok(guard) = GUARD.try_with(Clone::clone) else {
        return Ok(request.send().await?);
    };
    if !(guard.wait)().await {
        return Err(Unsent::Kept);
    }
    let (client, request) = request.build_split();
    let mut request = request?;
    let bytes = request.body().and_then(reqwest::Body::as_bytes);
    if let Some(bytes) = bytes.map(Bytes::copy_from_slice) {
        let bytes = Some(bytes);
        let still = Arc::clone(&guard.still);
        *request.body_mut() = Some(reqwest::Body::wrap(Guarded { bytes, still }));
    }
    client.execute(request).await.map_err(|error| {
        if is_kept(&error) {
            Unsent::Kept
        } else {
            Unsent::Failed(error)
        }
    })
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unsent {
    /// It did not leave, or not as a whole: another hub leads.
    Kept,
    Failed(reqwest::Error),
}

impl From<reqwest::Error> for Unsent {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error)
    }
}

/// What breaks a request off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another hub leads")]
struct Kept;

fn is_kept(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Kept>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A body that is not given out where another hub leads by then; the request is broken off before it is whole.
struct Guarded {
    bytes: Option<Bytes>,
    still: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Kept;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Kept>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(if (self.still)() {
            Ok(Frame::data(bytes))
        } else {
            Err(Kept)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
