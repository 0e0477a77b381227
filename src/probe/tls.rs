//! TLS: one configuration for each kind of client, and the certificate whatever becomes of it.
//!
//! A refused certificate is the most telling one, so the verifier notes what it was shown before it
//! judges. Resumption is off: a resumed handshake shows no certificate.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    ProtocolVersion, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::body::sha256;
use super::failure::{
    about_certificate, alert_name, failure, from_io, local, one_line, wants_certificate,
};
use super::paths::{self, Roots};
use super::progress::Progress;
use crate::domain::cell::{Client, Group, HttpOffer, TlsRange, TlsVersion};
use crate::domain::hello::{self, Hello};
use crate::domain::observation::{Certificate, ChainPath, Failure, FailureKind, Phase, TlsFacts};
use crate::domain::sent::Greeting;

/// What our side leaves out, said wherever a server finds nothing to agree on.
const OUR_SUITES: &str = "it can be a limit of ours: edgewatch offers AES-GCM and ChaCha20, no CBC and no RSA key \
                          exchange (`openssl s_client` would tell)";
/// Bits of the shortest RSA key that is checked (`RSA_PKCS1_2048_8192` of aws-lc-rs).
const RSA_BITS_MIN: usize = 2048;
/// Names kept of a certificate; some list hundreds.
const NAMES_MAX: usize = 50;
/// Characters kept of a subject, an issuer and a name.
const NAME_CHARS_MAX: usize = 300;

/// The configurations, one for each TLS range, HTTP offer and set of roots that a client has.
pub(super) struct Tls {
    /// Of this host's roots and those of the file, and then of the roots that clients have of their own.
    verifiers: Vec<(Option<Arc<str>>, Arc<Noting>)>,
    provider: Arc<CryptoProvider>,
    /// A handful at most, so a list will do.
    configs: Vec<Prepared>,
}

/// What clients of one TLS range, HTTP offer and set of roots share.
#[derive(Clone)]
struct Prepared {
    range: TlsRange,
    offer: HttpOffer,
    trust: Option<Arc<str>>,
    config: Arc<ClientConfig>,
    /// JA4 of the hello to a named host, and to an address, which is not named in it. rustls shuffles its
    /// extensions, JA4 sorts them: so it is the same each time.
    ja4: [Arc<str>; 2],
    /// Its size to a host without a name.
    greeting: Greeting,
}

fn kx_group(group: Group) -> &'static dyn SupportedKxGroup {
    use rustls::crypto::aws_lc_rs::kx_group;
    match group {
        Group::X25519MlKem768 => kx_group::X25519MLKEM768,
        Group::X25519 => kx_group::X25519,
        Group::P256 => kx_group::SECP256R1,
        Group::P384 => kx_group::SECP384R1,
    }
}

impl Tls {
    /// Trusts the roots of the system and those in the PEM texts.
    ///
    /// # Errors
    /// A sentence on what is wrong with the PEM texts or the roots.
    pub(super) fn new(trust: &[String]) -> Result<Self, String> {
        // A store with some unreadable files is still a store; what matters is whether any root is left.
        let mut roots = rustls_native_certs::load_native_certs().certs;
        for (index, pem) in trust.iter().enumerate() {
            let wrong = |why: String| format!("trust[{index}]: {why}");
            roots.extend(certificates(pem).map_err(wrong)?);
        }
        // Passed explicitly, so that it does not matter whether a default was installed in time.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Noting::new(&roots, false, &provider)?;
        Ok(Self {
            verifiers: vec![(None, Arc::new(verifier))],
            provider,
            configs: Vec::new(),
        })
    }

