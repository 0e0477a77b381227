//! A server on loopback that stands in for any host, and notes how a request looks from outside.
//!
//! It is reached as a proxy (SOCKS 5 or HTTP `CONNECT`) and opens no tunnel: it answers itself, in the name of
//! whatever host was asked for, with a certificate of its own root. So the request is the one that the partner
//! would get, `Host` and TLS name among it, and nothing leaves this host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::LazyConfigAcceptor;

use super::certificate::{Authority, Certificate};
use super::wire::{Heard, Tap};
use crate::domain::hello::{self, Hello};
use crate::domain::preface;

/// For one connection; who is that slow is stuck.
const WITHIN: Duration = Duration::from_secs(30);
/// Connections at once.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a head; a real one has a few hundred.
const HEAD_MAX: usize = 64 * 1024;

/// How one request looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// `None` without TLS.
    pub hello: Option<Hello>,
    /// Request line and headers as they came, without line ends; empty when no request came.
    pub head: Vec<String>,
    /// The first flight of HTTP/2; `None` in HTTP/1.
    pub h2: Option<String>,
}

/// A running recorder; dropping it stops it.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    pem: String,
    noted: Log,
    task: JoinHandle<()>,
}

type Log = Arc<Mutex<Vec<Noted>>>;

impl Recorder {
    /// Listens on loopback; `now` is when its certificates begin.
    ///
    /// # Errors
    /// It can't listen, or a certificate can't be made.
    pub async fn start(now: Timestamp) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|e| format!("can't listen on 127.0.0.1: {e}"))?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let authority = Arc::new(Authority::new(true)?);
        let pem = authority.pem();
        let noted = Log::default();
        let log = noted.clone();
        let task = tokio::spawn(async move {
            // Dropped with the recorder, and the connections with it.
            let mut connections = JoinSet::new();
            loop {
                while connections.len() >= CONNECTIONS_MAX {
                    connections.join_next().await;
                }
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (authority, log) = (authority.clone(), log.clone());
                connections.spawn(async move {
                    // What breaks off has been noted as far as it came.
                    let _ = tokio::time::timeout(WITHIN, meet(stream, &authority, now, &log)).await;
                });
            }
        });
        Ok(Self {
            address,
            pem,
            noted,
            task,
        })
    }

    /// Where it listens, as a proxy.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root that vouches for it.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.pem.clone()
    }

    /// The requests so far, which are then forgotten.
    pub fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut *lock(&self.noted))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn meet(
    mut stream: TcpStream,
    authority: &Authority,
    now: Timestamp,
    log: &Log,
) -> Option<()> {
    let host = tunnel(&mut stream).await?;
    let mut first = [0];
    stream.peek(&mut first).await.ok()?;
    // Type 22 is a TLS handshake, and no letter of a method.
    if first != [22] {
        let http2 = first == *b"P" && begins_http2(&stream).await;
        return serve(stream, http2, None, log).await;
    }
    let (tap, heard) = Tap::new(stream);
    let start = LazyConfigAcceptor::new(Acceptor::default(), tap).await;
    let hello = match hello::read(&lock(&heard)) {
        hello::Read::Hello(hello) => Some(hello),
        hello::Read::More | hello::Read::Not => None,
    };
    let failed = |hello| {
        lock(log).push(Noted {
            hello,
            head: Vec::new(),
            h2: None,
        });
    };
    let Ok(start) = start else {
        failed(hello);
        return None;
    };
    let named = start.client_hello().server_name().map(str::to_owned);
    let wanted = Certificate {
        names: vec![named.unwrap_or(host)],
        ..Certificate::default()
    };
    let config = authority.issue(&wanted, now).ok()?;
    let Ok(stream) = start.into_stream(config).await else {
        failed(hello);
        return None;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, http2, hello, log).await
}

/// Takes the greeting of SOCKS 5 or a `CONNECT`, and says yes; the host that was asked for.
async fn tunnel(stream: &mut TcpStream) -> Option<String> {
    let mut first = [0];
    stream.peek(&mut first).await.ok()?;
    if first != [5] {
        let head = head(stream).await?;
        let target = head.first()?.strip_prefix("CONNECT ")?;
        let (host, _) = target.split(' ').next()?.rsplit_once(':')?;
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .ok()?;
        return Some(host.trim_matches(['[', ']']).to_owned());
    }
    let mut two = [0; 2];
    stream.read_exact(&mut two).await.ok()?;
    let mut methods = vec![0; usize::from(two[1])];
    stream.read_exact(&mut methods).await.ok()?;
    // RFC 1928: no authentication.
    stream.write_all(&[5, 0]).await.ok()?;
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => {
            let mut ip = [0; 4];
            stream.read_exact(&mut ip).await.ok()?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        4 => {
            let mut ip = [0; 16];
            stream.read_exact(&mut ip).await.ok()?;
            std::net::Ipv6Addr::from(ip).to_string()
        }
        _ => {
            let mut name = vec![0; usize::from(stream.read_u8().await.ok()?)];
            stream.read_exact(&mut name).await.ok()?;
            String::from_utf8(name).ok()?
        }
    };
    stream.read_u16().await.ok()?;
    let granted = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    stream.write_all(&granted).await.ok()?;
    Some(host)
}

async fn begins_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    // A split of three bytes on loopback is rare, and then it reads as what it is not.
    stream.peek(&mut first).await.is_ok() && first == *b"PRI"
}

async fn serve<S>(mut stream: S, http2: bool, hello: Option<Hello>, log: &Log) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if http2 {
        let (tap, heard) = Tap::new(stream);
        let log = log.clone();
        let service = service_fn(move |request| {
            lock(&log).push(noted_http2(&request, hello.clone(), &heard));
            async { Ok::<_, std::convert::Infallible>(answer()) }
        });
        // It breaks off when the client has its answer.
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(tap), service)
            .await;
        return Some(());
    }
    let Some(head) = head(&mut stream).await else {
        lock(log).push(Noted {
            hello,
            head: Vec::new(),
            h2: None,
        });
        return None;
    };
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is = name.eq_ignore_ascii_case("content-length");
        is.then(|| value.trim().parse::<u64>().ok())?
    });
    lock(log).push(Noted {
        hello,
        head,
        h2: None,
    });
    let mut body = (&mut stream).take(length.unwrap_or(0));
    tokio::io::copy(&mut body, &mut tokio::io::sink())
        .await
        .ok()?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    stream.write_all(answer).await.ok()?;
    stream.shutdown().await.ok()
}

fn answer() -> http::Response<Full<Bytes>> {
    http::Response::new(Full::new(Bytes::from_static(b"ok\n")))
}

fn noted_http2(request: &http::Request<Incoming>, hello: Option<Hello>, heard: &Heard) -> Noted {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let mut head = vec![format!("{} {path} HTTP/2", request.method())];
    head.extend(
        request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))),
    );
    Noted {
        hello,
        head,
        h2: preface::form(&lock(heard)),
    }
}

/// Request line and headers, byte by byte: what follows them stays to be read.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<String>> {
    let mut bytes = Vec::with_capacity(512);
    while !bytes.ends_with(b"\r\n\r\n") && !bytes.ends_with(b"\n\n") {
        if bytes.len() >= HEAD_MAX {
            return None;
        }
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.trim_end_matches(['\r', '\n']).split('\n');
    Some(
        lines
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect(),
    )
}
