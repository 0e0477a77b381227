//! Damaged copies at one machine of an edge: a good status, the right `ETag`, and other bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kept;
use crate::server::{Reply, Server};
use crate::world::{program, run};

#[tokio::test(flavor = "multi_thread")]
async fn two_bodies_under_one_etag_are_told_with_the_machine_of_each() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::http(move |_| {
        // One machine of four keeps a copy that broke off.
        let (machine, body) = match count.fetch_add(1, Ordering::Relaxed) % 4 {
            3 => ("cache-lck10921-LCK", "whole pack"),
            _ => ("cache-lck10907-LCK", "whole package"),
        };
        Reply::new(200)
            .header("ETag", "\"5f3a\"")
            .header("X-Served-By", machine)
            .body(body)
    })
    .await;
    let folder = kept::folder();
    let write = |expect: &str| {
        let text = format!(
            "version: 1\nservice: Index\nclients: {{ a: pip/24, b: pip/25, c: pip/26, d: pip/27 }}\nprobes:\n  package: {{ url: \"http://files.example:{}/p.whl\", connect_to: 127.0.0.1, every: 5m, timeout: 5s, expect: {{ {expect} }} }}\n\
             politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 20ms }} }}\nstore: {{ path: edgewatch.sqlite }}\n",
            server.address.port()
        );
        std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    };
    let once = async || {
        let mut command = program(&["once", "--format", "json"]);
        command.current_dir(folder.path());
        let (code, out, err) = run(command).await;
        (code, out + &err)
    };
    write("status: 200");
    let (code, out) = once().await;
    assert_eq!(code, 0, "without being asked nobody compares: {out}");

    write("same_body: true");
    let (code, out) = once().await;
    assert_eq!(code, 1, "{out}");
    for said in [
        "two bodies under the same ETag",
        "this one has 10 bytes",
        "from the edge's machine `cache-lck10921-LCK`",
        "3 times it had 13 bytes",
        "from the edge's machine `cache-lck10907-LCK`",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }

    // printf 'whole package' | sha256sum
    write("sha256: b55abc7bed288c117d8feb0708265c3c2d920fe41c0045d8ece96140f2e2792c");
    let (code, out) = once().await;
    assert_eq!(code, 1, "{out}");
    let said = "expected a body with SHA-256 b55abc7bed288c11…, this one of 10 bytes has";
    assert!(out.contains(said), "{out}");
}
