//! Paths from a server's certificate to the roots that a client trusts, and when each ends.
//!
//! A chain as sent may lead to several roots: an intermediate certificate that was signed twice leads to an old one and
//! to a new one. A TLS library says only whether one path holds now. Here each is looked for and its signatures are
//! checked, whatever the time, so that an end is known before it comes and named when it came. What the server did not
//! send and no client has is not looked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

use super::failure::one_line;
use crate::domain::der;
use crate::domain::observation::ChainPath;

/// Certificates of a chain that are looked at beside the leaf.
const SENT_MAX: usize = 16;
/// Signatures that are checked for one chain; a hostile one could ask for any number.
const CHECKS_MAX: usize = 40;
/// Paths that are kept of a chain.
const PATHS_MAX: usize = 8;
/// Chains whose paths are remembered: a host sends the same one for weeks, and to check its signatures costs more than all else
/// of a run.
const REMEMBERED_MAX: usize = 256;
/// Characters kept of a name.
const NAME_CHARS_MAX: usize = 100;

/// The roots that a client trusts, by their names.
#[derive(Debug)]
pub(super) struct Roots {
    by_name: HashMap<Vec<u8>, Vec<Root>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// By the digest of a chain; they hang on nothing else, and on no time.
    remembered: Mutex<VecDeque<([u8; 32], Vec<ChainPath>)>>,
}

#[derive(Debug)]
struct Root {
    name: String,
    key: Key,
    ends_at: Timestamp,
}

/// A public key: its kind as DER, and its bits.
#[derive(Debug)]
struct Key {
    kind: Vec<u8>,
    bits: Vec<u8>,
}

/// A certificate that was sent.
struct Link<'a> {
    certificate: X509Certificate<'a>,
    name: String,
    key: Option<Key>,
    ends_at: Timestamp,
    signed: Option<Signed<'a>>,
}

/// What a signature is over, its kind as DER, and itself.
struct Signed<'a> {
    text: &'a [u8],
    kind: &'a [u8],
    signature: &'a [u8],
}

impl Roots {
    /// Those that can be read; the others close no chain here.
    pub(super) fn new<'a>(
        roots: impl IntoIterator<Item = &'a CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut by_name: HashMap<Vec<u8>, Vec<Root>> = HashMap::new();
        for link in roots.into_iter().filter_map(Link::read) {
            let Some(key) = link.key else { continue };
            let subject = link.certificate.subject().as_raw().to_vec();
            by_name.entry(subject).or_default().push(Root {
                name: link.name,
                key,
                ends_at: link.ends_at,
            });
        }
        Self {
            by_name,
            algorithms,
            remembered: Mutex::default(),
        }
    }

    /// The paths of a chain as it was sent, the one that ends first in front.
    pub(super) fn paths(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
    ) -> Vec<ChainPath> {
        let chain = digest(leaf, sent);
        let remembered = || {
            self.remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((_, known)) = remembered().iter().find(|(known, _)| *known == chain) {
            return known.clone();
        }
        let found = self.looked_for(leaf, sent);
        let mut remembered = remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_front();
        }
        remembered.push_back((chain, found.clone()));
        found
    }

    fn looked_for(&self, leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>]) -> Vec<ChainPath> {
        let Some(leaf) = Link::read(leaf) else {
            return Vec::new();
        };
        let sent = sent.iter().take(SENT_MAX).filter_map(Link::read);
        let links: Vec<Link<'_>> = std::iter::once(leaf).chain(sent).collect();
        let mut walk = Walk {
            roots: self,
            links: &links,
            checks: CHECKS_MAX,
            found: Vec::new(),
        };
        walk.on(0, 1, None);
        let mut found = walk.found;
        found.sort_by(|one, other| (one.ends_at, &one.root).cmp(&(other.ends_at, &other.root)));
        found.dedup();
        found.truncate(PATHS_MAX);
        found
    }

    fn holds(&self, link: &Link<'_>, key: &Key) -> bool {
        let Some(signed) = &link.signed else {
            return false;
        };
        self.algorithms.all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == signed.kind
                && algorithm.public_key_alg_id().as_ref() == key.kind
                && algorithm
                    .verify_signature(&key.bits, signed.text, signed.signature)
                    .is_ok()
        })
    }
}

