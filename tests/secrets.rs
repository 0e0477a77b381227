//! No secret in any log, file, page or message: looked for in all that the tests left behind, after they ran.
//!
//! Every secret of the tests has one word in it (`it/secrets.rs`), and what daemons, commands and receivers
//! wrote, printed and were sent stays in one directory (`it/kept.rs`). `tests/run` runs this binary last.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

// Each binary uses its part.
#[allow(dead_code)]
#[path = "it/kept.rs"]
mod kept;
#[path = "secrets/search.rs"]
mod search;
#[allow(dead_code)]
#[path = "it/secrets.rs"]
mod secrets;

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use rusqlite::Connection;

use search::{Found, Seen};
use secrets::MARKER;

/// What a whole run leaves, by name or ending, and so many of it at least.
const LEFT: &[(&str, usize)] = &[
    ("daemon.log", 20),
    ("process.log", 1),
    ("edgewatch.sqlite", 50),
    ("probes.yaml", 20),
    ("output", 50),
    ("page", 20),
    ("slack", 20),
    ("teams", 20),
    ("endpoint", 20),
    ("mail", 5),
];

/// Set by `tests/run` when it was told which tests to run.
const SOME: &str = "EDGEWATCH_TESTS_SOME";

#[test]
fn no_secret_in_what_the_tests_left_behind() {
    let (mut seen, mut found, mut whole) = (Seen::default(), Found::new(), false);
    for run in std::fs::read_dir(kept::ROOT)
        .into_iter()
        .flatten()
        .flatten()
    {
        search::directory(&run.path(), &mut seen, &mut found);
        let arguments = std::fs::read_to_string(run.path().join(kept::ARGUMENTS));
        whole |= arguments.is_ok_and(|arguments| arguments.is_empty());
    }
    println!(
        "looked for {MARKER:?} in {} files ({} MB), {} values of {} stores, {} bodies unpacked",
        seen.files.values().sum::<usize>(),
        seen.bytes >> 20,
        seen.values,
        seen.stores,
        seen.unpacked
    );
    assert!(found.is_empty(), "secrets leaked:\n{}", found.join("\n"));
    if std::env::var_os(SOME).is_some() && !whole {
        return;
    }
    assert!(
        whole,
        "nothing was kept of a whole run, so nothing was searched; `sh tests/run` runs all tests first"
    );
    for (kind, least) in LEFT {
        let left = seen.files.get(*kind).copied().unwrap_or_default();
        assert!(
            left >= *least,
            "{left} × {kind} were kept, not {least}: is it kept no more?"
        );
    }
    assert!(seen.stores >= 50 && seen.values >= 10_000, "{seen:?}");
    assert!(
        seen.unpacked >= 5,
        "no compressed body was looked into: {seen:?}"
    );
}

#[test]
fn every_secret_has_the_word() {
    for secret in secrets::ALL {
        let key = secret
            .strip_prefix("whsec_")
            .and_then(|key| STANDARD.decode(key).ok());
        let bytes = key.as_deref().unwrap_or(secret.as_bytes());
        assert!(
            bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes()),
            "{secret}"
        );
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path(), secret.as_bytes());
        assert_eq!(leaks(folder.path()), 1, "{secret} would not be found");
    }
}

