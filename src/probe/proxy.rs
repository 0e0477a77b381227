//! Tunnels through the operator's forward proxies: HTTP `CONNECT` and SOCKS 5.
//!
//! Written here rather than taken from a client library, because a diagnosis needs what those drop:
//! the proxy's status line, its reply code, and the target's certificate seen through the tunnel.
//! Plain `http` targets use `CONNECT` as well, so that every request reaches the partner unchanged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::failure::{failure, from_io, one_line};
use crate::domain::cell::Proxy;
use crate::domain::observation::{Failure, FailureKind, Phase};

/// The most of a proxy's answer to `CONNECT` that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long the page of a refusal is waited for.
const PAGE_WITHIN: Duration = Duration::from_millis(200);
/// Characters kept of such a page.
const PAGE_CHARS_MAX: usize = 120;

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
    let (line, headers, rest) = loop {
        if let Some((head, rest)) = head(&answer) {
            let text = String::from_utf8_lossy(&answer[..head]).into_owned();
            let (line, headers) = text.split_once('\n').unwrap_or((&text, ""));
            let (line, headers) = (line.trim_end().to_owned(), headers.to_owned());
            // What comes before the answer proper (100 Continue) is passed over.
            if status(&line).is_some_and(|status| (100..200).contains(&status)) {
                answer.drain(..rest);
                continue;
            }
            break (line, headers, answer.split_off(rest));
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
    let Some(status) = status(&line) else {
        return Err(refused(
            proxy,
            format_args!(
                "did not answer CONNECT with HTTP but with {:?}",
                one_line(&line, 80)
            ),
        ));
    };
    if !(200..300).contains(&status) {
        let page = page(stream, rest).await;
        return Err(no_tunnel(proxy, goal, status, &line, &headers, &page));
    }
    if !rest.is_empty() {
        return Err(refused(
            proxy,
            format_args!("sent data of its own into the tunnel to {goal}"),
        ));
    }
    Ok(())
}

/// Where a head ends, and where what follows it begins; also with bare line feeds.
fn head(answer: &[u8]) -> Option<(usize, usize)> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"];
    let found = ends.iter().filter_map(|end| {
        let at = answer.windows(end.len()).position(|w| w == *end)?;
        Some((at, at + end.len()))
    });
    found.min()
}

/// What a proxy says beside its refusal, as far as it comes at once.
async fn page(stream: &mut TcpStream, mut page: Vec<u8>) -> String {
    let more = async {
        while page.len() < ANSWER_BYTES_MAX {
            match stream.read_buf(&mut page).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
    };
    // The refusal is a refusal without it.
    let _ = tokio::time::timeout(PAGE_WITHIN, more).await;
    let text = String::from_utf8_lossy(&page);
    let words: Vec<&str> = without_tags(&text);
    one_line(&words.join(" "), PAGE_CHARS_MAX).trim().to_owned()
}

/// The words of a page without its tags, styles and scripts.
fn without_tags(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let (plain, tag) = rest.split_once('<').unwrap_or((rest, ""));
        words.extend(plain.split_whitespace());
        if tag.is_empty() {
            return words;
        }
        let hidden = ["style", "script", "title", "!--"].iter().find(|name| {
            tag.get(..name.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(name))
        });
        let end = match hidden {
            Some(&"!--") => "-->",
            Some(&"style") => "</style>",
            Some(&"script") => "</script>",
            _ => ">",
        };
        rest = tag.split_once(end).map_or("", |(_, after)| after);
    }
}

/// Why a proxy opened no tunnel: its own refusal, or what became of its way to the target.
fn no_tunnel(
    proxy: &Proxy,
    goal: &Goal,
    status: u16,
    line: &str,
    headers: &str,
    page: &str,
) -> Failure {
    let header = |wanted: &str| {
        let found = headers.lines().filter_map(|line| line.split_once(':'));
        let mut found = found.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| one_line(value.trim(), 100))
    };
    let reason = line.splitn(3, ' ').nth(2).unwrap_or_default().trim();
    let reason = one_line(reason, 80);
    let gap = if reason.is_empty() { "" } else { " " };
    let said = format!("{status}{gap}{reason}");
    let mut more = String::new();
    if matches!(status, 401 | 407) {
        let scheme = header("proxy-authenticate").or_else(|| header("www-authenticate"));
        let scheme = scheme.map_or_else(String::new, |scheme| format!(" ({scheme})"));
        more = match login(proxy) {
            Some(_) => format!(": it does not accept the login of this egress{scheme}"),
            None => format!(": it wants a login, and this egress has none{scheme}"),
        };
    }
    let error = header("x-squid-error").or_else(|| header("proxy-status"));
    if let Some(error) = &error {
        more = format!("{more}, {error}");
    }
    if !page.is_empty() {
        more = format!("{more}, {page:?}");
    }
    let name = name(proxy);
    let Some(kind) = about_target(status, error.as_deref().unwrap_or_default()) else {
        return refused(
            proxy,
            format_args!("refused CONNECT to {goal} with {said}{more}"),
        );
    };
    let message = format!("proxy {name} got no connection to {goal}, it says: {said}{more}");
    failure(Phase::Connect, kind, message)
}

/// Whether a proxy speaks of the target and not of us: by its own error codes, else by a gateway's status.
///
/// Squid's names are those of its error pages (<https://wiki.squid-cache.org/>), the others those of RFC 9209
/// section 2.3.
fn about_target(status: u16, error: &str) -> Option<FailureKind> {
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if says(&["ERR_DNS_FAIL", "dns_error", "dns_timeout"]) {
        return Some(FailureKind::NameServer);
    }
    let of_target = [
        "ERR_CONNECT_FAIL",
        "ERR_READ_TIMEOUT",
        "ERR_CANNOT_FORWARD",
        "ERR_ZERO_SIZE_OBJECT",
        "ERR_SECURE_CONNECT_FAIL",
        "connection_",
        "destination_",
    ];
    if says(&of_target) || (error.is_empty() && matches!(status, 502 | 504)) {
        return Some(FailureKind::Unreachable);
    }
    None
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
    if reply[0] != VERSION {
        return Err(refused(
            proxy,
            format_args!("answered in version {} of SOCKS, not 5", reply[0]),
        ));
    }
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
