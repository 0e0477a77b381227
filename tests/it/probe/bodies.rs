//! Bodies: long, packed, broken, absent.

use std::io::Write as _;

use edgewatch::domain::observation::{Body, Observation};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::Method;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{assert_answered, run};
use crate::plan::plan;
use crate::server::{Reply, Server};

/// What the packed bodies hold.
const PAGE: &str = "a page that was packed, a page that was packed, a page that was packed, a page that was packed, ";
/// [`PAGE`] by the reference encoder (Node's zlib, default quality).
const PAGE_BR: &str = "1b5f00f81d89712c8537de23946170770dc252b636c7c8e64a1204eb849230cf802dbe02";
/// Ten MiB of zeros by the same.
const ZEROS_BR: &str = "cbffff3f002400e2b14072effff2ffff038004401c1680eefd07";

async fn fetch(coding: &'static str, body: Vec<u8>, body_bytes_max: usize) -> Body {
    let server = Server::http(move |_| {
        Reply::new(200)
            .header("Content-Encoding", coding)
            .body(body.clone())
    })
    .await;
    let mut plan = plan(&server.url("/"));
    plan.probes[0].body_bytes_max = body_bytes_max;
    let seen = run(&plan).await;
    assert_eq!(seen.failure, None);
    seen.answer.expect("an answer").body
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

#[tokio::test]
async fn every_coding_is_undone() {
    let page = PAGE.as_bytes();
    let cases = [
        ("identity", page.to_vec()),
        ("gzip", gzip(page)),
        ("X-GZip", gzip(page)),
        ("gzip", [gzip(&page[..9]), gzip(&page[9..])].concat()),
        ("deflate", zlib(page)),
        ("deflate", deflate(page)),
        ("br", bytes_of(PAGE_BR)),
        ("zstd", zstd(page)),
        ("zstd", [zstd(&page[..9]), zstd(&page[9..])].concat()),
        ("deflate, gzip", gzip(&zlib(page))),
        (" , br , identity", bytes_of(PAGE_BR)),
    ];
    for (coding, packed) in cases {
        let wire_bytes = packed.len() as u64;
        let body = fetch(coding, packed, 256 * 1024).await;
        let expected = Body {
            bytes: PAGE.into(),
            wire_bytes,
            truncated: false,
            sha256: body.sha256.clone(),
            decode_error: None,
        };
        assert_eq!(body, expected, "{coding}");
    }
}

#[tokio::test]
async fn what_can_not_be_undone_is_kept_as_it_came() {
    let check = async |coding: &'static str, packed: Vec<u8>, error: &str| {
        let body = fetch(coding, packed.clone(), 256 * 1024).await;
        assert_eq!(body.bytes, packed, "{coding}");
        let told = body.decode_error.expect("an error");
        assert_eq!((told.as_str(), body.truncated), (error, false));
    };
    let page = PAGE.as_bytes();
    check(
        "compress",
        page.to_vec(),
        "content coding compress: not known to edgewatch, which undoes gzip, deflate, br and zstd",
    )
    .await;
    check(
        "gzip, gzip, gzip",
        gzip(&gzip(&gzip(page))),
        "3 content codings one upon another; at most 2 are undone",
    )
    .await;
    check(
        "gzip",
        page.to_vec(),
        "content coding gzip: invalid gzip header",
    )
    .await;
    let short = gzip(page)[..30].to_vec();
    check(
        "gzip",
        short,
        "content coding gzip: incomplete deflate stream",
    )
    .await;
    // The others only have to be errors, whatever their words.
    for coding in ["br", "zstd", "deflate"] {
        let body = fetch(coding, page.to_vec(), 256 * 1024).await;
        assert_eq!(body.bytes, PAGE);
        assert!(body.decode_error.is_some(), "{coding}");
    }
}

#[tokio::test]
async fn bombs_are_cut() {
    let zeros = vec![0; 3_000_000];
    for (coding, packed) in [
        ("gzip", gzip(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
        ("deflate", zlib(&zeros)),
        ("zstd", zstd(&zeros)),
        ("br", bytes_of(ZEROS_BR)),
    ] {
        let body = fetch(coding, packed, 1000).await;
        assert_eq!(body.bytes, vec![0; 1000], "{coding}");
        assert_eq!(
            (body.truncated, body.decode_error),
            (true, None),
            "{coding}"
        );
    }
}

#[tokio::test]
async fn a_packed_body_that_is_cut_is_undone_up_to_the_cut() {
    // Noise does not pack, so that the bound on what is kept is met before the end.
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(b'a'..=b'z'))
        .take(100_000)
        .collect();
    let body = fetch("gzip", gzip(&noise), 20_000).await;
    assert_eq!(body.bytes, noise[..20_000]);
    assert_eq!((body.truncated, body.decode_error), (true, None));
}

/// A server that answers with a body of `total` bytes and no end of them if it can.
async fn long(total: usize, head: &'static str) -> Observation {
    let server = Server::raw(move |mut connection| async move {
        connection.request().await;
        connection.send(head).await;
        let part = vec![b'x'; 100_000];
        for _ in 0..total / part.len() {
            if !connection.send(&part).await {
                return;
            }
        }
        connection.finish().await;
    })
    .await;
    run(&plan(&server.url("/"))).await
}

#[tokio::test]
async fn a_long_body_is_read_up_to_the_bound() {
    const MIB: u64 = 1024 * 1024;
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let seen = long(100_000_000, head).await;
        assert_eq!(seen.failure, None);
        let body = seen.answer.expect("an answer").body;
        assert_eq!(body.bytes, vec![b'x'; 256 * 1024]);
        assert!(
            (MIB..MIB + MIB / 2).contains(&body.wire_bytes),
            "{}",
            body.wire_bytes
        );
        assert_eq!((body.truncated, body.decode_error), (true, None));
    }
    // Within the bound of the wire it is read to its end, and so counted.
    let seen = long(600_000, "HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n").await;
    let body = seen.answer.expect("an answer").body;
    assert_eq!((body.bytes.len(), body.wire_bytes), (256 * 1024, 600_000));
    assert!(body.truncated);
}

#[tokio::test]
async fn no_body_where_there_is_none() {
    let check = async |method: Method, answer: &'static str, status: u16| {
        let server = Server::raw(move |mut connection| async move {
            connection.request().await;
            connection.send(answer).await;
            connection.hold().await;
        })
        .await;
        let mut plan = plan(&server.url("/"));
        plan.probes[0].method = method;
        let seen = run(&plan).await;
        assert_answered(&seen, status, "");
        let body = seen.answer.expect("an answer").body;
        assert_eq!(body, Body::default());
    };
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n";
    check(Method::HEAD, ok, 200).await;
    check(Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", 204).await;
    check(
        Method::GET,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        304,
    )
    .await;
    check(
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Encoding: br\r\n\r\n",
        200,
    )
    .await;
}
