//! Tunnels through the operator's forward proxies: HTTP `CONNECT` and SOCKS 5.
//!
//! Written here rather than taken from a client library, because a diagnosis needs what those drop:
//! the proxy's status line, its reply code, and the target's certificate seen through the tunnel.
//! Plain `http` targets use `CONNECT` as well, so that every request reaches the partner unchanged.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::failure::{failure, from_io, one_line};
use crate::domain::cell::Proxy;
use crate::domain::observation::{Failure, FailureKind, Phase};

/// The most of a proxy's answer to `CONNECT` that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where a tunnel should lead.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// Resolved by the proxy.
    Name(String, u16),
    Address(SocketAddr),
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// `host:port` of a proxy, as messages and observations name it.
pub(super) fn name(proxy: &Proxy) -> String {
    if proxy.host.contains(':') && !proxy.host.starts_with('[') {
        format!("[{}]:{}", proxy.host, proxy.port)
    } else {
        format!("{}:{}", proxy.host, proxy.port)
    }
}

/// Asks an HTTP proxy for a tunnel, RFC 9110 section 9.3.6.
pub(super) async fn connect_http(
    stream: &mut TcpStream,
    proxy: &Proxy,
    goal: &Goal,
) -> Result<(), Failure> {
    let told = |error: std::io::Error| broke(proxy, &error);
    let mut request = format!("CONNECT {goal} HTTP/1.1\r\nHost: {goal}\r\n");
    if let Some((username, password)) = login(proxy) {
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&base64(format!("{username}:{password}").as_bytes()));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(told)?;

    let mut answer = Vec::with_capacity(512);
    let head = loop {
        if let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if answer.len() >= ANSWER_BYTES_MAX {
            return Err(refused(
                proxy,
                format_args!("answered CONNECT with more than {ANSWER_BYTES_MAX} bytes of headers"),
            ));
        }
        if stream.read_buf(&mut answer).await.map_err(told)? == 0 {
            return Err(refused(
                proxy,
                format_args!("closed the connection instead of answering CONNECT to {goal}"),
            ));
        }
    };
    let line = String::from_utf8_lossy(&answer[..head]);
    let line = line.lines().next().unwrap_or_default();
    let Some(status) = status(line) else {
        return Err(refused(
            proxy,
            format_args!(
                "did not answer CONNECT with HTTP but with {:?}",
                one_line(line, 80)
            ),
        ));
    };
    if !(200..300).contains(&status) {
        let reason = line.splitn(3, ' ').nth(2).unwrap_or_default();
        let reason = one_line(reason.trim(), 80);
        let gap = if reason.is_empty() { "" } else { " " };
        return Err(refused(
            proxy,
            format_args!("refused CONNECT to {goal} with {status}{gap}{reason}"),
        ));
    }
    if answer.len() > head + 4 {
        return Err(refused(
            proxy,
            format_args!("sent data of its own into the tunnel to {goal}"),
        ));
    }
    Ok(())
}

/// The status of an `HTTP/1.x` status line.
fn status(line: &str) -> Option<u16> {
    let mut words = line.split(' ');
    words.next().filter(|v| v.starts_with("HTTP/1."))?;
    let status = words.next().filter(|s| s.len() == 3)?;
    status.parse().ok()
}

