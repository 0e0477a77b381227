//! Servers on loopback that note what they saw, and answer or misbehave as a test wants.
//!
//! [`Server::http`] and [`Server::https`] answer requests by a function; [`Server::raw`] hands each
//! connection to a script that writes whatever bytes it likes. All listen on port 0 and stop when
//! dropped.

pub(crate) mod certificates;
pub(crate) mod names;
pub(crate) mod proxies;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A server on loopback; stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Log,
    task: JoinHandle<()>,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// What a server saw of one request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Option<SeenTls>,
    /// The request line and the headers as bytes on the wire; empty over HTTP/2.
    pub(crate) head: String,
    pub(crate) method: String,
    /// What stands in the request line; path and query over HTTP/2.
    pub(crate) target: String,
    /// Over HTTP/2 with `:authority` in front.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What a server saw of a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenTls {
    pub(crate) version: String,
    pub(crate) alpn: Option<String>,
    pub(crate) sni: Option<String>,
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn http1(&self, method: &str) -> Vec<u8> {
        let mut lines = vec![format!("HTTP/1.1 {} Reason", self.status)];
        lines.extend(self.headers.iter().map(|(n, v)| format!("{n}: {v}")));
        lines.push(format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = lines.join("\r\n").into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl Seen {
    fn new(peer: SocketAddr, tls: Option<SeenTls>) -> Self {
        Self {
            peer,
            tls,
            head: String::new(),
            method: String::new(),
            target: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The first value of a header; any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter();
        found
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers plain HTTP/1.1, one request a connection.
    pub(crate) async fn http(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::start(None, move |connection| serve(connection, answer.clone())).await
    }

    /// Answers HTTP/2 or HTTP/1.1 over TLS, as ALPN agrees.
    pub(crate) async fn https(
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::start(Some(tls), move |connection| {
            serve(connection, answer.clone())
        })
        .await
    }

    /// Answers plain HTTP/2 with prior knowledge.
    pub(crate) async fn http2(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::start(None, move |connection| {
            serve_http2(connection, answer.clone())
        })
        .await
    }

    /// Hands each connection to `script`.
    pub(crate) async fn raw<F>(script: impl Fn(Connection) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start(None, script).await
    }

    /// Hands each connection to `script` after the TLS handshake.
    pub(crate) async fn raw_tls<F>(
        tls: Arc<ServerConfig>,
        script: impl Fn(Connection) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start(Some(tls), script).await
    }

    async fn start<F>(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(Connection) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Log::default();
        let (log, script) = (seen.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            // Dropped with the server, and the connections with it.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let (tls, log, script) = (tls.clone(), log.clone(), script.clone());
                connections.spawn(async move {
                    if let Some(connection) = Connection::accept(stream, peer, tls, log).await {
                        script(connection).await;
                    }
                });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// `http://127.0.0.1:<port><path>`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same with another scheme and host.
    pub(crate) fn url_as(&self, scheme: &str, host: &str, path: &str) -> String {
        format!("{scheme}://{host}:{}{path}", self.address.port())
    }

    /// The requests so far, in order of their arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection in the hands of a script.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) tls: Option<SeenTls>,
    peer: SocketAddr,
    /// The socket beneath, for breaking it.
    socket: socket2::Socket,
    log: Log,
}

impl Connection {
    async fn accept(
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        log: Log,
    ) -> Option<Self> {
        let socket = socket2::SockRef::from(&stream).try_clone().unwrap();
        let (stream, tls): (Box<dyn Stream>, _) = match tls {
            None => (Box::new(stream), None),
            Some(config) => {
                // A client that does not like our certificate is no error of the server.
                let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
                let connection = stream.get_ref().1;
                let tls = SeenTls {
                    version: format!("{:?}", connection.protocol_version().unwrap()),
                    alpn: connection
                        .alpn_protocol()
                        .map(|p| String::from_utf8(p.to_vec()).unwrap()),
                    sni: connection.server_name().map(str::to_owned),
                };
                (Box::new(stream), Some(tls))
            }
        };
        Some(Self {
            stream,
            tls,
            peer,
            socket,
            log,
        })
    }

    /// Writes something to the log.
    pub(crate) fn note(&self, fill: impl FnOnce(&mut Seen)) {
        let mut seen = Seen::new(self.peer, self.tls.clone());
        fill(&mut seen);
        self.log.lock().unwrap().push(seen);
    }

    /// Reads one HTTP/1.1 request to its end and notes it; `None` when the client leaves before that.
    pub(crate) async fn request(&mut self) -> Option<Seen> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut seen = Seen::new(self.peer, self.tls.clone());
        let mut lines = head.trim_end().lines();
        let mut words = lines.next().unwrap().split(' ');
        seen.method = words.next().unwrap().to_owned();
        seen.target = words.next().unwrap().to_owned();
        seen.headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        seen.head = head;
        let length = seen
            .header("content-length")
            .map_or(0, |l| l.parse().unwrap());
        seen.body = bytes[end..].to_vec();
        while seen.body.len() < length {
            if self.stream.read_buf(&mut seen.body).await.ok()? == 0 {
                return None;
            }
        }
        self.log.lock().unwrap().push(seen.clone());
        Some(seen)
    }

    /// Sends bytes; a client that is gone is none of the server's business.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.stream.write_all(bytes.as_ref()).await;
        sent.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Ends our side and waits for the client to end its own.
    pub(crate) async fn finish(mut self) {
        let _ = self.stream.shutdown().await;
        self.hold().await;
    }

    /// Says nothing more until the client leaves.
    pub(crate) async fn hold(mut self) {
        let mut sink = [0; 4096];
        while matches!(self.stream.read(&mut sink).await, Ok(n) if n > 0) {}
    }

    /// Sends bytes beneath TLS, as something on the way could.
    pub(crate) fn send_beneath(&mut self, bytes: &[u8]) {
        use std::io::Write as _;
        // A few bytes always find room.
        self.socket.write_all(bytes).unwrap();
    }

    /// Ends the TCP connection beneath TLS, without a goodbye.
    pub(crate) fn cut(self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

async fn serve<A>(mut connection: Connection, answer: Arc<A>)
where
    A: Fn(&Seen) -> Reply + Send + Sync + 'static,
{
    let alpn = connection.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
    if alpn == Some("h2") {
        return serve_http2(connection, answer).await;
    }
    let Some(seen) = connection.request().await else {
        return;
    };
    let reply = answer(&seen).http1(&seen.method);
    connection.send(reply).await;
    connection.finish().await;
}

async fn serve_http2<A>(connection: Connection, answer: Arc<A>)
where
    A: Fn(&Seen) -> Reply + Send + Sync + 'static,
{
    let (peer, tls, log) = (connection.peer, connection.tls, connection.log);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (answer, log) = (answer.clone(), log.clone());
        let mut seen = Seen::new(peer, tls.clone());
        async move {
            let (head, body) = request.into_parts();
            seen.method = head.method.to_string();
            seen.target = head.uri.path_and_query().unwrap().to_string();
            let authority = head.uri.authority().map(ToString::to_string);
            seen.headers =
                authority
                    .map(|a| (":authority".to_owned(), a))
                    .into_iter()
                    .chain(head.headers.iter().map(|(name, value)| {
                        (name.to_string(), value.to_str().unwrap().to_owned())
                    }))
                    .collect();
            seen.body = body.collect().await.unwrap().to_bytes().to_vec();
            let reply = answer(&seen);
            log.lock().unwrap().push(seen);
            let mut response = http::Response::builder().status(reply.status);
            for (name, value) in &reply.headers {
                response = response.header(name, value);
            }
            let response = response.body(Full::new(Bytes::from(reply.body))).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    // The client may leave as soon as it has what it wants.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(connection.stream), service)
        .await;
}