/// Each form in which a secret has been seen to leak in programs like this one, planted and found.
#[test]
fn a_planted_secret_is_found_in_every_form() {
    let each = |form: &dyn Fn(u8) -> String| MARKER.bytes().map(form).collect::<Vec<_>>().concat();
    let hex = each(&|b| format!("{b:02x}"));
    let unicode = each(&|b| format!("\\u{b:04x}"));
    let debug = format!("{:?}", MARKER.as_bytes());
    let mut forms: Vec<(String, Vec<u8>)> = [
        ("as it is", MARKER.to_owned()),
        ("in capitals", MARKER.to_uppercase()),
        ("percent-encoded", each(&|b| format!("%{b:02X}"))),
        ("percent-encoded, small", each(&|b| format!("%{b:02x}"))),
        ("partly percent-encoded", MARKER.replace('u', "%75")),
        ("percent-encoded twice", MARKER.replace('u', "%2575")),
        ("hexadecimal", hex.clone()),
        ("hexadecimal, large", hex.to_uppercase()),
        ("escaped in JSON", unicode.clone()),
        ("partly escaped in JSON", MARKER.replace('t', "\\u0074")),
        ("escaped in HTML", each(&|b| format!("&#{b};"))),
        (
            "bytes as Debug has them",
            debug[1..debug.len() - 1].to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect();
    for before in 0..4 {
        let login = format!("{}{MARKER}-rest", "x".repeat(before));
        forms.push((
            format!("base64 after {before}"),
            STANDARD.encode(&login).into_bytes(),
        ));
        forms.push((
            format!("base64url after {before}"),
            URL_SAFE_NO_PAD.encode(&login).into_bytes(),
        ));
    }
    for (name, form) in &forms {
        let text = [b"before ", form.as_slice(), b" after"].concat();
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path(), &text);
        assert_eq!(leaks(folder.path()), 1, "{name}, in a file");
        for (packed, bytes) in packings(&text) {
            let folder = tempfile::tempdir().unwrap();
            store(folder.path(), &bytes);
            assert!(leaks(folder.path()) > 0, "{name}, in a store, {packed}");
        }
    }
    // Over pages of a store that are not neighbours no text stands in one piece.
    let folder = tempfile::tempdir().unwrap();
    store(
        folder.path(),
        format!("{}{MARKER}", "x".repeat(100_000)).as_bytes(),
    );
    assert!(leaks(folder.path()) > 0, "far inside a value");
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), "hunter 22, HUNTER-22, the hunter".as_bytes());
    store(folder.path(), b"a hunter and 22 foxes");
    assert_eq!(leaks(folder.path()), 0, "what is none is not found");
}

/// What can't be read is told, and not passed over.
#[test]
fn a_store_that_can_not_be_read_is_no_clean_one() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = [b"SQLite format 3\0".as_slice(), &[7; 4096]].concat();
    std::fs::write(folder.path().join("edgewatch.sqlite"), garbage).unwrap();
    let (mut seen, mut found) = (Seen::default(), Found::new());
    search::directory(folder.path(), &mut seen, &mut found);
    assert_eq!((seen.stores, found.len()), (0, 1), "{found:?}");
}

fn plant(folder: &Path, bytes: &[u8]) {
    std::fs::write(folder.join("daemon.log"), bytes).unwrap();
}

fn leaks(folder: &Path) -> usize {
    let (mut seen, mut found) = (Seen::default(), Found::new());
    search::directory(folder, &mut seen, &mut found);
    found.len()
}

fn packings(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let level = Compression::default();
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), level);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    raw.write_all(text).unwrap();
    zlib.write_all(text).unwrap();
    gzip.write_all(text).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest);
    vec![
        ("plain", text.to_vec()),
        ("deflated", raw.finish().unwrap()),
        ("zlib", zlib.finish().unwrap()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd),
    ]
}

/// As a killed daemon leaves it: the newest rows are in the log beside it only.
fn store(folder: &Path, value: &[u8]) {
    let path = folder.join("edgewatch.sqlite");
    let connection = Connection::open(folder.join("writing")).unwrap();
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    connection
        .execute_batch("CREATE TABLE bodies (deflated BLOB)")
        .unwrap();
    connection
        .execute("INSERT INTO bodies VALUES (?)", [value])
        .unwrap();
    for part in ["", "-wal"] {
        let from = folder.join(format!("writing{part}"));
        std::fs::copy(from, format!("{}{part}", path.display())).unwrap();
    }
    drop(connection);
    for part in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("writing{part}")));
    }
}
