//! Roots that are trusted besides or in place of this host's, as PEM.

use super::secrets;
use crate::config::Inputs;
use crate::config::collections::Many;
use crate::config::desk::{At, Desk, quote};

/// The texts of the files; what holds no certificate, or a key, is reported.
pub(super) fn pems(
    raw: Option<At<Many<String>>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Vec<String> {
    let mut pems = Vec::new();
    for path in raw.map(|r| r.value.0).unwrap_or_default() {
        match inputs.file(path.value.as_ref()) {
            Err(error) => desk.error(
                path.place,
                secrets::unreadable(&path.value, &error),
                "paths start at the directory of this file",
            ),
            Ok(pem) if pem.contains("PRIVATE KEY-----") => desk.error(
                path.place,
                format!("{} holds a private key", quote(&path.value)),
                "only certificates are needed here; remove the key from the file",
            ),
            Ok(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => desk.error(
                path.place,
                format!("{} holds no certificate", quote(&path.value)),
                "a PEM file begins with \"-----BEGIN CERTIFICATE-----\"",
            ),
            Ok(pem) => pems.push(pem),
        }
    }
    pems
}
