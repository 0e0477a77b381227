//! Takes the cell's own secrets out of everything that came back from outside.
//!
//! A page that echoes the password, a redirect that carries it in its query, an error that quotes it:
//! none of it may reach an observation. [`crate::domain::secret::mask`] says what is left alone.

use bytes::Bytes;

use crate::domain::cell::{Credential, Proxy};
use crate::domain::secret::{Secret, mask};

/// The spellings of one credential's secrets.
#[derive(Debug, Clone, Default)]
pub(super) struct Masks {
    spellings: Vec<Secret>,
}

impl Masks {
    pub(super) fn add_credential(&mut self, credential: &Credential) {
        for secret in credential.fields.values() {
            self.add(secret);
        }
    }

    pub(super) fn add_proxy(&mut self, proxy: &Proxy) {
        if let Some(password) = &proxy.password {
            self.add(password);
        }
    }

    /// Adds a secret as it is, and as a query string or an XML text would spell it.
    fn add(&mut self, secret: &Secret) {
        let plain = secret.expose();
        let form: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let percent = form.replace('+', "%20");
        let xml = plain
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        // The longest first, so that no part of a longer spelling is left standing.
        for spelling in [percent, form, xml, plain.to_owned()] {
            let spelling = Secret::new(spelling);
            if !self.spellings.contains(&spelling) {
                self.spellings.push(spelling);
            }
        }
        self.spellings
            .sort_by_key(|s| std::cmp::Reverse(s.expose().len()));
    }

    pub(super) fn text(&self, text: &str) -> String {
        mask(text, &self.spellings)
    }

    /// Masks a body; bytes that are not UTF-8 are searched as they are.
    pub(super) fn bytes(&self, bytes: Bytes) -> Bytes {
        if self.spellings.is_empty() {
            return bytes;
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let shows = |s: &Secret| text.contains(s.expose());
            return if self.spellings.iter().any(shows) {
                Bytes::from(self.text(text))
            } else {
                bytes
            };
        }
        // ISO-8859-1 gives every byte a char of its own, so that the text goes there and back unharmed;
        // a secret that is not ASCII is looked for as its UTF-8 bytes.
        let widen = |bytes: &[u8]| bytes.iter().map(|&b| char::from(b)).collect::<String>();
        let text = widen(&bytes);
        let wide: Vec<Secret> = self
            .spellings
            .iter()
            .map(|s| Secret::new(widen(s.expose().as_bytes())))
            .collect();
        let narrowed = mask(&text, &wide).chars().map(|c| c as u8).collect();
        Bytes::from_owner::<Vec<u8>>(narrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(secret: &str) -> Masks {
        let mut masks = Masks::default();
        masks.add(&Secret::new(secret));
        masks
    }

    #[test]
    fn masks_every_spelling() {
        let masks = masks("p&ss wörd");
        let check = |text: &str, expected: &str| assert_eq!(masks.text(text), expected);
        check("as it is: p&ss wörd.", "as it is: [secret].");
        check("?p=p%26ss+w%C3%B6rd&x", "?p=[secret]&x");
        check("?p=p%26ss%20w%C3%B6rd&x", "?p=[secret]&x");
        check("<p>p&amp;ss wörd</p>", "<p>[secret]</p>");
    }

    #[test]
    fn masks_bodies_of_any_charset() {
        let masks = masks("hunter22");
        let check = |body: &'static [u8], expected: &[u8]| {
            assert_eq!(masks.bytes(Bytes::from_static(body)), expected);
        };
        check(b"you sent hunter22", b"you sent [secret]");
        check(b"\xe9t\xe9 hunter22 \xff", b"\xe9t\xe9 [secret] \xff");
        check(b"nothing \xe9", b"nothing \xe9");
    }
}
