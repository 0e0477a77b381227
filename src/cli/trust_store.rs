//! Reads the certificates of a trust store as runtimes keep it: a JVM's `cacerts`, PKCS #12, JKS, or PEM.
//!
//! Only certificates are taken, of keys nothing is read. A store's own digest is not checked: whoever could write
//! another root into it could write the digest too.

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::domain::der::{self, Value};

/// Bytes of a store; a JVM's has some 200 KB.
const STORE_MAX: u64 = 16 * 1024 * 1024;
/// Certificates of a store; a JVM's has some 150.
const CERTIFICATES_MAX: usize = 2000;
/// Rounds of key derivation; common are 2,048 to 10,000, and a file may say any number.
const ROUNDS_MAX: u32 = 1_000_000;
/// What a JVM's own store is sealed with, where it is sealed at all.
pub(super) const USUAL_PASSWORD: &str = "changeit";

/// The certificates as PEM, and what kind of store it was.
#[derive(Debug)]
pub(super) struct TrustStore {
    pub(super) kind: &'static str,
    pub(super) pem: String,
    pub(super) count: usize,
}

/// Reads a store; `password` is only needed where certificates are sealed.
///
/// # Errors
/// A sentence on what is in the way, and what to do.
pub(super) fn read(path: &Path, password: &str) -> Result<TrustStore, String> {
    use std::io::Read as _;
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("can't read {shown}: {e}"))?;
    let mut bytes = Vec::new();
    file.take(STORE_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("can't read {shown}: {e}"))?;
    let found = certificates(&bytes, password).map_err(|why| format!("{shown}: {why}"))?;
    let (kind, found) = found;
    if found.is_empty() {
        return Err(format!("{shown}: {kind} without any certificate"));
    }
    Ok(TrustStore {
        kind,
        count: found.len(),
        pem: found.iter().map(|der| pem(der)).collect(),
    })
}

fn certificates(bytes: &[u8], password: &str) -> Result<(&'static str, Vec<Vec<u8>>), String> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Ok(("JKS", jks(bytes)?)),
        [0xce, 0xce, 0xce, 0xce, ..] => Ok(("JCEKS", jks(bytes)?)),
        [0x30, ..] => Ok(("PKCS #12", pkcs12(bytes, password)?)),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err("is neither JKS nor PKCS #12 nor PEM".to_owned());
            }
            let read = CertificateDer::pem_slice_iter(bytes).take(CERTIFICATES_MAX);
            let read: Result<Vec<_>, _> = read.collect();
            let read = read.map_err(|e| e.to_string())?;
            Ok(("PEM", read.iter().map(|der| der.to_vec()).collect()))
        }
    }
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// A reader of Java's `DataOutputStream`.
struct Stream<'a>(&'a [u8]);

impl<'a> Stream<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte)),
        )
    }

    /// A text, or a blob, with its length before it.
    fn counted(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }

    fn certificate(&mut self, version: usize) -> Option<&'a [u8]> {
        if version >= 2 {
            self.counted(2)?;
        }
        self.counted(4)
    }
}

/// `sun.security.provider.JavaKeyStore`: magic, version, entries; certificates lie open.
fn jks(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    const KEY: usize = 1;
    const CERTIFICATE: usize = 2;
    let mut stream = Stream(bytes);
    let mut read = || {
        stream.take(4)?;
        let version = stream.number(4)?;
        let entries = stream.number(4)?;
        let mut found = Vec::new();
        for _ in 0..entries.min(CERTIFICATES_MAX) {
            let kind = stream.number(4)?;
            stream.counted(2)?;
            stream.take(8)?;
            match kind {
                KEY => {
                    stream.counted(4)?;
                    for _ in 0..stream.number(4)?.min(CERTIFICATES_MAX) {
                        stream.certificate(version)?;
                    }
                }
                CERTIFICATE => found.push(stream.certificate(version)?.to_vec()),
                _ => return None,
            }
        }
        Some(found)
    };
    read().ok_or_else(|| "breaks off, or holds entries that are no certificates".to_owned())
}