/// Of a chain as it was sent; lengths keep certificates apart.
fn digest(leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for certificate in std::iter::once(leaf).chain(sent.iter().take(SENT_MAX)) {
        digest.update((certificate.len() as u64).to_le_bytes());
        digest.update(certificate.as_ref());
    }
    digest.finalize().into()
}

/// The first of the sent certificates, the leaf left out, that has ended; its name and when.
pub(super) fn ended(sent: &[CertificateDer<'_>], now: Timestamp) -> Option<(String, Timestamp)> {
    let links = sent.iter().take(SENT_MAX).filter_map(Link::read);
    let ended = links.filter(|link| link.ends_at <= now);
    ended
        .min_by_key(|link| link.ends_at)
        .map(|link| (link.name, link.ends_at))
}

/// The search: no certificate stands twice in a path.
struct Walk<'a> {
    roots: &'a Roots,
    links: &'a [Link<'a>],
    checks: usize,
    found: Vec<ChainPath>,
}

impl<'a> Walk<'a> {
    /// Goes on from a certificate; `seen` has a bit for each of the path, `first` is what ends first above the leaf.
    fn on(&mut self, at: usize, seen: u32, first: Option<&'a Link<'a>>) {
        let (links, roots) = (self.links, self.roots);
        let link = &links[at];
        let issuer = link.certificate.issuer().as_raw();
        for root in roots.by_name.get(issuer).into_iter().flatten() {
            if !self.may_check() || !roots.holds(link, &root.key) {
                continue;
            }
            let (by, ends_at) = match first.filter(|first| first.ends_at < root.ends_at) {
                Some(first) => (&first.name, first.ends_at),
                None => (&root.name, root.ends_at),
            };
            self.found.push(ChainPath {
                root: root.name.clone(),
                by: by.clone(),
                ends_at,
            });
        }
        for (place, next) in links.iter().enumerate().skip(1) {
            let fits = seen & (1 << place) == 0
                && next.certificate.subject().as_raw() == issuer
                // A root that was sent along closes nothing: the client has it or not.
                && next.certificate.issuer().as_raw() != issuer
                && next.certificate.is_ca();
            let Some(key) = next.key.as_ref().filter(|_| fits) else {
                continue;
            };
            if self.may_check() && roots.holds(link, key) {
                let first = first.filter(|first| first.ends_at <= next.ends_at);
                self.on(place, seen | 1 << place, first.or(Some(next)));
            }
        }
    }

    fn may_check(&mut self) -> bool {
        self.checks = self.checks.saturating_sub(1);
        self.checks > 0
    }
}

impl<'a> Link<'a> {
    fn read(bytes: &'a CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(bytes).ok()?;
        let ends_at = certificate.validity().not_after.timestamp();
        Some(Self {
            name: name(certificate.subject()),
            key: Key::read(certificate.public_key().raw),
            ends_at: Timestamp::from_second(ends_at).ok()?,
            signed: Signed::read(bytes),
            certificate,
        })
    }
}

impl Key {
    fn read(key: &[u8]) -> Option<Self> {
        let (key, _) = der::read(key)?;
        // The first byte of a bit string counts bits that are none.
        let bits = key.part(1)?.content.get(1..)?;
        Some(Self {
            kind: key.part(0)?.content.to_vec(),
            bits: bits.to_vec(),
        })
    }
}

impl<'a> Signed<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = der::read(certificate)?;
        Some(Self {
            text: certificate.part(0)?.whole,
            kind: certificate.part(1)?.content,
            signature: certificate.part(2)?.content.get(1..)?,
        })
    }
}

/// The common name, or all of a name that has none.
fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    match common.and_then(|common| common.as_str().ok()) {
        Some(common) => one_line(common, NAME_CHARS_MAX),
        None => one_line(&name.to_string(), NAME_CHARS_MAX),
    }
}
