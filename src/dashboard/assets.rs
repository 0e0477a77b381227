//! The few files that pages need, as they are in the program.
//!
//! Their names hold a digest of what is in them, so browsers keep them for good and a new program brings new ones.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use super::gate;

const STYLE: &str = include_str!("assets/style.css");
const LIVE: &str = include_str!("assets/live.js");
const WELL: &str = include_str!("assets/well.svg");
const ILL: &str = include_str!("assets/ill.svg");

static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let all = [STYLE, LIVE, WELL, ILL].into_iter();
    let whole = all.fold(Sha256::new(), Sha256::chain_update).finalize();
    whole.iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
});

/// Of all of them.
pub(super) fn digest() -> &'static str {
    &DIGEST
}

/// The path of one, below the pages' own.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}-{name}", digest())
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let known = name.strip_prefix(digest());
    let (kind, text) = match known.and_then(|name| name.strip_prefix('-')) {
        Some("style.css") => ("text/css; charset=utf-8", STYLE),
        Some("live.js") => ("text/javascript; charset=utf-8", LIVE),
        Some("well.svg") => ("image/svg+xml", WELL),
        Some("ill.svg") => ("image/svg+xml", ILL),
        _ => return gate::text(StatusCode::NOT_FOUND, "there is no such file\n"),
    };
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, keep);
    answer
}