    /// Makes the configuration of a client ready.
    pub(super) fn prepare(&mut self, client: &Client) -> Result<(), String> {
        if self.config(client).is_some() {
            return Ok(());
        }
        let verifier = self.verifier(client)?;
        let versions = versions(client.tls);
        // A client of one version lists no suite of the other; rustls would.
        let mut provider = CryptoProvider::clone(&self.provider);
        let spoken = |suite: &SupportedCipherSuite| versions.contains(&suite.version());
        provider.cipher_suites.retain(spoken);
        let groups = client.tls.groups.iter().flatten();
        let groups: Vec<_> = groups.map(|group| kx_group(*group)).collect();
        if !groups.is_empty() {
            provider.kx_groups = groups;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .map_err(|e| format!("client {}: {e}", client.name))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(NoCertificate));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = match client.http {
            HttpOffer::Http1 => vec![b"http/1.1".to_vec()],
            HttpOffer::Http2 => vec![b"h2".to_vec()],
            HttpOffer::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let config = Arc::new(config);
        let address = ServerName::from(IpAddr::from([192, 0, 2, 1]));
        let name = ServerName::try_from("partner.example").map_err(|e| e.to_string())?;
        let [named, addressed] = [greet(&config, name)?, greet(&config, address)?];
        let ja4 = [Arc::from(named.ja4()), Arc::from(addressed.ja4())];
        self.configs.push(Prepared {
            range: client.tls,
            offer: client.http,
            trust: client.trust.clone(),
            config,
            ja4,
            greeting: Greeting::of(&addressed),
        });
        Ok(())
    }

    fn config(&self, client: &Client) -> Option<&Prepared> {
        self.configs.iter().find(|known| {
            (known.range, known.offer) == (client.tls, client.http) && known.trust == client.trust
        })
    }

    /// Who judges certificates for a client.
    fn verifier(&mut self, client: &Client) -> Result<Arc<Noting>, String> {
        let mut known = self.verifiers.iter();
        if let Some((_, verifier)) = known.find(|(trust, _)| *trust == client.trust) {
            return Ok(verifier.clone());
        }
        let pem = client.trust.as_deref().unwrap_or_default();
        let made = certificates(pem).and_then(|roots| Noting::new(&roots, true, &self.provider));
        let made = made.map_err(|why| format!("clients.{}.trust: {why}", client.name))?;
        let verifier = Arc::new(made);
        self.verifiers
            .push((client.trust.clone(), verifier.clone()));
        Ok(verifier)
    }

    /// Does the handshake with `host`, as `client`; notes the facts in `now`.
    pub(super) async fn handshake(
        &self,
        client: &Client,
        host: &Host<&str>,
        stream: TcpStream,
        now: &mut Progress,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let Some(prepared) = self.config(client) else {
            return Err(local(Phase::Tls, "this client has no TLS configuration"));
        };
        let [named, addressed] = &prepared.ja4;
        let ja4 = match host {
            Host::Domain(_) => named,
            Host::Ipv4(_) | Host::Ipv6(_) => addressed,
        };
        // The extension with the name: its own head, that of the list and of the entry, and the name.
        let named = match host {
            Host::Domain(name) => 9 + name.trim_end_matches('.').len(),
            Host::Ipv4(_) | Host::Ipv6(_) => 0,
        };
        now.sent().ja4 = Some(ja4.to_string());
        now.sent().greeting = Some(Greeting {
            bytes: prepared.greeting.bytes + named,
            ..prepared.greeting.clone()
        });
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| {
                    let message = format!("{name} is not a name that a certificate could hold");
                    local(Phase::Tls, message)
                })?,
            Host::Ipv4(ip) => ServerName::from(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => ServerName::from(IpAddr::V6(*ip)),
        };
        let connector = TlsConnector::from(prepared.config.clone());
        let handshake = async {
            let outcome = connector.connect(name, stream).await;
            (outcome, SHOWN.with(RefCell::take))
        };
        let (outcome, shown) = SHOWN.scope(RefCell::default(), handshake).await;
        let certificate = shown.leaf.as_ref().and_then(summary);
        now.meter.lock().asked_for_certificate = shown.asked_for_certificate;
        match outcome {
            Ok(stream) => {
                let connection = stream.get_ref().1;
                now.tls = Some(TlsFacts {
                    version: match connection.protocol_version() {
                        Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::V1_2),
                        Some(ProtocolVersion::TLSv1_3) => Some(TlsVersion::V1_3),
                        _ => None,
                    },
                    alpn: connection
                        .alpn_protocol()
                        .map(|p| String::from_utf8_lossy(p).into_owned()),
                    cipher: connection
                        .negotiated_cipher_suite()
                        .and_then(|s| s.suite().as_str())
                        .map(str::to_owned),
                    certificate,
                    paths: shown.paths,
                });
                Ok(stream)
            }
            Err(error) => {
                let told = explain(
                    &error,
                    client,
                    host,
                    &shown,
                    certificate.as_ref(),
                    &now.peer,
                );
                now.tls = certificate.map(|certificate| TlsFacts {
                    version: None,
                    alpn: None,
                    cipher: None,
                    certificate: Some(certificate),
                    paths: shown.paths,
                });
                Err(told)
            }
        }
    }
}