/// Asks a SOCKS 5 proxy for a tunnel, RFC 1928; logs in as RFC 1929 says.
pub(super) async fn connect_socks(
    stream: &mut TcpStream,
    proxy: &Proxy,
    goal: &Goal,
) -> Result<(), Failure> {
    const VERSION: u8 = 5;
    const NO_LOGIN: u8 = 0;
    const PASSWORD: u8 = 2;
    const NOTHING_FITS: u8 = 0xff;
    let told = |error: std::io::Error| broke(proxy, &error);

    let login = login(proxy);
    let offer: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    stream.write_all(offer).await.map_err(told)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(told)?;
    if chosen[0] != VERSION {
        return Err(refused(proxy, format_args!("does not speak SOCKS 5")));
    }
    match (chosen[1], login) {
        (NO_LOGIN, _) => {}
        (PASSWORD, Some((username, password))) => {
            let mut message = vec![1];
            for (what, text) in [("user name", username), ("password", password)] {
                let Ok(length) = u8::try_from(text.len()) else {
                    return Err(refused(
                        proxy,
                        format_args!("can't be given a {what} of more than 255 bytes"),
                    ));
                };
                message.push(length);
                message.extend_from_slice(text.as_bytes());
            }
            stream.write_all(&message).await.map_err(told)?;
            let mut accepted = [0; 2];
            stream.read_exact(&mut accepted).await.map_err(told)?;
            if accepted[1] != 0 {
                return Err(refused(
                    proxy,
                    format_args!("refused the user name or password"),
                ));
            }
        }
        (NOTHING_FITS, Some(_)) => {
            return Err(refused(
                proxy,
                format_args!("accepts no login by user name and password"),
            ));
        }
        (NOTHING_FITS, None) => {
            return Err(refused(proxy, format_args!("asks for a login")));
        }
        (method, _) => {
            return Err(refused(
                proxy,
                format_args!("chose login method {method}, which was not offered"),
            ));
        }
    }

    let mut request = vec![VERSION, 1, 0];
    match goal {
        Goal::Address(address) => match address.ip() {
            IpAddr::V4(ip) => {
                request.push(1);
                request.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                request.push(4);
                request.extend_from_slice(&ip.octets());
            }
        },
        Goal::Name(name, _) => {
            let Ok(length) = u8::try_from(name.len()) else {
                return Err(refused(
                    proxy,
                    format_args!("can't be given a host name of more than 255 bytes"),
                ));
            };
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    let port = match goal {
        Goal::Name(_, port) => *port,
        Goal::Address(address) => address.port(),
    };
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(told)?;

    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.map_err(told)?;
    if reply[1] != 0 {
        return Err(socks_refusal(proxy, goal, reply[1]));
    }
    // The address that the proxy bound: of no use here, but it must be read to its end.
    let rest = match reply[3] {
        1 => 4,
        3 => usize::from(stream.read_u8().await.map_err(told)?),
        4 => 16,
        other => {
            return Err(refused(
                proxy,
                format_args!("answered with an address of unknown type {other}"),
            ));
        }
    };
    let mut bound = [0; 255 + 2];
    stream
        .read_exact(&mut bound[..rest + 2])
        .await
        .map_err(told)?;
    Ok(())
}

/// Reply codes of RFC 1928 section 6. Those about the target are the target's failures, told by the proxy.
fn socks_refusal(proxy: &Proxy, goal: &Goal, code: u8) -> Failure {
    let (kind, text) = match code {
        1 => (FailureKind::Proxy, "general failure"),
        2 => (FailureKind::Proxy, "its rules do not allow it"),
        3 => (FailureKind::Unreachable, "network unreachable"),
        4 => (FailureKind::Unreachable, "host unreachable"),
        5 => (FailureKind::Refused, "connection refused"),
        6 => (FailureKind::Unreachable, "time to live expired"),
        7 => (FailureKind::Proxy, "command not supported"),
        8 => (FailureKind::Proxy, "address type not supported"),
        _ => (FailureKind::Proxy, "unknown reason"),
    };
    let message = format!(
        "proxy {} opened no tunnel to {goal}: {text} (SOCKS reply {code})",
        name(proxy)
    );
    failure(Phase::Connect, kind, message)
}

fn login(proxy: &Proxy) -> Option<(&str, &str)> {
    let username = proxy.username.as_deref()?;
    let password = proxy.password.as_ref().map_or("", |p| p.expose());
    Some((username, password))
}

fn refused(proxy: &Proxy, what: std::fmt::Arguments<'_>) -> Failure {
    let message = format!("proxy {} {what}", name(proxy));
    failure(Phase::Connect, FailureKind::Proxy, message)
}

fn broke(proxy: &Proxy, error: &std::io::Error) -> Failure {
    let told = from_io(Phase::Connect, &format!("proxy {}", name(proxy)), error);
    failure(told.phase, FailureKind::Proxy, told.message)
}

/// Base64 with padding, RFC 4648 section 4: one header is not worth a crate.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_u32, |group, &byte| group << 8 | u32::from(byte));
        for index in 0..4 {
            if index <= chunk.len() {
                let six = (group >> (18 - 6 * index)) & 63;
                text.push(char::from(ALPHABET[six as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vectors of RFC 4648 section 10.
    #[test]
    fn encodes_base64() {
        let check = |text: &str, expected: &str| assert_eq!(base64(text.as_bytes()), expected);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn reads_status_lines() {
        let check =
            |line: &str, expected: Option<u16>| assert_eq!(status(line), expected, "{line}");
        check("HTTP/1.1 200 OK", Some(200));
        check("HTTP/1.0 407", Some(407));
        check("HTTP/1.1 2000 OK", None);
        check("SSH-2.0-OpenSSH_9.6", None);
        check("", None);
    }
}
