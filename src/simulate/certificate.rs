//! Certificates made at run time: a root to trust, an issuer with any name, a leaf for the edge.

use std::sync::Arc;

use jiff::{Span, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the edge's certificate says; changing it is what a move behind a CDN looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Names and addresses it is valid for.
    pub names: Vec<String>,
    /// Organisation of the intermediate that signs it.
    pub issuer: String,
    /// It is valid to the beginning (UTC) of the day so many days from now; not positive: it has expired.
    pub days: i64,
}

impl Default for Certificate {
    fn default() -> Self {
        Self {
            names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            issuer: "Simulated Certificates".into(),
            days: 90,
        }
    }
}

/// The root that signs all certificates of one edge.
pub(super) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    http2: bool,
}

impl Authority {
    /// `http2`: offered by ALPN before HTTP/1.1.
    pub(super) fn new(http2: bool) -> Result<Self, String> {
        let root = signing("Simulated Root", None)?;
        Ok(Self { root, http2 })
    }

    /// The root as PEM, for clients that shall trust it.
    pub(super) fn pem(&self) -> String {
        self.root.pem()
    }

    /// A server configuration with a fresh leaf.
    pub(super) fn issue(
        &self,
        wanted: &Certificate,
        now: Timestamp,
    ) -> Result<Arc<ServerConfig>, String> {
        let issuer = signing(&wanted.issuer, Some(&self.root))?;
        let key = KeyPair::generate().map_err(|e| e.to_string())?;
        let mut leaf = CertificateParams::new(wanted.names.clone()).map_err(|e| e.to_string())?;
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        let name = wanted.names.first().map_or("localhost", String::as_str);
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (year, month, day_of) = day(now, wanted.days)?;
        leaf.not_after = rcgen::date_time_ymd(year, month, day_of);
        let (year, month, day_of) = day(now, wanted.days.min(0).saturating_sub(90))?;
        leaf.not_before = rcgen::date_time_ymd(year, month, day_of);
        let leaf = leaf.signed_by(&key, &issuer).map_err(|e| e.to_string())?;
        let chain = vec![leaf.der().clone(), issuer.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Named here: a process that has not chosen a provider may start an edge too.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| e.to_string())?;
        config.alpn_protocols = if self.http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok(Arc::new(config))
    }
}

/// A certificate that may sign others, itself signed by `by` or by itself.
fn signing(
    organisation: &str,
    by: Option<&CertifiedIssuer<'static, KeyPair>>,
) -> Result<CertifiedIssuer<'static, KeyPair>, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{organisation} CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(|e| e.to_string())?;
    let made = match by {
        Some(by) => CertifiedIssuer::signed_by(params, key, by),
        None => CertifiedIssuer::self_signed(params, key),
    };
    made.map_err(|e| e.to_string())
}

/// Year, month and day `days` after `now`, UTC: rcgen takes whole days.
fn day(now: Timestamp, days: i64) -> Result<(i32, u8, u8), String> {
    let date = now.to_zoned(TimeZone::UTC).date();
    let span = Span::new().try_days(days).map_err(|e| e.to_string())?;
    let date = date.checked_add(span).map_err(|e| e.to_string())?;
    Ok((
        i32::from(date.year()),
        date.month().unsigned_abs(),
        date.day().unsigned_abs(),
    ))
}
