//! A run as a curl command that anybody can repeat; placeholders stand in place of secrets.

use std::fmt::Write as _;

use crate::domain::cell::{HttpOffer, ProxyKind, TlsRange, Way};
use crate::domain::incident::Specimen;
use crate::domain::plan::Plan;
use crate::domain::shown::is_unsafe;

/// The command, one option a line.
///
/// What only the plan knows (way out, timeout, pinned address) is taken from the plan of today.
#[must_use]
pub(super) fn command(plan: &Plan, run: &Specimen) -> String {
    let mut options: Vec<String> = vec!["-sS -i".to_owned()];
    match (run.method.as_str(), &run.request_body) {
        ("GET", None) | ("POST", Some(_)) => {}
        ("HEAD", None) => options.push("--head".to_owned()),
        (method, _) => options.push(format!("-X {}", quoted(method))),
    }
    options.extend(offers(plan, run));
    options.extend(way(plan, run));
    options.extend(place(plan, run));
    if let Some(probe) = plan.probe(&run.cell.probe) {
        let seconds = probe.timeout.as_secs().max(1);
        options.push(format!("--max-time {seconds}"));
        if let Some(address) = probe.connect_to {
            let address = if address.is_ipv6() {
                format!("[{address}]")
            } else {
                address.to_string()
            };
            options.push(format!("--connect-to {}", quoted(&format!("::{address}:"))));
        }
    }
    options.extend(headers(run));
    if let Some(body) = &run.request_body {
        options.push(format!("--data-raw {}", quoted(&printable(body))));
    }
    options.push(quoted(&run.url));
    let mut text = "curl".to_owned();
    for (index, option) in options.iter().enumerate() {
        let joint = if index == 0 { " " } else { " \\\n  " };
        let _ = write!(text, "{joint}{option}");
    }
    text
}

/// The versions of HTTP and TLS that the client offered; what was answered is no part of the request.
fn offers(plan: &Plan, run: &Specimen) -> Vec<String> {
    let tls = run.url.starts_with("https:");
    let Some(client) = plan.client(&run.cell.client) else {
        return Vec::new();
    };
    let http = match (client.http, tls) {
        (HttpOffer::Http1, _) | (HttpOffer::Either, false) => "--http1.1",
        (HttpOffer::Http2, false) => "--http2-prior-knowledge",
        (HttpOffer::Http2 | HttpOffer::Either, true) => "--http2",
    };
    let mut options = vec![http.to_owned()];
    if tls {
        let (min, max) = (client.tls.min, client.tls.max);
        if client.tls.min != TlsRange::default().min {
            options.push(format!("--tlsv{}", min.as_str()));
        }
        if client.tls.max != TlsRange::default().max {
            options.push(format!("--tls-max {}", max.as_str()));
        }
    }
    options
}

/// The address that was asked, where the name was resolved on our side: elsewhere it may lead to another place.
fn place(plan: &Plan, run: &Specimen) -> Option<String> {
    let pinned = plan
        .probe(&run.cell.probe)
        .is_some_and(|probe| probe.connect_to.is_some());
    let proxied = plan
        .egress(&run.cell.egress)
        .is_some_and(|egress| matches!(egress.way, Way::Proxy(_)));
    if pinned || proxied {
        return None;
    }
    let url = url::Url::parse(&run.url).ok()?;
    let (name, port) = (url.domain()?, url.port_or_known_default()?);
    let remote: std::net::SocketAddr = run.remote.as_ref()?.parse().ok()?;
    let address = match remote.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Some(format!(
        "--resolve {}",
        quoted(&format!("{name}:{port}:{address}"))
    ))
}

/// How the request left our host.
fn way(plan: &Plan, run: &Specimen) -> Option<String> {
    let egress = plan.egress(&run.cell.egress)?;
    match &egress.way {
        Way::Routes => None,
        Way::Address(address) => Some(format!("--interface {address}")),
        Way::Interface(name) => Some(format!("--interface {}", quoted(name))),
        Way::Proxy(proxy) => {
            let scheme = match proxy.kind {
                ProxyKind::HttpConnect => "http",
                ProxyKind::Socks5 => "socks5",
                ProxyKind::Socks5Hostname => "socks5h",
            };
            let user = proxy
                .username
                .as_ref()
                .map(|_| " --proxy-user '{{ proxy user:password }}'")
                .unwrap_or_default();
            let place = format!("{scheme}://{}:{}", proxy.host, proxy.port);
            Some(format!("--proxy {}{user}", quoted(&place)))
        }
    }
}

