//! Other places that probe for a plan: their names, and where they meet the hub.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::subject::NATS;

/// The server where hub and agents meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nats {
    /// `tls://host:port`, or `nats://` on this very host.
    pub url: Url,
    /// The folder with our certificate and key; `None` only on this very host.
    pub identity: Option<PathBuf>,
}

impl Nats {
    /// # Errors
    /// What is wrong, and how to write it: it is no URL of NATS, it would be spoken to in the clear, or it asks who is
    /// there and we have nothing to say.
    pub fn new(url: &str, identity: Option<PathBuf>) -> Result<Self, (String, String)> {
        let parsed = Url::parse(url).ok();
        let known = |url: &Url| matches!(url.scheme(), "nats" | "tls") && url.has_host();
        let Some(url) = parsed.filter(known) else {
            return Err((
                format!("{url:?} is no URL of NATS"),
                "write \"tls://host:4222\"".to_owned(),
            ));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err((
                "a user name and password can't stand in the URL".to_owned(),
                "a certificate says who is there: `edgewatch hub init` makes it".to_owned(),
            ));
        }
        match (url.scheme(), &identity) {
            ("nats", _) if !is_local(&url) => Err((
                format!("{url} would be spoken to in the clear"),
                "write \"tls://\"".to_owned(),
            )),
            ("tls", None) => Err((
                format!("{url} asks who is there"),
                "name the folder that `edgewatch hub init` made as the identity".to_owned(),
            )),
            _ => Ok(Self { url, identity }),
        }
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // Of schemes that it does not know the parser leaves addresses as text.
        Some(Host::Domain(name)) => {
            let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// A site's name: so that it is one word of a subject and of a path.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn check_name(name: &str) -> Result<(), (String, &'static str)> {
    let fits = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        return Err((
            format!("{name:?} can't be the name of a site"),
            "write up to 32 small letters, digits and hyphens, like \"aws-london\"",
        ));
    }
    if matches!(name, "hub" | "server" | NATS) {
        return Err((
            format!("{name:?} has a meaning of its own"),
            "name the site differently",
        ));
    }
    Ok(())
}

/// How all sites are, as the hub knows it; kept for those who ask.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sites {
    pub at: Timestamp,
    /// Where they are met.
    pub nats: String,
    /// Since when we can't reach it; `None`: we can.
    pub unreachable_since: Option<Timestamp>,
    /// What is in the way, in a sentence.
    pub trouble: Option<String>,
    /// Messages that are stored there and not read yet.
    pub lag: u64,
    /// Messages that were gone before they were read, since the start.
    pub gone: u64,
    /// By name.
    pub sites: Vec<Facts>,
}

/// How a site is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub site: String,
    /// The machine's own name, and the version there; empty: it was never heard.
    pub host: String,
    pub version: String,
    /// Greeting or batch, whichever came later.
    pub last_heard_at: Option<Timestamp>,
    /// `None`: it is heard.
    pub silent_since: Option<Timestamp>,
    /// It said that it stops.
    pub leaving: bool,
    /// Cells that the plan has there.
    pub cells: u64,
    /// The plan that is meant for it, and the one in force there.
    pub generation_wanted: u64,
    pub generation: u64,
    /// Why it did not take the one that is meant for it.
    pub refused: Option<String>,
    /// What its cells lack there, in sentences.
    pub missing: Vec<String>,
    /// How far its clock is behind ours, and how far that may be off; times are corrected by it.
    pub offset_ms: Option<i64>,
    pub offset_error_ms: Option<u64>,
    pub spool_runs: u64,
    pub spool_bytes: u64,
    /// Runs that its spool had to drop.
    pub dropped_runs: u64,
    /// Batches that it stored and that never came, and those that came twice, since the hub's start.
    pub lost_batches: u64,
    pub doubled_batches: u64,
    /// Runs that came, and those of them that were history by then.
    pub runs: u64,
    pub late_runs: u64,
    /// Runs beyond the schedule that it was asked for, and those it took.
    pub asked: u64,
    pub taken: u64,
    /// When its certificate ends.
    pub certificate_until: Option<Timestamp>,
}

impl Facts {
    /// It is heard, works by its plan, and lacks nothing.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.last_heard_at.is_some()
            && self.silent_since.is_none()
            && self.generation == self.generation_wanted
            && self.missing.is_empty()
    }
}

impl Sites {
    /// What needs a person's care, one line each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.trouble.iter().cloned().collect();
        if let Some(since) = self.unreachable_since {
            lines.push(format!("{} can't be reached since {since}", self.nats));
            return lines;
        }
        for site in &self.sites {
            let name = &site.site;
            if let Some(since) = site.silent_since {
                lines.push(format!("site {name} is silent since {since}"));
            }
            if let Some(why) = &site.refused {
                let first = why.lines().next().unwrap_or_default();
                lines.push(format!("site {name} did not take its plan: {first}"));
            }
            lines.extend(
                site.missing
                    .iter()
                    .map(|lacks| format!("site {name}: {lacks}")),
            );
        }
        lines
    }
}

/// The name of the note that holds [`Sites`] in the store.
pub const NOTE: &str = "sites";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_in_the_clear_to_another_host() {
        let folder = || Some(PathBuf::from("/etc/edgewatch/hub"));
        for (url, identity, fault) in [
            ("nats://127.0.0.1:4222", None, None),
            ("nats://localhost:4222", None, None),
            ("nats://[::1]:4222", None, None),
            ("tls://nats.example:4222", folder(), None),
            (
                "nats://nats.example:4222",
                folder(),
                Some("nats://nats.example:4222 would be spoken to in the clear"),
            ),
            (
                "tls://nats.example",
                None,
                Some("tls://nats.example asks who is there"),
            ),
            (
                "https://nats.example",
                None,
                Some("\"https://nats.example\" is no URL of NATS"),
            ),
            (
                "tls://a:b@nats.example",
                folder(),
                Some("a user name and password can't stand in the URL"),
            ),
        ] {
            let said = Nats::new(url, identity).err().map(|(what, _)| what);
            assert_eq!(said.as_deref(), fault, "{url}");
        }
    }

    #[test]
    fn names_of_sites_are_one_word_of_a_subject() {
        for (name, fits) in [
            ("aws-london", true),
            ("a1", true),
            ("", false),
            ("AWS", false),
            ("a.b", false),
            ("a*", false),
            (">", false),
            ("hub", false),
            ("nats", false),
            ("a/../b", false),
            (&"x".repeat(33), false),
        ] {
            assert_eq!(check_name(name).is_ok(), fits, "{name:?}");
        }
    }
}