fn versions(range: TlsRange) -> &'static [&'static SupportedProtocolVersion] {
    use rustls::version::{TLS12, TLS13};
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (range.min, range.max) {
        (TlsVersion::V1_2, TlsVersion::V1_2) => &ONLY_12,
        (TlsVersion::V1_2, TlsVersion::V1_3) => &BOTH,
        (TlsVersion::V1_3, _) => &ONLY_13,
    }
}

/// The hello that a configuration makes.
fn greet(config: &Arc<ClientConfig>, name: ServerName<'static>) -> Result<Hello, String> {
    let mut wire = Vec::new();
    ClientConnection::new(config.clone(), name)
        .map_err(|e| e.to_string())?
        .write_tls(&mut wire)
        .map_err(|e| e.to_string())?;
    match hello::read(&wire) {
        hello::Read::Hello(hello) => Ok(hello),
        hello::Read::More | hello::Read::Not => Err("our own TLS hello can't be read".to_owned()),
    }
}

tokio::task_local! {
    /// What the server showed in the handshake that this task is in.
    static SHOWN: RefCell<Shown>;
}

#[derive(Debug, Default)]
struct Shown {
    leaf: Option<CertificateDer<'static>>,
    paths: Vec<ChainPath>,
    /// A certificate that was sent to vouch for the leaf and has ended.
    ended: Option<(String, Timestamp)>,
    /// When it was judged.
    at: Option<Timestamp>,
    /// It wants to see a certificate of ours.
    asked_for_certificate: bool,
}

/// Has no certificate of the client, and notes that one was asked for.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let _ = SHOWN.try_with(|shown| shown.borrow_mut().asked_for_certificate = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Verifies as webpki does, and notes the leaf and its paths first.
///
/// The configurations are shared by all runs, so the note goes to the task that polls the handshake.
#[derive(Debug)]
struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    roots: Roots,
    /// They are those of a client, and judged as most of its kind do: a path has ended when its root has, at which webpki
    /// does not look.
    is_clients: bool,
}

impl Noting {
    fn new(
        roots: &[CertificateDer<'static>],
        is_clients: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        if store.is_empty() {
            // Their ends are not known, so neither are those of paths.
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let inner = WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone());
        Ok(Self {
            inner: inner
                .build()
                .map_err(|e| format!("no certificate can be verified: {e}"))?,
            roots: Roots::new(roots, provider.signature_verification_algorithms),
            is_clients,
        })
    }
}

/// The certificates of a PEM text, each of which can be a root.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e: &dyn std::fmt::Display| e.to_string();
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = read.map_err(|e| wrong(&e))?;
    if found.is_empty() {
        return Err("no certificate in the PEM text".to_owned());
    }
    for root in &found {
        webpki_anchor(root).map_err(|e| wrong(&e))?;
    }
    Ok(found)
}

