//! The cookies of one run: what a redirect sets is sent along on the hops after it, and forgotten with the run.
//!
//! Some gates set a cookie and redirect until it comes back; most HTTP libraries follow that, and a run that does
//! not would be our limit read as the partner's fault. The rules are those of RFC 6265 as far as a few hops need them.

use url::Url;

/// Cookies kept; the oldest go first.
const COOKIES_MAX: usize = 50;
/// Bytes of a name and its value; longer ones are not kept (RFC 6265 section 6.1 asks for 4096).
const COOKIE_BYTES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Jar(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    /// Hosts below `host` get it too.
    below: bool,
    path: String,
    secure: bool,
}

impl Jar {
    /// Takes what an answer from `url` sets in one `Set-Cookie`.
    pub(super) fn set(&mut self, url: &Url, text: &str) {
        let mut parts = text.split(';').map(str::trim);
        let pair = parts.next().unwrap_or_default();
        let Some((name, value)) = pair.split_once('=') else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        let plain = |c: char| c.is_ascii_graphic() || c == ' ';
        if name.is_empty() || pair.len() > COOKIE_BYTES_MAX || !pair.chars().all(plain) {
            return;
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host,
            below: false,
            path: folder(url.path()).to_owned(),
            secure: false,
        };
        let mut over = false;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                    if domain.is_empty() {
                        continue;
                    }
                    // Neither another's host nor all of `co.uk`.
                    if !is_below(&cookie.host, &domain) || psl::domain_str(&domain).is_none() {
                        if domain != cookie.host {
                            return;
                        }
                        continue;
                    }
                    cookie.host = domain;
                    cookie.below = true;
                }
                "path" if value.trim().starts_with('/') => {
                    value.trim().clone_into(&mut cookie.path);
                }
                "secure" => cookie.secure = true,
                "max-age" => over = value.trim().parse::<i64>().is_ok_and(|age| age <= 0),
                _ => {}
            }
        }
        self.0.retain(|known| {
            (&known.name, &known.host, &known.path) != (&cookie.name, &cookie.host, &cookie.path)
        });
        if !over {
            self.0.push(cookie);
        }
        let many = self.0.len().saturating_sub(COOKIES_MAX);
        self.0.drain(..many);
    }

    /// The value of `Cookie` for a request to `url`; `None`: no cookie is for it.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let host = url.host_str().unwrap_or_default();
        let fits = |cookie: &&Cookie| {
            (host == cookie.host || (cookie.below && is_below(host, &cookie.host)))
                && (!cookie.secure || url.scheme() == "https")
                && covers(&cookie.path, url.path())
        };
        let pairs: Vec<String> = self
            .0
            .iter()
            .filter(fits)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// Whether a name is `domain` or ends in it; an address never does.
fn is_below(host: &str, domain: &str) -> bool {
    let address = host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[');
    !address
        && host
            .strip_suffix(domain)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Whether a cookie of `path` goes to `asked` (RFC 6265 section 5.1.4).
fn covers(path: &str, asked: &str) -> bool {
    asked
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'))
}

/// The path without its last segment.
fn folder(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_where_it_belongs() {
        let check = |set: &str, to: &str, expected: Option<&str>| {
            let url = |text: &str| Url::parse(text).unwrap();
            let mut jar = Jar::default();
            jar.set(&url("https://api.gmc.co.uk/ws/start"), set);
            assert_eq!(jar.header(&url(to)).as_deref(), expected, "{set} {to}");
        };
        let sent = Some("gate=1");
        check("gate=1", "https://api.gmc.co.uk/ws/next", sent);
        check("gate=1; Path=/; HttpOnly", "https://api.gmc.co.uk/", sent);
        check("gate=1", "https://api.gmc.co.uk/", None);
        check("gate=1", "https://api.gmc.co.uk/wsx", None);
        check("gate=1; path=/", "https://www.gmc.co.uk/", None);
        check(
            "gate=1; path=/; Domain=.gmc.co.uk",
            "https://www.gmc.co.uk/",
            sent,
        );
        check(
            "gate=1; path=/; domain=co.uk",
            "https://www.gmc.co.uk/",
            None,
        );
        check(
            "gate=1; path=/; domain=other.example",
            "https://api.gmc.co.uk/",
            None,
        );
        check("gate=1; path=/", "http://api.gmc.co.uk/", sent);
        check("gate=1; path=/; Secure", "http://api.gmc.co.uk/", None);
        check("gate=1; Max-Age=0", "https://api.gmc.co.uk/ws/", None);
        check("gate", "https://api.gmc.co.uk/ws/", None);
        check("ga\u{1}te=1", "https://api.gmc.co.uk/ws/", None);
    }

    #[test]
    fn the_last_word_counts_and_there_are_not_many() {
        let url = Url::parse("http://127.0.0.1:8080/").unwrap();
        let mut jar = Jar::default();
        jar.set(&url, "a=1; domain=127.0.0.1");
        jar.set(&url, "b=2");
        jar.set(&url, "a=3");
        assert_eq!(jar.header(&url).as_deref(), Some("b=2; a=3"));
        for index in 0..60 {
            jar.set(&url, &format!("n{index}=1"));
        }
        let header = jar.header(&url).unwrap();
        assert!(header.starts_with("n10=1; n11=1"), "{header}");
        jar.set(&url, &format!("long={}", "x".repeat(COOKIE_BYTES_MAX)));
        assert_eq!(jar.header(&url), Some(header));
    }
}
