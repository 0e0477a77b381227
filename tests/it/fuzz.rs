//! Bytes of strangers at every door: what was found once, the seeds, and changes of them by a seeded chance.
//!
//! `tests/fuzz` runs the same doors under `cargo fuzz`, which steers by coverage; this needs no more than the stable
//! compiler. `EDGEWATCH_FUZZ_SECONDS` makes it go on for so long at each door and by a new chance, which
//! `EDGEWATCH_FUZZ_SEED` repeats; without either it is the same every time.

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/doors.rs"]
mod doors;

use doors::{DOORS, enter};

/// Changes tried at each door when nobody asks for more; behind a socket some wait for a timeout.
const TRIES: usize = 150;
const SOCKET_TRIES: usize = 40;
const BYTES_MAX: usize = 16 * 1024;

/// Pieces that mean something to one door or another.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n\n",
    b"HTTP/1.1 403 Forbidden\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: text/html; charset=utf-16\r\n",
    b"Retry-After: 99999999999999999999\r\n",
    b"Age: -1\r\n",
    b"multipart/related; boundary=\"\"",
    b"<meta charset=",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
    b"\0",
    b"\x1b[31m",
    b"<!DOCTYPE a [",
    b"]]>",
    b"<![CDATA[",
    b"//*[",
    b"..*",
    b"$..*",
    b"&a",
    b"*a",
    b"<<: ",
    b"- ",
    b"{{ ",
    b"!!binary ",
    b"*/0",
    b"L",
    b"#5",
    b"60",
    b"9999999999",
    b"\xc0\x0c",
    b"\x05\x00\x00\x01",
    b"error code: 1015",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"{\"type\":\"disconnect\"}",
    b"Incident ID: ",
];

/// Files of a folder, in the order of their names; none where there is no folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn seeds(door: &str) -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut seeds = files(&tests.join("fuzz/findings").join(door));
    seeds.extend(files(&tests.join("fuzz/seeds").join(door)));
    if matches!(door, "response" | "saved") {
        let cases = std::fs::read_dir(tests.join("corpus")).unwrap();
        let mut cases: Vec<_> = cases.map(|case| case.unwrap().path()).collect();
        cases.sort();
        seeds.extend(
            cases
                .iter()
                .map(|case| std::fs::read(case.join("response.http")).unwrap()),
        );
    }
    if door == "yaml" {
        seeds.push(std::fs::read(tests.join("../probes.yaml")).unwrap());
    }
    assert!(!seeds.is_empty(), "door {door} has no seeds");
    seeds
}

/// Some small changes, as they come.
fn changed(rng: &mut fastrand::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(0..32)).min(bytes.len());
        match rng.u8(..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            1 if at < bytes.len() => bytes[at] = rng.u8(..),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].repeat(rng.usize(1..20));
                drop(bytes.splice(at..at, again));
            }
            4 => {
                let other = &seeds[rng.usize(..seeds.len())];
                let from = rng.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = PIECES[rng.usize(..PIECES.len())];
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

#[test]
fn every_door_bears_what_strangers_send() {
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let lasting = asked("EDGEWATCH_FUZZ_SECONDS").map(Duration::from_secs);
    let chance = || lasting.map_or(1, |_| fastrand::u64(..));
    let seed = asked("EDGEWATCH_FUZZ_SEED").unwrap_or_else(chance);
    let threads: Vec<_> = DOORS
        .iter()
        .map(|(name, _)| {
            std::thread::spawn(move || {
                let seeds = seeds(name);
                let socket = matches!(
                    *name,
                    "certificate"
                        | "decompression"
                        | "dns"
                        | "http1"
                        | "http2"
                        | "proxy"
                        | "response"
                        | "socket_mode"
                );
                let most = if socket { SOCKET_TRIES } else { TRIES };
                for seed in &seeds {
                    enter(name, seed);
                }
                let mut rng = fastrand::Rng::with_seed(seed);
                let began = Instant::now();
                let mut tries = 0;
                while lasting.map_or(tries < most, |lasting| began.elapsed() < lasting) {
                    let bytes = changed(&mut rng, &seeds);
                    let survived = std::panic::catch_unwind(|| enter(name, &bytes));
                    let found = String::from_utf8_lossy(&bytes);
                    assert!(
                        survived.is_ok(),
                        "{name}, seed {seed}, try {tries}: {found:?}: {bytes:?}"
                    );
                    tries += 1;
                }
                (*name, tries)
            })
        })
        .collect();
    for thread in threads {
        let (name, tries) = thread.join().unwrap();
        assert!(tries > 0, "{name} was not tried");
        println!("{name}: {tries} tries, seed {seed}");
    }
}
