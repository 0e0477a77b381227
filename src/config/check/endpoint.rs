//! Where a channel sends, and the secret it sends with.

use url::{Host, Url};

use super::secrets;
use crate::config::Inputs;
use crate::config::desk::{At, Desk};
use crate::config::special::Source;
use crate::domain::secret::Secret;

/// Fetches a channel's secret; a missing one is a warning, for the log then takes its messages.
///
/// `how` tells how to come by it; empty where that is said elsewhere.
pub(super) fn channel_secret(
    source: &At<Source>,
    how: &str,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Result<Secret, String> {
    secrets::fetch(&source.value, inputs).inspect_err(|reason| {
        let mut hint = "messages go to the log until it is there".to_owned();
        if !how.is_empty() {
            hint = format!("{hint}; {how}");
        }
        desk.warning(source.place, reason.clone(), hint);
    })
}

/// Of a channel's secret that can't be used: a warning, and the reason why the log takes its messages.
///
/// `holds` is what it holds in place of the right thing ("no URL"); `how` tells how to mend it.
pub(super) fn unusable(source: &At<Source>, holds: &str, how: &str, desk: &mut Desk<'_>) -> String {
    let reason = format!("what {} holds is {holds}", secrets::name(&source.value));
    desk.warning(
        source.place,
        reason.clone(),
        format!("messages go to the log until it is mended; {how}"),
    );
    reason
}

/// The base of an API without a trailing slash; `like` is one that is right.
pub(super) fn base(api: &At<String>, like: &str, desk: &mut Desk<'_>) -> Option<String> {
    let parsed = Url::parse(&api.value).ok().filter(|url| {
        url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    match parsed {
        Some(url) if url.scheme() == "https" || url.scheme() == "http" && is_local(&url) => {
            Some(api.value.trim_end_matches('/').to_owned())
        }
        Some(url) if url.scheme() == "http" => {
            desk.error(
                api.place,
                "the token would be sent in the clear",
                "use https",
            );
            None
        }
        _ => {
            desk.hide_at(api.place);
            desk.error(
                api.place,
                "is no base of an API",
                format!("write it like \"{like}\""),
            );
            None
        }
    }
}

/// Whether a URL stays on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
