//! Values that must never be printed: tokens, passwords, webhook URLs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

/// A text that prints as `[secret]`, whatever asks for it.
///
/// The bytes are wiped from memory when the last copy is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends it to whom it belongs.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The key that it holds in base64, perhaps behind `whsec_`; `None` when it does not.
    ///
    /// 24 to 64 bytes, as Standard Webhooks asks
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, 2026-11-22).
    #[must_use]
    pub fn signing_key(&self) -> Option<Vec<u8>> {
        let text = self.expose().trim();
        let text = text.strip_prefix("whsec_").unwrap_or(text);
        let key = STANDARD.decode(text).ok()?;
        (24..=64).contains(&key.len()).then_some(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Two secrets are equal when their texts are; needed to tell whether a reload changed one.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Replaces every occurrence of the secrets in `text` by `[secret]`.
///
/// Used on what comes back from outside (a page that echoes the password, an error that quotes the
/// URL) before it is kept or shown. Secrets shorter than four characters are left, because they would
/// blot out ordinary words. Longer ones go first, so that no tail of one that begins like another stays.
#[must_use]
pub fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut found: Vec<&str> = secrets
        .iter()
        .map(Secret::expose)
        .filter(|secret| secret.len() >= 4 && text.contains(secret))
        .collect();
    found.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut masked = text.to_owned();
    for secret in found {
        masked = masked.replace(secret, "[secret]");
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_itself() {
        let secret = Secret::new("hunter22");
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
    }

    #[test]
    fn a_secret_that_begins_like_another_leaves_no_tail() {
        let secrets = [Secret::new("hunter"), Secret::new("hunter-2021")];
        assert_eq!(
            mask("x hunter-2021 hunter", &secrets),
            "x [secret] [secret]"
        );
    }

    #[test]
    fn a_signing_key_is_base64_of_at_least_24_bytes() {
        for (text, bytes) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(24)),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(24)),
            (" MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", Some(24)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=", None),
            ("correct horse battery staple", None),
            ("whsec_", None),
        ] {
            let key = Secret::new(text).signing_key();
            assert_eq!(key.map(|key| key.len()), bytes, "{text}");
        }
    }

    #[test]
    fn masks_every_occurrence() {
        let secrets = [Secret::new("hunter22"), Secret::new("ab")];
        assert_eq!(
            mask("ab hunter22 hunter22", &secrets),
            "ab [secret] [secret]"
        );
    }
}
