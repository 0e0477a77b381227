//! Connects to NATS with the identity of a site or of the hub; says in a sentence what is in the way.
//!
//! Who signs in is told by a client certificate alone. Without one only a server on this very host is taken, and over
//! plain TCP: for trying it out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::domain::site::Nats;

/// Servers before this one lose what they acknowledged: compare-and-set is only a pre-check there, and files are not
/// synced at once (<https://github.com/nats-io/nats-server/issues/4320>).
const SERVER_MIN: (u32, u32) = (2, 12);

/// A link that says nothing for three of these is dead.
const PING: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// For one try.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files of an identity, in its folder.
pub const CA: &str = "ca.pem";
pub const CERTIFICATE: &str = "certificate.pem";
pub const KEY: &str = "key.pem";

/// Whether the link is up, as it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub up: bool,
    /// What the server said last of what was not allowed.
    pub refused: Option<String>,
}

/// A link that comes up by itself, again and again.
#[derive(Debug, Clone)]
pub struct Link {
    pub client: Client,
    pub state: watch::Receiver<State>,
}

/// The files of an identity, read.
#[derive(Debug)]
pub struct Identity {
    config: rustls::ClientConfig,
    /// When the certificate ends, seconds since 1970.
    pub until_s: i64,
}

impl Identity {
    /// Reads it from its folder.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = |name: &str| folder.join(name);
        let broken = |name: &str, e: &dyn std::fmt::Display| {
            format!(
                "can't use {}: {e}; `edgewatch hub init` makes it",
                path(name).display()
            )
        };
        let text = |name: &str| std::fs::read(path(name)).map_err(|e| broken(name, &e));
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&text(CA)?) {
            let root = root.map_err(|e| broken(CA, &e))?;
            roots.add(root).map_err(|e| broken(CA, &e))?;
        }
        let pem = text(CERTIFICATE)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|e| broken(CERTIFICATE, &e))?;
        let until_s = chain
            .first()
            .and_then(|first| x509_parser::parse_x509_certificate(first).ok())
            .map(|(_, read)| read.validity().not_after.timestamp());
        let until_s = until_s.ok_or_else(|| broken(CERTIFICATE, &"it holds no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&text(KEY)?).map_err(|e| broken(KEY, &e))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|e| broken(KEY, &e))?;
        Ok(Self { config, until_s })
    }
}

/// Begins to connect and returns at once: the link comes up when the server can be reached.
///
/// `name` is shown by the server; answers come below `inbox`.
///
/// # Errors
/// A sentence when the identity can't be used.
pub async fn begin(
    server: &Nats,
    identity: Option<&Identity>,
    name: &str,
    inbox: &str,
) -> Result<Link, String> {
    let (state, seen) = watch::channel(State::default());
    let mut options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(inbox)
        .ping_interval(PING)
        .connection_timeout(PATIENCE)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| {
            let wait = Duration::from_millis(50).saturating_mul(1 << tries.min(7));
            wait.min(RETRY_MAX)
        })
        .ignore_discovered_servers()
        .event_callback(move |event| {
            let state = state.clone();
            async move {
                match event {
                    Event::Connected => {
                        state.send_modify(|state| {
                            *state = State {
                                up: true,
                                refused: None,
                            }
                        });
                    }
                    Event::Disconnected | Event::Closed => {
                        state.send_modify(|state| state.up = false);
                    }
                    Event::ServerError(error) => {
                        let said = error.to_string();
                        // It is tried again and again: once is enough to say it.
                        state.send_if_modified(|state| {
                            let new = state.refused.as_deref() != Some(&said);
                            if new {
                                tracing::warn!("NATS refuses something: {said}");
                                state.refused = Some(said);
                            }
                            new
                        });
                    }
                    _ => {}
                }
            }
        });
    if let Some(identity) = identity {
        options = options
            .tls_client_config(identity.config.clone())
            .require_tls(true);
    }
    let client = options
        .connect(server.url.as_str())
        .await
        .map_err(|e| format!("can't connect to {}: {e}", server.url))?;
    Ok(Link {
        client,
        state: seen,
    })
}

impl Link {
    /// Waits until the link is up, and looks at the server.
    ///
    /// # Errors
    /// A sentence when the server is too old, or has no `JetStream`.
    pub async fn up(&mut self) -> Result<(), String> {
        // The sender lives as long as the client.
        let _ = self.state.wait_for(|state| state.up).await;
        recent(&self.client.server_info().version)
    }

    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state.borrow().up
    }
}

/// Refuses a server that is too old.
fn recent(version: &str) -> Result<(), String> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let found = (parts.next().flatten(), parts.next().flatten());
    match found {
        (Some(major), Some(minor)) if (major, minor) >= SERVER_MIN => Ok(()),
        _ => Err(format!(
            "nats-server {version} is too old: it may lose what it acknowledged; upgrade it to {}.{} or later",
            SERVER_MIN.0, SERVER_MIN.1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused_in_a_sentence() {
        for (version, taken) in [
            ("2.12.0", true),
            ("2.15.1", true),
            ("3.0.0-beta", true),
            ("2.11.9", false),
            ("2.9.10", false),
            ("", false),
        ] {
            assert_eq!(recent(version).is_ok(), taken, "{version}");
        }
        assert_eq!(
            recent("2.9.10").unwrap_err(),
            "nats-server 2.9.10 is too old: it may lose what it acknowledged; upgrade it to 2.12 or later"
        );
    }
}
