//! Who is signed in to the pages: sessions, which a cookie tells and the store knows by their digest.
//!
//! Looking needs nobody. Who may act is whoever can write the store: a command leaves a secret there to sign in with.

use std::fmt::Write as _;

use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest as _, Sha256};

use super::Pages;
use crate::clock;

/// Where the session is kept; the prefix ties it to this origin, and to none of its siblings.
pub(super) const COOKIE_NAME: &str = "__Host-edgewatch";

tokio::task_local! {
    /// Who asks; `None`: nobody is signed in.
    static WHO: Option<Person>;
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) name: String,
    /// Digest of the session's secret.
    pub(super) session: String,
}

/// Who asks for the page that is being made.
pub(super) fn person() -> Option<Person> {
    WHO.try_with(Clone::clone).ok().flatten()
}

/// Makes an answer for somebody.
pub(super) async fn answered_for<T>(who: Option<Person>, made: impl Future<Output = T>) -> T {
    WHO.scope(who, made).await
}

/// Whose session a request brings; reading it changes nothing.
pub(super) async fn who(pages: &Pages, headers: &HeaderMap) -> Option<Person> {
    let cookies = headers.get_all(COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    let secret = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
    let session = digest(secret);
    let wanted = session.clone();
    let found = pages.read(move |reader| reader.signed_in(&wanted, clock::now()));
    let name = found.await.ok()??;
    Some(Person { name, session })
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(secret: &str) -> String {
    Sha256::digest(secret)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A secret that nobody guesses.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
