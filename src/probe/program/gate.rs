//! The one way out of a program: a proxy on loopback, open for one run.
//!
//! It takes SOCKS 5, `CONNECT` and plain requests with an absolute address on one port, leads to the host of the run
//! alone, and by the cell's egress. So egress, addresses, phases and the TLS hello are what edgewatch saw itself,
//! whatever the program says. It never ends TLS. It asks for no login: what it leads to makes it useless to others.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::domain::hello::{self, Hello};
use crate::domain::observation::{Failure, Phase};
use crate::domain::sent::Greeting;
use crate::domain::sent::header_order;
use crate::probe::failure::local;
use crate::probe::progress::Progress;
use crate::probe::{Cell, Prober};

/// Connections of one run; a request needs one.
const CONNECTIONS_MAX: usize = 4;
/// Bytes of what a program says before its tunnel is open, and of a plain head.
const GREETING_MAX: usize = 64 * 1024;
/// For saying it.
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// Bytes both ways beyond four times the body that the probe keeps.
const SLACK: u64 = 1024 * 1024;

/// What went through in one run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Connections that led to the host.
    pub(super) connections: usize,
    /// The first hello.
    pub(super) hello: Option<Hello>,
    /// Another host that the program wanted.
    pub(super) elsewhere: Option<String>,
    /// Why the host could not be reached.
    pub(super) failed: Option<Failure>,
    /// Bytes from the program and from the host.
    pub(super) up: u64,
    pub(super) down: u64,
    /// The host ended its side, or how it broke.
    pub(super) ended: bool,
    pub(super) broke: Option<io::ErrorKind>,
    /// More than fits an answer of the probe.
    pub(super) over: bool,
    start: Vec<u8>,
}

pub(super) struct Gate {
    listener: TcpListener,
    pub(super) port: u16,
}

/// What a program asked of the gate.
struct Asked {
    host: String,
    port: u16,
    form: Form,
}

enum Form {
    Socks,
    Connect,
    /// A request with the whole address in its first line, which the host gets without it.
    Absolute(Vec<u8>),
}

impl Gate {
    pub(super) async fn open() -> Result<Self, Failure> {
        let wrong = |e: io::Error| local(Phase::Connect, format!("no port on 127.0.0.1: {e}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(wrong)?;
        let port = listener.local_addr().map_err(wrong)?.port();
        Ok(Self { listener, port })
    }

    /// Refuses whoever waits: what a program wanted after its last run is none of the next.
    pub(super) async fn forget(&self) {
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::ZERO, self.listener.accept()).await {}
    }

    /// Lets the program through, one connection after the other; never ends by itself.
    pub(super) async fn serve(
        &self,
        prober: &Prober,
        cell: &Cell<'_>,
        url: &Url,
        now: &mut Progress,
        seen: &mut Seen,
    ) -> Infallible {
        let bytes_max = (cell.probe.body_bytes_max as u64)
            .saturating_mul(4)
            .saturating_add(SLACK);
        for _ in 0..CONNECTIONS_MAX {
            let Ok((mut client, _)) = self.listener.accept().await else {
                break;
            };
            let greeting = tokio::time::timeout(GREETING_WITHIN, greeting(&mut client)).await;
            let Ok(Some(asked)) = greeting else {
                continue;
            };
            let named = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let address = asked.host.parse::<std::net::IpAddr>().ok();
            let right_port = url.port_or_known_default() == Some(asked.port);
            if !right_port || (asked.host != named && address.is_none()) {
                seen.elsewhere = Some(format!("{}:{}", asked.host, asked.port));
                refuse(&mut client, &asked.form, 2).await;
                continue;
            }
            let mut server = match prober.reach(cell, url, now).await {
                Ok(server) => server,
                Err(failed) => {
                    seen.failed = Some(failed);
                    refuse(&mut client, &asked.form, 5).await;
                    continue;
                }
            };
            // Java resolves the name itself before it asks.
            if let Some(address) = address
                && asked.host != named
                && !now.route.resolved.contains(&address)
            {
                seen.elsewhere = Some(format!("{}:{}", asked.host, asked.port));
                refuse(&mut client, &asked.form, 2).await;
                continue;
            }
            seen.connections += 1;
            seen.failed = None;
            (seen.ended, seen.broke) = (false, None);
            if grant(&mut client, &mut server, asked.form, now, seen)
                .await
                .is_ok()
            {
                join(client, server, bytes_max, now, seen).await;
            }
        }
        std::future::pending().await
    }
}

/// Reads what the program wants; `None` when it is nothing that the gate knows.
async fn greeting(client: &mut TcpStream) -> Option<Asked> {
    let mut first = [0];
    client.peek(&mut first).await.ok()?;
    if first != [5] {
        return http_greeting(client).await;
    }
    let mut two = [0; 2];
    client.read_exact(&mut two).await.ok()?;
    let mut methods = vec![0; usize::from(two[1])];
    client.read_exact(&mut methods).await.ok()?;
    // RFC 1928: no authentication.
    client.write_all(&[5, 0]).await.ok()?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    let host = match request {
        [5, 1, _, 1] => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).await.ok()?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        [5, 1, _, 4] => {
            let mut ip = [0; 16];
            client.read_exact(&mut ip).await.ok()?;
            std::net::Ipv6Addr::from(ip).to_string()
        }
        [5, 1, _, 3] => {
            let mut name = vec![0; usize::from(client.read_u8().await.ok()?)];
            client.read_exact(&mut name).await.ok()?;
            String::from_utf8(name).ok()?.to_ascii_lowercase()
        }
        _ => return None,
    };
    let port = client.read_u16().await.ok()?;
    Some(Asked {
        host,
        port,
        form: Form::Socks,
    })
}

