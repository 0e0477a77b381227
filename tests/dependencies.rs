//! Holds what comes into the binary: one crypto provider, no crate twice without a reason, known licences.
//!
//! The list is `.deny.toml`, which cargo-deny reads too; this test needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

fn list() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.deny.toml")).expect(".deny.toml")
}

/// Every package in Cargo.lock that this platform can use.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|n| n["id"].as_str())
        .collect();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|p| p["id"].as_str().is_some_and(|id| used.contains(id)))
        .cloned()
        .collect()
}

#[test]
fn one_crypto_provider_and_one_tls_stack() {
    let names: Vec<String> = packages()
        .iter()
        .filter_map(|p| p["name"].as_str().map(str::to_owned))
        .collect();
    assert!(
        names.iter().any(|n| n == "aws-lc-rs"),
        "the provider we do use is there"
    );
    for banned in ["ring", "openssl-sys", "native-tls"] {
        assert!(
            !names.iter().any(|n| n == banned),
            "{banned} came in; find out by whom with `cargo tree -i {banned}`"
        );
    }
}

#[test]
fn every_second_copy_has_its_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str())
        else {
            continue;
        };
        versions
            .entry(name.to_owned())
            .or_default()
            .insert(version.to_owned());
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
    for package in packages() {
        let expression = package["license"]
            .as_str()
            .unwrap_or("none")
            .replace('/', " OR ");
        // An expression passes when every AND part has an allowed OR alternative.
        let passes = expression
            .replace(['(', ')'], "")
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|licence| allowed(licence.trim())));
        if !passes {
            unknown.push(format!("{}: {expression}", package["name"]));
        }
    }
    assert!(
        unknown.is_empty(),
        "add to .deny.toml after reading, or do without: {unknown:?}"
    );
}