/// Object identifiers as they stand in DER.
mod oid {
    pub(super) const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    pub(super) const ENCRYPTED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
    pub(super) const CERTIFICATE_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x03";
    pub(super) const X509: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01";
    pub(super) const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
    pub(super) const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
    pub(super) const HMAC_SHA1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x07";
    pub(super) const HMAC_SHA256: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x09";
    pub(super) const HMAC_SHA512: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x0b";
    pub(super) const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
    pub(super) const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
}

const BROKEN: &str = "is no PKCS #12 that can be read";

/// RFC 7292, as Java and OpenSSL write it: DER, certificates open or sealed by PBES2 with AES.
fn pkcs12(bytes: &[u8], password: &str) -> Result<Vec<Vec<u8>>, String> {
    let safe = || {
        let (pfx, _) = der::read(bytes)?;
        let content = pfx.part(1)?;
        (content.part(0)?.content == oid::DATA).then_some(())?;
        der::read(content.part(1)?.part(0)?.content)
    };
    let (safe, _) = safe().ok_or(BROKEN)?;
    let mut found = Vec::new();
    for content in safe.parts() {
        let kind = content.part(0).ok_or(BROKEN)?.content;
        let inner = content.part(1).and_then(|inner| inner.part(0));
        let inner = inner.ok_or(BROKEN)?;
        match kind {
            oid::DATA => bags(inner.content, &mut found),
            oid::ENCRYPTED => bags(&opened(inner, password)?, &mut found),
            _ => {}
        }
    }
    Ok(found)
}

fn bags(contents: &[u8], found: &mut Vec<Vec<u8>>) {
    let Some((contents, _)) = der::read(contents) else {
        return;
    };
    let certificate = |bag: Value<'_>| {
        (bag.part(0)?.content == oid::CERTIFICATE_BAG).then_some(())?;
        let held = bag.part(1)?.part(0)?;
        (held.part(0)?.content == oid::X509).then_some(())?;
        Some(held.part(1)?.part(0)?.content.to_vec())
    };
    let room = CERTIFICATES_MAX.saturating_sub(found.len());
    found.extend(contents.parts().filter_map(certificate).take(room));
}

/// `EncryptedData`, RFC 5652 section 8, sealed by PBES2, RFC 8018.
fn opened(data: Value<'_>, password: &str) -> Result<Vec<u8>, String> {
    let sealed = data.part(1).ok_or(BROKEN)?;
    let scheme = sealed.part(1).ok_or(BROKEN)?;
    let name = scheme.part(0).ok_or(BROKEN)?.content;
    if name != oid::PBES2 {
        return Err(
            "its certificates are sealed in an old way (RC2 or 3DES); give it as PEM: `keytool -list -rfc -keystore FILE`"
                .to_owned(),
        );
    }
    let text = sealed.part(2).ok_or(BROKEN)?;
    // One text, or pieces of it.
    let text = if text.tag & 0x20 == 0 {
        text.content.to_vec()
    } else {
        text.parts()
            .flat_map(|part| part.content.to_vec())
            .collect()
    };
    let parameters = scheme.part(1).ok_or(BROKEN)?;
    unseal(parameters, text, password).ok_or_else(|| {
        "its certificates are sealed, and this password does not open them; name the variable that holds it: --password-env NAME"
            .to_owned()
    })
}

