//! How edgewatch itself is watched: where it listens, and which dead-man's switch it feeds.

use std::time::Duration;

use url::Url;

use super::endpoint::is_local;
use super::secrets;
use crate::config::Inputs;
use crate::config::collections::Form;
use crate::config::desk::{At, Desk};
use crate::config::leaf::SocketText;
use crate::config::raw;
use crate::domain::plan::{Heartbeat, Listen};
use crate::domain::secret::Secret;

/// Between two heartbeats when the file does not say.
const EVERY: Duration = Duration::from_secs(60);

/// Refuses an address that other hosts reach, unless that was asked for.
pub(super) fn listen(
    raw: At<Form<SocketText, raw::Listen>>,
    desk: &mut Desk<'_>,
) -> Option<Listen> {
    let (address, place, exposed) = match raw.value {
        Form::Short(address) => (address.0, raw.place, false),
        Form::Full(full) => {
            let address = full.address?;
            let exposed = full.exposed.is_some_and(|flag| flag.value.0);
            (address.value.0, address.place, exposed)
        }
    };
    if !exposed && !address.ip().is_loopback() {
        desk.error(
            place,
            format!("other hosts can reach {address}, and there is no password"),
            format!("listen on 127.0.0.1, or write {{ address: \"{address}\", exposed: true }} if that is meant"),
        );
        return None;
    }
    Some(Listen { address, exposed })
}

/// A URL that is not there is a warning: probing matters more than telling that we probe.
pub(super) fn heartbeat(
    raw: raw::Heartbeat,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Heartbeat> {
    let every = raw.every.map_or(EVERY, |every| every.value.0);
    let source = raw.url?;
    let place = source.place;
    let text = match secrets::fetch(&source.value, inputs) {
        Ok(text) => text,
        Err(reason) => {
            desk.warning(
                place,
                reason.clone(),
                "no heartbeat is sent until it is there",
            );
            return Some(Heartbeat {
                url: Err(reason),
                every,
            });
        }
    };
    let text = text.expose().trim();
    let known = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let Some(url) = Url::parse(text).ok().filter(known) else {
        let reason = format!("what {} holds is no URL", secrets::name(&source.value));
        desk.warning(
            place,
            reason.clone(),
            "no heartbeat is sent until it is mended; copy the ping URL that the dead-man's switch shows",
        );
        return Some(Heartbeat {
            url: Err(reason),
            every,
        });
    };
    if url.scheme() == "http" && !is_local(&url) {
        desk.warning(
            place,
            "the heartbeat is sent in the clear",
            "who reads the URL on the way can keep the switch quiet; use https",
        );
    }
    Some(Heartbeat {
        url: Ok(Secret::new(text)),
        every,
    })
}
