//! Peers that speak a script: floods of pieces and frames, a certificate of any bytes, Slack's WebSocket.
//!
//! A script is a row of short pieces, each with how often it is said, so that a small input can be a flood.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edgewatch::domain::secret::Secret;
use edgewatch::notify::slack_socket::{Hearing, Patience, Pressed, Socket};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Asked, told};

/// Bytes that a script may come to.
const SCRIPT_BYTES_MAX: usize = 4 << 20;
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

struct Stage {
    runtime: Runtime,
    said: Arc<Mutex<Vec<u8>>>,
    one: Asked,
    two: Asked,
    certified: Asked,
    slack: Slack,
}

struct Slack {
    socket: Socket,
    said: Arc<Notify>,
}

thread_local! {
    static STAGE: Stage = Stage::new();
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let said = Arc::new(Mutex::new(Vec::new()));
        let spoken = Arc::new(Notify::new());
        let bound = runtime.block_on(async {
            let mut listeners = Vec::new();
            for _ in 0..3 {
                listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
            }
            let bound: Vec<String> = listeners
                .iter()
                .map(|listener| listener.local_addr().expect("it is bound").to_string())
                .collect();
            let mut listeners = listeners.into_iter();
            let mut next = || listeners.next().expect("one for each");
            tokio::spawn(speak(next(), Arc::clone(&said)));
            tokio::spawn(show(next(), Arc::clone(&said)));
            tokio::spawn(open(
                next(),
                bound[2].clone(),
                Arc::clone(&said),
                Arc::clone(&spoken),
            ));
            bound
        });
        let here = "{ address: 127.0.0.1 }";
        let client = |version: &str| {
            format!("{{ plain: {{ user_agent: \"plain/1\", http: \"{version}\" }} }}")
        };
        let asked = |url: &str, version: &str| Asked::as_client(url, here, "", &client(version));
        let patience = Patience {
            step: Duration::from_secs(1),
            acknowledge: Duration::from_millis(500),
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(1),
            setup: Duration::from_millis(1),
            ..Patience::default()
        };
        let token = Secret::new("xapp-1-fuzz".to_owned());
        let slack = Socket::new(&format!("http://{}", bound[2]), token, patience);
        Self {
            runtime,
            said,
            one: asked(&format!("http://{}/", bound[0]), "1.1"),
            two: asked(&format!("http://{}/", bound[0]), "2"),
            certified: asked(&format!("https://{}/", bound[1]), "either"),
            slack: Slack {
                socket: slack.expect("a socket"),
                said: spoken,
            },
        }
    }

    fn say(&self, said: Vec<u8>) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }
}

/// How often, how long, and the piece itself; the first byte chooses what is done with it.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = (u8, usize, &[u8])> {
    std::iter::from_fn(move || {
        let ([kind, times, length], rest) = data.split_first_chunk::<3>()?;
        let (piece, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        // Squared, so that one byte reaches a flood.
        let times = usize::from(*times);
        Some((*kind, times * times + 1, piece))
    })
}

fn script(data: &[u8], each: impl Fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut said = Vec::new();
    for (kind, times, piece) in pieces(data) {
        let piece = each(kind, piece);
        let room = SCRIPT_BYTES_MAX.saturating_sub(said.len());
        let times = times.min(room / piece.len().max(1));
        said.extend(piece.repeat(times));
    }
    said
}

/// A head of the first line's kind, then pieces as they are or as chunks.
pub(super) fn http1(data: &[u8]) {
    let said = script(data, |kind, piece| match kind % 4 {
        0 => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
        _ => piece.to_vec(),
    });
    STAGE.with(|stage| {
        stage.say(said);
        stage.runtime.block_on(stage.one.run());
    });
}

/// Frames: the kind with its flags in the first byte of a piece, a stream of the first few, then what it holds.
pub(super) fn http2(data: &[u8]) {
    let said = script(data, |kind, piece| {
        let (own, piece) = piece.split_at(piece.len().min(2));
        let (flags, stream) = (own.first().copied(), own.get(1).copied());
        match kind {
            // As it is, so that lengths can lie too.
            250.. => [own, piece].concat(),
            kind => {
                let mut frame =
                    u32::try_from(piece.len()).unwrap_or_default().to_be_bytes()[1..].to_vec();
                frame.extend([kind % 12, flags.unwrap_or_default(), 0, 0, 0]);
                frame.push(stream.unwrap_or_default() % 4);
                frame.extend(piece);
                frame
            }
        }
    });
    STAGE.with(|stage| {
        stage.say([SETTINGS, &said].concat());
        stage.runtime.block_on(stage.two.run());
    });
}