fn unseal(parameters: Value<'_>, mut text: Vec<u8>, password: &str) -> Option<Vec<u8>> {
    let (derivation, cipher) = (parameters.part(0)?, parameters.part(1)?);
    (derivation.part(0)?.content == oid::PBKDF2).then_some(())?;
    let derivation = derivation.part(1)?;
    let salt = derivation.part(0)?.content;
    let rounds = derivation.part(1)?.content;
    let rounds = rounds
        .iter()
        .take(5)
        .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let rounds = u32::try_from(rounds).ok().filter(|n| *n <= ROUNDS_MAX)?;
    let function = derivation.parts().skip(2).find(|part| part.tag == 0x30);
    let function = match function {
        Some(function) => function.part(0)?.content,
        None => oid::HMAC_SHA1,
    };
    let function = match function {
        oid::HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
        oid::HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
        oid::HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return None,
    };
    let (algorithm, length) = match cipher.part(0)?.content {
        oid::AES_128_CBC => (&AES_128, 16),
        oid::AES_256_CBC => (&AES_256, 32),
        _ => return None,
    };
    let start: [u8; 16] = cipher.part(1)?.content.try_into().ok()?;
    let mut key = vec![0; length];
    let rounds = NonZeroU32::new(rounds)?;
    pbkdf2::derive(function, rounds, salt, password.as_bytes(), &mut key);
    let key = UnboundCipherKey::new(algorithm, &key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let start = DecryptionContext::Iv128(FixedLength::from(start));
    let open = key.decrypt(&mut text, start).ok()?;
    Some(open.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    /// A key store of Java with a key and a certificate, as `keytool` writes it.
    fn java(version: u32, certificate: &[u8]) -> Vec<u8> {
        let mut store = [0xfe, 0xed, 0xfe, 0xed].to_vec();
        let number = |store: &mut Vec<u8>, n: usize| store.extend((n as u32).to_be_bytes());
        number(&mut store, version as usize);
        number(&mut store, 2);
        let named = |store: &mut Vec<u8>, kind: usize, name: &str| {
            number(store, kind);
            store.extend((name.len() as u16).to_be_bytes());
            store.extend(name.as_bytes());
            store.extend([0; 8]);
        };
        let certificate = |store: &mut Vec<u8>| {
            if version == 2 {
                store.extend([0, 5]);
                store.extend(b"X.509");
            }
            number(store, certificate.len());
            store.extend(certificate);
        };
        named(&mut store, 1, "own");
        number(&mut store, 3);
        store.extend([1, 2, 3]);
        number(&mut store, 1);
        certificate(&mut store);
        named(&mut store, 2, "root");
        certificate(&mut store);
        store.extend([0; 20]);
        store
    }

    #[test]
    fn a_store_of_java_is_read_without_its_password() {
        let certificate = made();
        for version in [1, 2] {
            let store = java(version, &certificate);
            let (kind, found) = certificates(&store, "").unwrap();
            assert_eq!((kind, found), ("JKS", vec![certificate.clone()]));
            for end in [4, 9, 30, store.len() - 40] {
                assert!(jks(&store[..end]).is_err(), "cut at {end}");
            }
        }
    }

    /// One root, as keytool 17 and OpenSSL 3 store it; `old.p12` is sealed as by OpenSSL 1.
    #[test]
    fn stores_of_real_tools_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trust-stores");
        let root = read(&folder.join("root.pem"), "").unwrap();
        let check = |name: &str, password: &str, expected: Result<&str, &str>| {
            let found = read(&folder.join(name), password);
            match (found, expected) {
                (Ok(store), Ok(kind)) => {
                    assert_eq!((store.kind, store.count), (kind, 1), "{name}");
                    assert_eq!(store.pem, root.pem, "{name}");
                }
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{name}: {why}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        };
        check("java.jks", "", Ok("JKS"));
        check("java.p12", USUAL_PASSWORD, Ok("PKCS #12"));
        check("java-open.p12", "", Ok("PKCS #12"));
        check("openssl.p12", "other-word", Ok("PKCS #12"));
        check("openssl.p12", USUAL_PASSWORD, Err("--password-env NAME"));
        check("old.p12", USUAL_PASSWORD, Err("sealed in an old way"));
        check("none.p12", "", Err("can't read"));
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for (bytes, expected) in [
            (&b"junk"[..], "is neither JKS nor PKCS #12 nor PEM"),
            (&b"\x30\x03\x02\x01\x03"[..], BROKEN),
        ] {
            assert_eq!(certificates(bytes, "").unwrap_err(), expected);
        }
    }
}
