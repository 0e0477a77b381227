//! Where the pages for people are served, and under which names.
//!
//! They have no password, so they stay on this host: whoever lets others in puts a proxy in front that asks who they are.

use super::super::collections::Form;
use super::super::desk::{At, Desk, quote};
use super::super::leaf::Word;
use super::super::raw;
use super::super::special::Off;
use crate::domain::plan::Web;

/// A path of a proxy, and a name of DNS, have no more.
const PATH_MAX: usize = 200;
const NAME_MAX: usize = 253;

/// `None` where they are switched off, and where what the file says can't be.
pub(super) fn web(raw: Form<Word<Off>, raw::Web>, desk: &mut Desk<'_>) -> Option<Web> {
    let Form::Full(raw) = raw else { return None };
    let mut web = Web::default();
    if let Some(listen) = raw.listen {
        let address = listen.value.0;
        if !address.ip().is_loopback() {
            desk.error(
                listen.place,
                format!("other hosts can reach {address}, and the pages have no password"),
                "listen on 127.0.0.1, and let a proxy on this host ask who comes; it asks for the pages by a name of \"names\"",
            );
        }
        web.address = address;
    }
    for name in raw.names.map(|many| many.value.0).unwrap_or_default() {
        web.names.extend(host_name(&name, desk));
    }
    if let Some(path) = raw.path {
        web.path = below(&path, desk)?;
    }
    Some(web)
}

/// A name as browsers send it in `Host`, without a port.
fn host_name(name: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = name.value.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= NAME_MAX && text.split('.').all(label) {
        return Some(text);
    }
    desk.error(
        name.place,
        format!("{} is no name of a host", quote(&name.value)),
        "write it as it stands in the address of the page, without http:// and without a port",
    );
    None
}

fn below(path: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = path.value.trim_end_matches('/');
    let segment = |s: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        !s.is_empty() && s != "." && s != ".." && s.bytes().all(plain)
    };
    let rest = text.strip_prefix('/');
    let sound = rest.is_some_and(|rest| rest.split('/').all(segment));
    if text.is_empty() || (sound && text.len() <= PATH_MAX) {
        return Some(text.to_owned());
    }
    desk.error(
        path.place,
        format!("{} is no path", quote(&path.value)),
        "begin with \"/\", and use letters, digits, \"-\", \"_\", \".\" and \"~\" between slashes",
    );
    None
}