fn webpki_anchor(root: &CertificateDer<'static>) -> Result<(), rustls::Error> {
    RootCertStore::empty().add(root.clone())
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Fails outside a run's task only, and there is none to note it for.
        let paths = self.roots.paths(end_entity, intermediates);
        let at = i64::try_from(now.as_secs()).ok();
        let at = at.and_then(|at| Timestamp::from_second(at).ok());
        let all_ended = !paths.is_empty() && at.is_some_and(|at| ChainPath::all_ended(&paths, at));
        let _ = SHOWN.try_with(|shown| {
            let mut shown = shown.borrow_mut();
            shown.leaf = Some(end_entity.clone().into_owned());
            shown.ended = at.and_then(|at| paths::ended(intermediates, at));
            (shown.paths, shown.at) = (paths, at);
        });
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if self.is_clients && all_ended {
            return Err(CertificateError::Expired.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What a person wants to know of a certificate; `None` when it can't be read.
fn summary(der: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(alternative_name)
            .take(NAMES_MAX)
            .collect(),
        _ => Vec::new(),
    };
    let validity = certificate.validity();
    Some(Certificate {
        subject: one_line(&certificate.subject().to_string(), NAME_CHARS_MAX),
        issuer: one_line(&certificate.issuer().to_string(), NAME_CHARS_MAX),
        names,
        not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        sha256: sha256(der),
    })
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(one_line(name, NAME_CHARS_MAX)),
        GeneralName::IPAddress(bytes) => {
            let ip = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

/// Why a handshake failed: its kind, and in words.
fn explain(
    error: &std::io::Error,
    client: &Client,
    host: &Host<&str>,
    shown: &Shown,
    certificate: Option<&Certificate>,
    peer: &str,
) -> Failure {
    use AlertDescription as Alert;
    use rustls::Error;
    let fail = |kind, message: &str| failure(Phase::Tls, kind, format!("{peer} {message}"));
    let offered = if client.tls.min == client.tls.max {
        client.tls.min.as_str().to_owned()
    } else {
        format!("{} to {}", client.tls.min.as_str(), client.tls.max.as_str())
    };
    let asked = if shown.asked_for_certificate {
        ", after it had asked for a certificate of the client, of which edgewatch has none"
    } else {
        ""
    };
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(inner) = inner else {
        let told = from_io(Phase::Tls, peer, error);
        let message = format!("{} during the TLS handshake{asked}", told.message);
        return failure(Phase::Tls, told.kind, message);
    };
    match inner {
        Error::InvalidCertificate(why) => {
            let (kind, reason) = of_path(why, client, host, shown, certificate)
                .unwrap_or_else(|| refusal(why, host, shown, certificate));
            failure(Phase::Tls, kind, format!("{peer}: {reason}"))
        }
        Error::AlertReceived(Alert::NoApplicationProtocol) => fail(
            FailureKind::HttpVersion,
            match client.http {
                HttpOffer::Http2 => "does not speak HTTP/2 (TLS alert no_application_protocol)",
                HttpOffer::Http1 => "does not speak HTTP/1.1 (TLS alert no_application_protocol)",
                HttpOffer::Either => {
                    "speaks neither HTTP/2 nor HTTP/1.1 (TLS alert no_application_protocol)"
                }
            },
        ),
        Error::AlertReceived(Alert::ProtocolVersion) => fail(
            FailureKind::TlsVersion,
            &format!("does not speak TLS {offered} (TLS alert protocol_version)"),
        ),
        Error::AlertReceived(alert)
            if *alert == Alert::CertificateRequired
                || (shown.asked_for_certificate && about_certificate(*alert)) =>
        {
            fail(
                FailureKind::ClientCertificate,
                &wants_certificate(&alert_name(*alert)),
            )
        }
        Error::AlertReceived(alert @ (Alert::HandshakeFailure | Alert::InsufficientSecurity)) => {
            fail(
                FailureKind::TlsCipher,
                &format!(
                    "found nothing to agree on in the TLS handshake (TLS alert {}); {OUR_SUITES}",
                    alert_name(*alert)
                ),
            )
        }
        Error::AlertReceived(Alert::UnrecognisedName) => fail(
            FailureKind::Handshake,
            &format!("does not serve the name {host} (TLS alert unrecognized_name)"),
        ),
        Error::AlertReceived(alert) => fail(
            FailureKind::Handshake,
            &format!(
                "ended the TLS handshake with alert {}{asked}",
                alert_name(*alert)
            ),
        ),
        Error::PeerIncompatible(why) => fail(
            FailureKind::TlsCipher,
            &format!(
                "and this client, which offers TLS {offered}, have no TLS in common ({why:?}); {OUR_SUITES}"
            ),
        ),
        Error::InvalidMessage(_) => fail(
            FailureKind::NotTls,
            "did not answer the TLS handshake with TLS",
        ),
        other => fail(
            FailureKind::Handshake,
            &format!(
                "broke the TLS handshake: {}",
                one_line(&other.to_string(), 200)
            ),
        ),
    }
}

/// That the paths of a good certificate have ended; `None` where it was refused for itself.
fn of_path(
    why: &CertificateError,
    client: &Client,
    host: &Host<&str>,
    shown: &Shown,
    certificate: Option<&Certificate>,
) -> Option<(FailureKind, String)> {
    use CertificateError as E;
    let (at, leaf) = (shown.at?, certificate?);
    let of_name = matches!(why, E::NotValidForName | E::NotValidForNameContext { .. });
    if of_name || at < leaf.not_before || leaf.not_after <= at {
        return None;
    }
    let whose = if client.trust.is_some() {
        format!("client {}", client.name)
    } else {
        "this host".to_owned()
    };
    let good = format!("certificate for {host} is good until {}", leaf.not_after);
    let paths = &shown.paths;
    let said = match (paths.as_slice(), &shown.ended) {
        ([_, ..], _) if ChainPath::all_ended(paths, at) => {
            let each: Vec<String> = paths.iter().map(|path| path.end(at)).collect();
            let one_root = paths.iter().all(|path| path.by == path.root);
            let root = if one_root && client.trust.is_some() {
                "; it is the root's own end, at which not every TLS library looks"
            } else {
                ""
            };
            format!(
                "{good}; its path to {}, and {whose} trusts no root of another{root}",
                each.join(", that to ")
            )
        }
        ([], Some((name, end))) if matches!(why, E::Expired | E::ExpiredContext { .. }) => format!(
            "{good}; the intermediate certificate `{name}` that was sent with it ended at {}",
            end.strftime("%Y-%m-%d %H:%M UTC")
        ),
        _ => return None,
    };
    Some((FailureKind::CertificatePath, said))
}

/// Why a certificate was refused.
fn refusal(
    why: &CertificateError,
    host: &Host<&str>,
    shown: &Shown,
    certificate: Option<&Certificate>,
) -> (FailureKind, String) {
    let Some(seen) = certificate else {
        let why = one_line(&why.to_string(), 200);
        let message = format!("certificate for {host} is not valid: {why}");
        return (FailureKind::Certificate, message);
    };
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = match seen.names.as_slice() {
                [] => format!(
                    "no name at all (no subject alternative name; the common name in {:?} no longer counts)",
                    seen.subject
                ),
                [first, second, third, rest @ ..] if !rest.is_empty() => {
                    format!("{first}, {second}, {third} and others")
                }
                all => all.join(", "),
            };
            let message = format!("certificate is for {names}, not for {host}");
            (FailureKind::CertificateName, message)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let message = format!("certificate for {host} expired at {}", seen.not_after);
            (FailureKind::CertificateExpired, message)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let message = format!(
                "certificate for {host} is not valid before {}",
                seen.not_before
            );
            (FailureKind::Certificate, message)
        }
        CertificateError::UnknownIssuer if seen.issuer == seen.subject => {
            let message = format!("certificate is self-signed ({:?})", seen.subject);
            (FailureKind::CertificateIssuer, message)
        }
        CertificateError::UnknownIssuer => {
            let message = format!(
                "certificate for {host} has an unknown issuer ({:?}): no trusted root vouches for it, \
                 or an intermediate certificate is missing",
                seen.issuer
            );
            (FailureKind::CertificateIssuer, message)
        }
        CertificateError::Revoked => {
            let message = format!("certificate for {host} is revoked");
            (FailureKind::Certificate, message)
        }
        other => {
            if let Some(bits) = shown.leaf.as_ref().and_then(short_rsa) {
                let message = format!(
                    "certificate for {host} has an RSA key of {bits} bits: edgewatch checks none under \
                     {RSA_BITS_MIN}, a limit of ours; other clients may take it (`openssl s_client` would tell)"
                );
                return (FailureKind::CertificateUnread, message);
            }
            // One that signed itself is a CA's own to most libraries, which is refused before its issuer is looked for.
            if seen.issuer == seen.subject {
                let message = format!("certificate is self-signed ({:?})", seen.subject);
                return (FailureKind::CertificateIssuer, message);
            }
            let why = match other {
                CertificateError::Other(why) => why.to_string(),
                other => other.to_string(),
            };
            let message = format!(
                "certificate for {host} is not valid: {}",
                one_line(&why, 200)
            );
            (FailureKind::Certificate, message)
        }
    }
}

/// The bits of an RSA key that our TLS library is too strict for.
fn short_rsa(leaf: &CertificateDer<'static>) -> Option<usize> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()).filter(|bits| *bits < RSA_BITS_MIN),
        _ => None,
    }
}
