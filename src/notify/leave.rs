//! Whether a request may leave now: of several hubs only the one that leads tells anything.
//!
//! A message can be several requests, and a process can be frozen between two of them. So it is asked before each, and not
//! only before the message.

use std::pin::Pin;
use std::sync::Arc;

/// Waits until it is known; `false`: another hub tells it.
pub type Guard = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

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

/// Whether a request may leave now; where nobody guards, it may.
pub(super) async fn may_leave() -> bool {
    match GUARD.try_with(Arc::clone) {
        Ok(guard) => guard().await,
        Err(_) => true,
    }
}
