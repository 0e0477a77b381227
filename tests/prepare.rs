//! What `deploy/prepare` does on machines that lack something, played with tools that only say what they were asked.
//!
//! The releases are told apart by what their packages hold: Debian 13 and Ubuntu 24.04 have rustup, Ubuntu also a cargo
//! with its version in its name, Debian 12 neither.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A machine: what `apt-cache` knows of, and the cargo that is there, if any.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(packages: &str, cargo: Option<&str>) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        // Only what the script itself uses comes from this machine.
        for tool in ["sh", "sed", "sort", "tail", "grep", "id", "cat", "chmod"] {
            let found = ["/bin", "/usr/bin"]
                .iter()
                .map(|dir| format!("{dir}/{tool}"));
            let found = found.into_iter().find(|path| fs::metadata(path).is_ok());
            let there = machine.folder.path().join(tool);
            std::os::unix::fs::symlink(found.expect("a usual tool"), there).expect("a link");
        }
        machine.tool("cc", "");
        machine.tool("sudo", "exec \"$@\"");
        let at = machine.folder.path().display();
        machine.tool(
            "apt-get",
            &format!(
                "echo \"apt-get $*\" >> {at}/log\ncase \"$*\" in *rustup*) printf '#!/bin/sh\\necho rustup $* >> {at}/log\\nprintf \"#!/bin/sh\\\\necho cargo 1.99.0\\\\n\" > {at}/cargo; chmod +x {at}/cargo\\n' > {at}/rustup; chmod +x {at}/rustup;; *cargo-1.*) printf '#!/bin/sh\\necho cargo 1.91.0\\n' > {at}/cargo; chmod +x {at}/cargo;; esac"
            ),
        );
        machine.tool(
            "apt-cache",
            &format!("for p in {packages}; do case $1 in pkgnames) echo $p;; *) [ $p = $2 ] && echo '  Candidate: 1.2-3';; esac; done; true"),
        );
        if let Some(version) = cargo {
            machine.tool("cargo", &format!("echo 'cargo {version} (x 2026-01-01)'"));
        }
        machine
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a tool");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// Exit code, what it said, and what it had others do.
    fn prepare(&self) -> (i32, String, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prepare");
        let output = Command::new("/bin/sh")
            .args(["-eu", "-c", &format!(". {script}; echo ready")])
            .env_clear()
            .env("PATH", self.folder.path())
            .env("HOME", self.folder.path())
            .output()
            .expect("a shell");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        (output.status.code().unwrap_or(-1), said.into_owned(), log)
    }
}

#[test]
fn a_machine_with_rust_is_left_alone() {
    let machine = Machine::new("rustup", Some("1.89.0"));
    assert_eq!(machine.prepare(), (0, "ready\n".to_owned(), String::new()));
}

#[test]
fn debian_13_gets_rustup_and_an_old_cargo_is_no_rust() {
    for cargo in [None, Some("1.85.0")] {
        let (code, said, log) = Machine::new("rustup cargo", cargo).prepare();
        assert_eq!((code, said.as_str()), (0, "ready\n"), "{log}");
        assert!(
            log.contains("install -y -qq --no-install-recommends rustup\n"),
            "{log}"
        );
        assert!(log.ends_with("rustup default stable\n"), "{log}");
    }
}

#[test]
fn a_release_with_versions_in_names_gives_the_newest() {
    let (code, said, log) = Machine::new("cargo cargo-1.75 cargo-1.91 cargo-1.89", None).prepare();
    assert_eq!((code, said.as_str()), (0, "ready\n"), "{log}");
    assert!(log.contains("cargo-1.91 rustc-1.91\n"), "{log}");
}

#[test]
fn debian_12_is_told_the_one_command() {
    for packages in ["cargo", "cargo cargo-1.75"] {
        let (code, said, log) = Machine::new(packages, None).prepare();
        assert_eq!(code, 2, "{said}{log}");
        let expected = "edgewatch is built with Rust 1.89 or later, which this system's packages lack; install it once with:\n  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y\n";
        assert_eq!(said, expected);
        assert!(!log.contains("cargo"), "{log}");
    }
}

#[test]
fn the_oldest_rust_is_the_one_of_the_manifest() {
    let read = |name: &str| {
        fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a file")
    };
    assert!(read("Cargo.toml").contains("rust-version = \"1.89\""));
    assert!(read("deploy/prepare").contains("\nrust_needed=89\n"));
}
