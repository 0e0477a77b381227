//! Who may do what at the server: certificates, and a `nats.conf` with the least rights that each one needs.
//!
//! An agent may publish for its own site and read its own plan, and nothing else: it gets no right on streams or
//! consumers at all, because whoever may make a consumer may have any stream read out to itself.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::connect::{CA, CERTIFICATE, KEY};
use crate::domain::site::check_name;
use crate::wire::subjects;

/// What `edgewatch hub init` makes.
#[derive(Debug, Clone)]
pub struct Init<'a> {
    /// Name of the server, as everybody reaches it.
    pub host: &'a str,
    pub sites: &'a [String],
    /// Where all of it goes; made when it is not there.
    pub folder: &'a Path,
    /// Bytes that observations may take on the server's disk.
    pub stream_bytes: u64,
}

/// Certificates end after so many days.
const DAYS: i64 = 365;
/// The key that signs all others; it stays where it was made.
const CA_KEY: &str = "ca-key.pem";
const CONF: &str = "nats.conf";
/// Where the server is, for whoever has this identity.
pub const URL: &str = "url";
const PORT: u16 = 4222;
/// Who the hub is at the server.
const HUB: &str = "hub";

fn user(name: &str) -> String {
    format!("{name}.sites.edgewatch")
}

/// Makes a certificate authority (or goes on with the one that is there), an identity for the hub and each site, and the
/// configuration of the server; returns what was made new, for people.
///
/// What is there already stays as it is, so a site can be added by naming it with the others.
///
/// # Errors
/// A sentence: a site's name can't be one, or a file can't be written.
pub fn init(wanted: &Init<'_>, now: Timestamp) -> Result<Vec<String>, String> {
    for site in wanted.sites {
        check_name(site).map_err(|(what, how)| format!("{what}; {how}"))?;
    }
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let folder = wanted.folder;
    make_folder(folder)?;
    let mut made = Vec::new();
    let authority = authority(folder, today, &mut made)?;
    let server = folder.join("server");
    let name = |name: &str| [name.to_owned()];
    identity(
        &server,
        &authority,
        &name(wanted.host),
        ExtendedKeyUsagePurpose::ServerAuth,
        today,
        &mut made,
    )?;
    for who in std::iter::once(HUB).chain(wanted.sites.iter().map(String::as_str)) {
        let folder = folder.join(who);
        make_folder(&folder)?;
        let url = format!("tls://{}:{PORT}\n", wanted.host);
        write(&folder.join(URL), &url, 0o644)?;
        identity(
            &folder,
            &authority,
            &name(&user(who)),
            ExtendedKeyUsagePurpose::ClientAuth,
            today,
            &mut made,
        )?;
    }
    let conf = folder.join(CONF);
    let sites = known_sites(folder)?;
    write(
        &conf,
        &nats_conf(folder, &sites, wanted.stream_bytes),
        0o600,
    )?;
    made.push(format!(
        "{} (rights of the hub and of: {})",
        conf.display(),
        sites.join(", ")
    ));
    Ok(made)
}

/// Every site that has an identity here, those of earlier calls included.
fn known_sites(folder: &Path) -> Result<Vec<String>, String> {
    let read = fs::read_dir(folder).map_err(|e| format!("can't read {}: {e}", folder.display()))?;
    let mut sites: Vec<String> = read
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            (entry.path().join(CERTIFICATE).exists() && check_name(&name).is_ok()).then_some(name)
        })
        .collect();
    sites.sort();
    Ok(sites)
}

fn authority(
    folder: &Path,
    today: Date,
    made: &mut Vec<String>,
) -> Result<(String, Issuer<'static, KeyPair>), String> {
    let (pem, key) = (folder.join(CA), folder.join(CA_KEY));
    let say = |e: rcgen::Error| format!("can't make certificates: {e}");
    if let (Ok(text), Ok(key_text)) = (fs::read_to_string(&pem), fs::read_to_string(&key)) {
        let pair = KeyPair::from_pem(&key_text)
            .map_err(|e| format!("can't use {}: {e}", key.display()))?;
        return Ok((
            text,
            Issuer::new(authority_params(today).map_err(say)?, pair),
        ));
    }
    let pair = KeyPair::generate().map_err(say)?;
    let params = authority_params(today).map_err(say)?;
    let text = params.self_signed(&pair).map_err(say)?.pem();
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&pem, &text, 0o644)?;
    made.push(format!(
        "{} and {} (who has this key can sign in as anybody: keep it here)",
        pem.display(),
        key.display()
    ));
    Ok((text, Issuer::new(params, pair)))
}