/// What a server shows as its certificate.
pub(super) fn certificate(data: &[u8]) {
    STAGE.with(|stage| {
        stage.say(data.to_vec());
        stage.runtime.block_on(stage.certified.run());
    });
}

/// Frames of Slack's WebSocket: the first byte of a piece is that of a frame; after Slack's hello when the first is odd.
pub(super) fn socket_mode(data: &[u8]) {
    let hello = b"{\"type\":\"hello\"}";
    let frame = |first: u8, held: &[u8]| {
        let length = u16::try_from(held.len()).unwrap_or_default();
        let head = match u8::try_from(length) {
            Ok(short) if short < 126 => vec![first, short],
            _ => [&[first, 126][..], &length.to_be_bytes()].concat(),
        };
        [&head, held].concat()
    };
    let said = script(data, |kind, piece| match kind {
        250.. => piece.to_vec(),
        kind => frame(kind, piece),
    });
    let greets = data.first().is_some_and(|first| first % 2 == 1);
    let greeting = if greets {
        frame(0x81, hello)
    } else {
        Vec::new()
    };
    STAGE.with(|stage| {
        stage.say([greeting, said].concat());
        let (clicks, mut clicked) = mpsc::channel(8);
        let (hearing, _) = watch::channel(Hearing::Connecting);
        stage.runtime.block_on(async {
            let listening = stage.slack.socket.listen(&clicks, &hearing);
            let judging = async {
                while let Some(Pressed { click, judged }) = clicked.recv().await {
                    assert!(click.user.len() <= data.len() * 3, "{click:?}");
                    let _ = judged.send(());
                }
            };
            // All that was said has been read, or is not wanted, once the connection is ended.
            tokio::select! {
                () = listening => {}
                () = judging => {}
                () = stage.slack.said.notified() => {}
            }
        });
    });
}

/// Reads what is asked, as long as it comes at once, and says its own; over HTTP/2 what it is answered is read as well.
async fn speak(listener: TcpListener, said: Arc<Mutex<Vec<u8>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let said = told(&said);
        tokio::spawn(async move {
            let (mut read, mut write) = stream.into_split();
            let mut heard = [0; 4096];
            let _ = read.read(&mut heard).await;
            let saying = async {
                let _ = write.write_all(&said).await;
                let _ = write.shutdown().await;
            };
            let hearing = async { while read.read(&mut heard).await.is_ok_and(|n| n > 0) {} };
            tokio::join!(saying, hearing);
        });
    }
}

/// A key of our own beside any certificate.
#[derive(Debug)]
struct Shown {
    key: Arc<dyn rustls::sign::SigningKey>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = CertificateDer::from(told(&self.said));
        Some(Arc::new(CertifiedKey::new(
            vec![shown],
            Arc::clone(&self.key),
        )))
    }
}

async fn show(listener: TcpListener, said: Arc<Mutex<Vec<u8>>>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let shown = Shown {
        key: aws_lc_rs::sign::any_supported_type(&key).expect("a key"),
        said,
    };
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = acceptor.accept(stream).await;
    }
}

/// Slack's API and WebSocket on one port; `spoken` hears of each that was said.
async fn open(
    listener: TcpListener,
    address: String,
    said: Arc<Mutex<Vec<u8>>>,
    spoken: Arc<Notify>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (address, said, spoken) = (address.clone(), told(&said), Arc::clone(&spoken));
        tokio::spawn(async move { converse(stream, &address, &said, &spoken).await });
    }
}

async fn converse(mut stream: TcpStream, address: &str, said: &[u8], spoken: &Notify) {
    let mut heard = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = heard.windows(4).position(|w| w == b"\r\n\r\n") {
                break String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
            }
            match stream.read_buf(&mut heard).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        };
        let original = String::from_utf8_lossy(&heard).into_owned();
        heard.clear();
        if head.contains("upgrade: websocket") {
            let key = original.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("sec-websocket-key")
                    .then(|| value.trim().to_owned())
            });
            let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let (mut read, mut write) = stream.into_split();
            let saying = async {
                let _ = write.write_all(head.as_bytes()).await;
                let _ = write.write_all(said).await;
                let _ = write.shutdown().await;
            };
            // Until the other side has had enough of it: what answers a flood must not stand in its way.
            let hearing = async { while read.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} };
            tokio::join!(saying, hearing);
            spoken.notify_one();
            return;
        }
        let body = format!("{{\"ok\":true,\"url\":\"ws://{address}/\"}}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