fn headers(run: &Specimen) -> Vec<String> {
    let of = |name: &str| {
        let mut all = run.request_headers.iter();
        all.find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    };
    let mut options = vec![match of("user-agent") {
        Some(agent) => format!("-A {}", quoted(agent)),
        // curl would send its own.
        None => "-H 'User-Agent:'".to_owned(),
    }];
    if of("accept").is_none() {
        options.push("-H 'Accept:'".to_owned());
    }
    for (name, value) in &run.request_headers {
        let by_curl = name.eq_ignore_ascii_case("accept") && value == "*/*";
        if by_curl || name.eq_ignore_ascii_case("user-agent") {
            continue;
        }
        // curl leaves out a header without a value unless it ends in a semicolon.
        let header = if value.is_empty() {
            format!("{name};")
        } else {
            format!("{name}: {value}")
        };
        options.push(format!("-H {}", quoted(&header)));
    }
    // curl would call any body a form.
    if run.request_body.is_some() && of("content-type").is_none() {
        options.push("-H 'Content-Type:'".to_owned());
    }
    options
}

/// One word of a POSIX shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Without control characters but line breaks and tabs, which terminals and mails could take for commands.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !is_unsafe(*c) || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn says_everything_that_the_request_had() {
        let night = fixture::march();
        let run = night.incident.failing.clone().unwrap();
        assert_eq!(
            command(&night.plan, &run),
            "curl -sS -i \\\n  --http1.1 \\\n  --interface 10.20.1.15 \\\n  --resolve 'webcache.gmc-uk.org:443:192.0.2.7' \\\n  --max-time 20 \\\n  \
             -A 'Java/1.8.0_275' \\\n  -H 'Content-Type: text/xml' \\\n  \
             --data-raw '<Username>{{ credential.username }}</Username><Password>{{ credential.password }}</Password>' \\\n  \
             'https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx'"
        );
    }

    #[test]
    fn what_curl_would_add_is_taken_away() {
        let night = fixture::march();
        let mut run = night.incident.failing.clone().unwrap();
        run.method = "PUT".to_owned();
        run.request_headers = vec![("X-It's".to_owned(), "a'b".to_owned())];
        run.http = Some("2".to_owned());
        run.cell.egress = "office".into();
        run.request_body = Some("@file \u{1b}[31m".to_owned());
        assert_eq!(
            command(&night.plan, &run),
            "curl -sS -i \\\n  -X 'PUT' \\\n  --http1.1 \\\n  --proxy 'socks5h://proxy.internal:1080' --proxy-user '{{ proxy user:password }}' \\\n  \
             --max-time 20 \\\n  -H 'User-Agent:' \\\n  -H 'Accept:' \\\n  -H 'X-It'\\''s: a'\\''b' \\\n  -H 'Content-Type:' \\\n  \
             --data-raw '@file [31m' \\\n  'https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx'"
        );
    }
    #[test]
    fn offers_what_the_client_offers_whatever_the_answer_was() {
        use crate::domain::cell::TlsVersion;
        let night = fixture::march();
        let mut run = night.incident.failing.clone().unwrap();
        // As a proxy writes it that answers in its own name.
        run.http = Some("1.0".to_owned());
        let mut plan = night.plan.clone();
        let client = plan
            .clients
            .iter_mut()
            .find(|client| client.name == run.cell.client)
            .unwrap();
        (client.http, client.tls.max) = (HttpOffer::Either, TlsVersion::V1_2);
        assert_eq!(offers(&plan, &run), ["--http2", "--tls-max 1.2"]);
        run.url = run.url.replace("https:", "http:");
        assert_eq!(offers(&plan, &run), ["--http1.1"]);
    }
}
