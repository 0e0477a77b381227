//! Hellos made by hand: the published vectors, every part of the fingerprint, pieces and nonsense.

use proptest::prelude::*;

use super::*;

/// A hello as bytes on the wire, in records of `record` bytes.
fn wire(suites: &[u16], extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
    let be = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(be(suites.len() * 2));
    body.extend(suites.iter().flat_map(|s| s.to_be_bytes()));
    body.extend([1, 0]);
    let mut all = Vec::new();
    for (kind, content) in extensions {
        all.extend(kind.to_be_bytes());
        all.extend(be(content.len()));
        all.extend(content);
    }
    if !extensions.is_empty() {
        body.extend(be(all.len()));
        body.extend(all);
    }
    let mut message = vec![1, 0];
    message.extend(be(body.len()));
    message.extend(body);
    let mut wire = Vec::new();
    for chunk in message.chunks(record) {
        wire.extend([22, 3, 1]);
        wire.extend(be(chunk.len()));
        wire.extend(chunk);
    }
    wire
}

fn listed(numbers: &[u16]) -> Vec<u8> {
    let mut bytes = u16::try_from(numbers.len() * 2)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
    bytes
}

fn alpn(names: &[&str]) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names {
        list.push(u8::try_from(name.len()).unwrap());
        list.extend(name.bytes());
    }
    let mut bytes = u16::try_from(list.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(list);
    bytes
}

fn server_name(name: &str) -> Vec<u8> {
    let count = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut bytes = count(name.len() + 3).to_vec();
    bytes.push(0);
    bytes.extend(count(name.len()));
    bytes.extend(name.bytes());
    bytes
}

#[test]
fn a_session_that_is_taken_up_is_folded_into_the_fresh_form() {
    let suites = [0x1301, 0xc02b];
    let fresh = vec![(0, server_name("a.test")), (45, vec![1, 1])];
    let mut resumed = fresh.clone();
    resumed.push((42, Vec::new()));
    resumed.push((41, vec![0; 8]));
    let read = |extensions: &[(u16, Vec<u8>)]| match read(&wire(&suites, extensions, 4096)) {
        Read::Hello(hello) => hello,
        other => panic!("{other:?}"),
    };
    let (first, second) = (read(&fresh), read(&resumed));
    assert_eq!(first.ja4_fresh(), None);
    assert_ne!(second.ja4(), first.ja4());
    assert_eq!(second.ja4_fresh(), Some(first.ja4()));
}

/// The hello of the method's own description: its lists, in an order that is not the sorted one, with GREASE.
/// <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md> (read 2026-11-29).
fn published() -> Vec<u8> {
    let suites = [
        0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
        0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
    ];
    let signatures = [
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ];
    let mut versions = vec![6];
    versions.extend(&listed(&[0x2a2a, 0x0304, 0x0303])[2..]);
    let mut extensions = vec![
        (0x5a5a, vec![]),
        (0x0000, server_name("partner.example")),
        (0x0010, alpn(&["h2", "http/1.1"])),
        (0x000d, listed(&signatures)),
        (0x002b, versions),
    ];
    let others = [
        0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0005, 0x0012, 0x0033, 0x002d, 0x001b, 0x4469,
        0x0015,
    ];
    extensions.extend(others.map(|kind| (kind, vec![0])));
    wire(&suites, &extensions, 4096)
}

fn found(wire: &[u8]) -> Hello {
    match read(wire) {
        Read::Hello(hello) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_published_vectors_come_out() {
    let hello = found(&published());
    assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(hello.sni.as_deref(), Some("partner.example"));
    assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(!hello.resumes);
}

#[test]
fn each_part_follows_its_own_rule() {
    let check = |name: &str, suites: &[u16], extensions: &[(u16, Vec<u8>)], expected: &str| {
        let hello = found(&wire(suites, extensions, 4096));
        assert_eq!(hello.ja4(), expected, "{name}");
    };
    check(
        "nothing at all",
        &[],
        &[],
        "t12i000000_000000000000_000000000000",
    );
    let many: Vec<u16> = (1..=120).collect();
    let start = |protocol: &[&str]| {
        let hello = found(&wire(&many, &[(16, alpn(protocol))], 4096));
        hello.ja4()[..10].to_owned()
    };
    assert_eq!(start(&["http/1.1"]), "t12i9901h1", "more than 99 suites");
    assert_eq!(start(&["h"]), "t12i9901hh");
    assert_eq!(
        start(&["\u{7f}ab"]),
        "t12i990172",
        "hex where a character is odd"
    );
    assert_eq!(start(&[]), "t12i990100");
    let with_key = |resumed: bool| {
        let mut extensions = vec![(0, server_name("a.test")), (13, listed(&[0x0403]))];
        extensions.extend(resumed.then(|| (41, vec![0])));
        found(&wire(&[0x1301], &extensions, 4096))
    };
    let (fresh, resumed) = (with_key(false), with_key(true));
    assert!(resumed.resumes && !fresh.resumes);
    assert_ne!(fresh.ja4(), resumed.ja4());
}

#[test]
fn a_hello_may_come_in_pieces() {
    let whole = found(&published()).ja4();
    let Read::Hello(_) = read(&published()) else {
        panic!("a hello");
    };
    // Two records and more.
    let body = &published()[5..];
    for size in [1, 100, 300] {
        let mut wire = Vec::new();
        for chunk in body.chunks(size) {
            wire.extend([22, 3, 3]);
            wire.extend(u16::try_from(chunk.len()).unwrap().to_be_bytes());
            wire.extend(chunk);
        }
        assert_eq!(found(&wire).ja4(), whole, "records of {size} bytes");
        for cut in 0..wire.len() {
            assert_eq!(read(&wire[..cut]), Read::More, "{cut} bytes of {size}");
        }
        wire.extend(b"and what follows");
        assert_eq!(found(&wire).ja4(), whole, "more behind it");
    }
}

#[test]
fn what_is_no_hello_is_known_as_soon_as_it_can_be() {
    for (name, wire) in [
        ("plain HTTP", b"GET / HTTP/1.1\r\n".to_vec()),
        ("its first letter", b"G".to_vec()),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("the server's", vec![22, 3, 3, 0, 4, 2, 0, 0, 0]),
        ("an empty record", vec![22, 3, 1, 0, 0]),
        ("a record that is too long", vec![22, 3, 1, 0xff, 0xff]),
        (
            "a message that is too long",
            vec![22, 3, 1, 0, 4, 1, 0xff, 0, 0],
        ),
        ("a list beyond the end", {
            let mut wire = published();
            // The length of the list of suites.
            wire[5 + 4 + 2 + 32 + 1] = 0xff;
            wire
        }),
    ] {
        assert_eq!(read(&wire), Read::Not, "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_stranger_sends_is_too_odd(
        at in 0..400_usize,
        with: Vec<u8>,
        cut in 0..600_usize,
    ) {
        let mut wire = published();
        let at = at.min(wire.len());
        let end = (at + with.len()).min(wire.len());
        wire.splice(at..end, with);
        wire.truncate(cut.max(1));
        if let Read::Hello(hello) = read(&wire) {
            prop_assert_eq!(hello.ja4().len(), 36);
        }
    }
}
