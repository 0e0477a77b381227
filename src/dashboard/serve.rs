//! The pages' own listener: so many connections, each for so long, and an end in good order.
//!
//! Streams stay open, so they are counted apart ([`super::live`]), and who says nothing for longest gives way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::Pages;
use super::gate::Peer;

/// For the head of a request, and for the next one over the same connection.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// For a connection, whatever comes over it; streams end before.
const CONNECTION_MAX: Duration = Duration::from_secs(15 * 60);
/// Connections at once, streams among them.
const CONNECTIONS_MAX: usize = 128;
/// After a connection could not be accepted: most likely there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);
/// Streams say goodbye within this at the end.
const GOODBYE: Duration = Duration::from_millis(500);

/// An address that is taken, and not served yet.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
}

/// Serves until it is stopped or dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    pages: Pages,
    task: JoinHandle<()>,
}

/// Takes the address.
///
/// # Errors
/// A sentence with the address.
pub async fn bind(address: SocketAddr) -> Result<Bound, String> {
    let failed = |e: std::io::Error| format!("can't show pages at {address}: {e}");
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound { socket, address })
}

impl Bound {
    /// Begins to serve.
    #[must_use]
    pub fn serve(self, pages: Pages) -> Listener {
        let router = super::router(pages.clone());
        Listener {
            address: self.address,
            task: tokio::spawn(accept(self.socket, router, pages.clone())),
            pages,
        }
    }
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a person opens. The name leads to loopback by itself, and cookies of other ports are not sent to it.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.address.port();
        format!("http://edgewatch.localhost:{port}{}/", self.pages.base())
    }

    /// Ends it; open pages hear why.
    pub async fn stop(mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.pages.stop()).await;
        self.task.abort();
        // The address is free when this returns.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection.
struct Open {
    /// Requests over it that are being answered.
    asks: Arc<AtomicUsize>,
    stop: AbortHandle,
}

async fn accept(socket: TcpListener, router: Router, pages: Pages) {
    // Dropped with this task, and so are the connections.
    let mut connections = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("a connection for pages was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        open.retain(|open| !open.stop.is_finished());
        if open.len() >= CONNECTIONS_MAX {
            let idle = open
                .iter()
                .position(|open| open.asks.load(Ordering::Relaxed) == 0);
            let Some(oldest) = open.remove(idle.unwrap_or_default()) else {
                continue;
            };
            oldest.stop.abort();
        }
        let asks = Arc::new(AtomicUsize::new(0));
        let peer = Peer(peer.ip().to_canonical());
        let connection = connection(
            (stream, peer),
            router.clone(),
            pages.clone(),
            Arc::clone(&asks),
        );
        let stop = connections.spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
        });
        open.push_back(Open { asks, stop });
    }
}

/// Counts a request from its head to the end of its answer.
struct Asked(Arc<AtomicUsize>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(
    (stream, peer): (TcpStream, Peer),
    router: Router,
    pages: Pages,
    asks: Arc<AtomicUsize>,
) {
    let router = router.layer(axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            asks.fetch_add(1, Ordering::Relaxed);
            let asked = Asked(Arc::clone(&asks));
            async move {
                let (head, body) = next.run(request).await.into_parts();
                axum::response::Response::from_parts(head, until_sent(body, asked))
            }
        },
    ));
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        super::gate::below(pages.base(), request.uri_mut());
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    // A client that breaks off is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The same body, which holds `asked` until it is sent or given up.
fn until_sent(body: Body, asked: Asked) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _ = &asked;
        frame
    }))
}
