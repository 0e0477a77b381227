//! Certificates made in the test: an authority, and what it issues.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A root of our own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    /// What is sent behind it.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("Test Root")
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::until(name, 2120)
    }

    /// One that ends on the first of January.
    pub(crate) fn until(name: &str, to: i32) -> Self {
        Self::with_key(name, to, KeyPair::generate().unwrap())
    }

    pub(crate) fn with_rsa(name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        Self::with_key(name, 2120, key)
    }

    fn with_key(name: &str, to: i32, key: KeyPair) -> Self {
        let params = Self::params(name, to);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn params(name: &str, to: i32) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// The certificate by which another vouches for this one until the first of January of a year.
    pub(crate) fn crossed(&self, name: &str, by: &Self, to: i32) -> CertificateDer<'static> {
        let params = Self::params(name, to);
        let signed = params.signed_by(self.issuer.key(), &by.issuer).unwrap();
        signed.der().clone()
    }

    /// What a plan's `trust` takes.
    pub(crate) fn pem(&self) -> String {
        self.pem.clone()
    }

    /// Valid for these names or addresses from 2020 to 2120.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_between(names, 2020, 2120)
    }

    /// Valid from the first of January of one year to that of another.
    pub(crate) fn issue_between(&self, names: &[&str], from: i32, to: i32) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
            .distinguished_name
            .push(DnType::CommonName, "test leaf");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            chain: Vec::new(),
            key,
        }
    }
}

impl Identity {
    pub(crate) fn behind(mut self, chain: Vec<CertificateDer<'static>>) -> Self {
        self.chain = chain;
        self
    }

    /// One that signed itself and calls itself a CA, as `openssl req -x509` makes it.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            chain: Vec::new(),
            key,
        }
    }

    /// TLS 1.2 and 1.3; HTTP/2 and HTTP/1.1 by ALPN.
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        self.tls_with(rustls::ALL_VERSIONS, &["h2", "http/1.1"])
    }

    /// For clients that show a certificate of `authority`.
    pub(crate) fn tls_for_clients_of(
        &self,
        authority: &Authority,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }

    pub(crate) fn tls_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut chain = vec![self.certificate.clone()];
        chain.extend(self.chain.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