fn authority_params(today: Date) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "edgewatch");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, today, 10 * DAYS);
    Ok(params)
}

/// From yesterday, because clocks differ.
fn valid(params: &mut CertificateParams, today: Date, days: i64) {
    let day = |date: Date| date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(days.days()));
}

fn identity(
    folder: &Path,
    (ca, issuer): &(String, Issuer<'static, KeyPair>),
    names: &[String],
    purpose: ExtendedKeyUsagePurpose,
    today: Date,
    made: &mut Vec<String>,
) -> Result<(), String> {
    if folder.join(CERTIFICATE).exists() {
        return Ok(());
    }
    let say = |e: rcgen::Error| format!("can't make a certificate for {}: {e}", names.join(", "));
    let key = KeyPair::generate().map_err(say)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(say)?;
    params.distinguished_name = DistinguishedName::new();
    params.extended_key_usages = vec![purpose];
    valid(&mut params, today, DAYS);
    let certificate = params.signed_by(&key, issuer).map_err(say)?;
    make_folder(folder)?;
    write(&folder.join(CA), ca, 0o644)?;
    write(&folder.join(KEY), &key.serialize_pem(), 0o600)?;
    // Last, because it says that the folder is whole.
    write(&folder.join(CERTIFICATE), &certificate.pem(), 0o644)?;
    made.push(format!("{}/ ({})", folder.display(), names.join(", ")));
    Ok(())
}

fn make_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| format!("can't make {}: {e}", folder.display()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let say = |e: std::io::Error| format!("can't write {}: {e}", path.display());
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(say)?;
    file.write_all(text.as_bytes()).map_err(say)
}

/// The server's configuration: TLS for both ends, rights, limits, and no acknowledgement before it is on the disk.
fn nats_conf(folder: &Path, sites: &[String], stream_bytes: u64) -> String {
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let server = absolute.join("server");
    let mut users = String::new();
    for site in sites {
        let list = |subjects: &[String]| {
            let each = subjects.iter().map(|subject| format!("\"{subject}\""));
            each.collect::<Vec<_>>().join(", ")
        };
        let publish = list(&[
            format!("ew.obs.{site}.>"),
            subjects::greeting(site),
            subjects::own_plan(site),
        ]);
        let subscribe = list(&[
            format!("{}.>", subjects::inbox(site)),
            subjects::ask(site),
            subjects::note(site),
        ]);
        let _ = write!(
            users,
            "    {{ user: \"{user}\"
      permissions: {{
        publish: {{ allow: [{publish}] }}
        subscribe: {{ allow: [{subscribe}] }}
        allow_responses: {{ max: 1, expires: \"10s\" }} }} }}\n",
            user = user(site)
        );
    }
    format!(
        "# Made by `edgewatch hub init`, which writes it anew when a site is added. Reload: nats-server --signal reload
listen: \"0.0.0.0:{PORT}\"
server_name: edgewatch
max_payload: 1MB
max_connections: {connections}
jetstream {{
  store_dir: {store}
  max_file_store: {file}
  # What is acknowledged is on the disk: without this, two minutes of it are not.
  sync_interval: always
}}
tls {{
  cert_file: {certificate}
  key_file: {key}
  ca_file: {ca}
  # The certificate says who it is.
  verify_and_map: true
  timeout: 5
}}
authorization {{
  users: [
    {{ user: \"{hub}\" }}
{users}  ]
}}
",
        connections = 2 * sites.len() + 8,
        store = quoted(&absolute.join("jetstream")),
        file = stream_bytes.saturating_mul(2),
        certificate = quoted(&server.join(CERTIFICATE)),
        key = quoted(&server.join(KEY)),
        ca = quoted(&absolute.join(CA)),
        hub = user(HUB),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path, sites: &[&str]) -> Vec<String> {
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        let wanted = Init {
            host: "nats.example",
            sites: &sites,
            folder,
            stream_bytes: 1 << 30,
        };
        init(&wanted, "2026-11-30T06:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_site_is_added_to_those_that_are_there() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        made(folder, &["aws-london"]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let (authority, london) = (read("ca.pem"), read("aws-london/certificate.pem"));
        let said = made(folder, &["azure-paris"]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].ends_with("nats.conf (rights of the hub and of: aws-london, azure-paris)"));
        assert_eq!(read("ca.pem"), authority);
        assert_eq!(read("aws-london/certificate.pem"), london);
        for key in ["ca-key.pem", "hub/key.pem", "azure-paris/key.pem"] {
            let mode = fs::metadata(folder.join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{key}");
        }
    }
}