/// `CONNECT host:port`, in HTTP/1.0 and 1.1, with headers or without; or a request for `http://host/…`.
async fn http_greeting(client: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= GREETING_MAX {
            return None;
        }
        head.push(client.read_u8().await.ok()?);
    }
    let end = head.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8(head[..end].to_vec()).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if method == "CONNECT" {
        let (host, port) = target.rsplit_once(':')?;
        return Some(Asked {
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port: port.parse().ok()?,
            form: Form::Connect,
        });
    }
    let url = Url::parse(target)
        .ok()
        .filter(|url| url.scheme() == "http")?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = format!("{method} {path} {version}").into_bytes();
    for line in head[end..].split_inclusive(|byte| *byte == b'\n') {
        let lower = line.to_ascii_lowercase();
        // For us, and no part of what the host would get without a proxy.
        if !lower.starts_with(b"proxy-connection:") {
            request.extend_from_slice(line);
        }
    }
    Some(Asked {
        host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default()?,
        form: Form::Absolute(request),
    })
}

/// Says no: by `code` in SOCKS (RFC 1928 section 6), else as a proxy does.
async fn refuse(client: &mut TcpStream, form: &Form, code: u8) {
    let answer: &[u8] = match form {
        Form::Socks => &[5, code, 0, 1, 0, 0, 0, 0, 0, 0],
        _ if code == 2 => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        _ => b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    };
    // What counts was noted.
    let _ = client.write_all(answer).await;
    let _ = client.shutdown().await;
}

async fn grant(
    client: &mut TcpStream,
    server: &mut TcpStream,
    form: Form,
    now: &mut Progress,
    seen: &mut Seen,
) -> io::Result<()> {
    now.leave();
    match form {
        Form::Socks => client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        Form::Connect => {
            let yes = b"HTTP/1.1 200 Connection established\r\n\r\n";
            client.write_all(yes).await
        }
        Form::Absolute(request) => {
            seen.sent(&request, now);
            server.write_all(&request).await
        }
    }
}

/// Carries bytes both ways until both sides have ended.
async fn join(
    mut client: TcpStream,
    mut server: TcpStream,
    bytes_max: u64,
    now: &mut Progress,
    seen: &mut Seen,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let (mut goes_up, mut comes_down) = (true, true);
    while goes_up || comes_down {
        tokio::select! {
            read = from_client.read(&mut up), if goes_up => match read {
                Ok(count) if count > 0 => {
                    seen.sent(&up[..count], now);
                    // How the host broke off is for the other side to find.
                    goes_up = to_server.write_all(&up[..count]).await.is_ok();
                }
                _ => {
                    goes_up = false;
                    let _ = to_server.shutdown().await;
                }
            },
            read = from_server.read(&mut down), if comes_down => match read {
                Ok(count) if count > 0 => {
                    seen.came(count, now);
                    comes_down = to_client.write_all(&down[..count]).await.is_ok();
                }
                ended => {
                    comes_down = false;
                    match ended {
                        Ok(_) => seen.ended = true,
                        Err(error) => seen.broke = Some(error.kind()),
                    }
                    let _ = to_client.shutdown().await;
                }
            },
        }
        if seen.up + seen.down > bytes_max {
            seen.over = true;
            return;
        }
    }
}

impl Seen {
    /// The program said something: its hello, or the head of a request that is not encrypted.
    fn sent(&mut self, bytes: &[u8], now: &mut Progress) {
        self.up += bytes.len() as u64;
        let known = self.hello.is_some()
            || now
                .sent
                .as_ref()
                .is_some_and(|sent| sent.header_order.is_some());
        let room = GREETING_MAX.saturating_sub(self.start.len());
        if known || room == 0 {
            return;
        }
        self.start
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        match hello::read(&self.start) {
            hello::Read::Hello(hello) => {
                now.enter(Phase::Tls);
                now.sent().ja4 = Some(hello.ja4());
                now.sent().ja4_fresh = hello.ja4_fresh();
                now.sent().greeting = Some(Greeting::of(&hello));
                self.hello = Some(hello);
            }
            hello::Read::More => {}
            hello::Read::Not => {
                let text = String::from_utf8_lossy(&self.start);
                let Some((head, _)) = text.split_once("\r\n\r\n") else {
                    return;
                };
                now.enter(Phase::FirstByte);
                let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
                let order = header_order("1.1", names.map(|(name, _)| name));
                now.sent().header_order = Some(order);
            }
        }
    }

    fn came(&mut self, count: usize, now: &mut Progress) {
        if self.down == 0 {
            // Of TLS it is the host's share alone: a program that starts cold is no slow partner.
            match now.phase() {
                Phase::FirstByte => now.enter_at(Phase::Transfer, Instant::now()),
                _ => now.leave(),
            }
        }
        self.down += count as u64;
    }
}
