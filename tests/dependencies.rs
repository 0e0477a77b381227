//! Holds what comes into the binary: one crypto provider, no crate twice without a reason, known licences.
//!
//! The list is `.deny.toml`, which cargo-deny reads too; this test needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn list() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.deny.toml")).expect(".deny.toml")
}

/// `(name, version, licence)` of everything that is compiled here, for the program and for its tests.
///
/// Asked of `cargo tree`, because `cargo metadata` also lists optional packages that nothing switches on.
fn packages() -> BTreeSet<(String, String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let found: BTreeSet<_> = text
        .lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('|')?;
            let mut words = package.split(' ');
            let version = |w: &str| w.trim_start_matches('v').to_owned();
            Some((
                words.next()?.to_owned(),
                version(words.next()?),
                licence.trim_end_matches(" (*)").to_owned(),
            ))
        })
        .collect();
    assert!(found.len() > 100, "only {} packages were read", found.len());
    found
}

#[test]
fn one_crypto_provider_and_one_tls_stack() {
    let names: BTreeSet<String> = packages().into_iter().map(|(name, _, _)| name).collect();
    assert!(
        names.contains("aws-lc-rs"),
        "the provider we do use is there"
    );
    for banned in ["ring", "openssl-sys", "native-tls"] {
        assert!(
            !names.contains(banned),
            "{banned} came in; find out by whom with `cargo tree -i {banned}`"
        );
    }
}

#[test]
fn every_second_copy_has_its_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, _) in packages() {
        versions.entry(name).or_default().insert(version);
    }
    let list = list();
    let unexplained: Vec<String> = versions
        .iter()
        .filter(|(name, versions)| {
            versions.len() > 1 && !list.contains(&format!("crate = \"{name}@"))
        })
        .map(|(name, versions)| format!("{name} {versions:?}"))
        .collect();
    assert!(
        unexplained.is_empty(),
        "say in .deny.toml why these are there twice, or make them one: {unexplained:?}"
    );
}

#[test]
fn licences_are_known() {
    let list = list();
    let allowed = |licence: &str| list.contains(&format!("\"{licence}\""));
    let mut unknown = Vec::new();
    for (name, _, licence) in packages() {
        if name == "edgewatch" {
            continue;
        }
        let expression = licence.replace('/', " OR ").replace(['(', ')'], "");
        // An expression passes when every AND part has an allowed OR alternative.
        let passes = expression
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|one| allowed(one.trim())));
        if !passes {
            unknown.push(format!("{name}: {licence}"));
        }
    }
    assert!(
        unknown.is_empty(),
        "add to .deny.toml after reading, or do without: {unknown:?}"
    );
}
