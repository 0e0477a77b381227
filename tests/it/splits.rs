//! One level below the matrix: which machine of an edge fails, and over which IP family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::daemon::Daemon;
use crate::kept;
use crate::server::names::{NameServer, Records};
use crate::server::{Reply, Server};
use crate::world::{program, run};

/// One in six of some requests a second: a share is told once it can't be weather.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn the_one_machine_of_six_that_fails_is_named() {
    let (count, seen) = watch::channel(0_u64);
    let drawn = Arc::new(AtomicU64::new(1));
    let server = Server::http(move |_| {
        count.send_modify(|count| *count += 1);
        // Which machine answers hangs on nothing that is asked.
        let last = drawn.load(Ordering::Relaxed);
        let next = last
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        drawn.store(next, Ordering::Relaxed);
        let machine = (next >> 33) % 6;
        let by = |reply: Reply| reply.header("X-Served-By", format!("cache-pae208{machine}-PAE"));
        match machine {
            4 => by(Reply::new(502)).body("<title>502 I/O error</title>"),
            _ => by(Reply::new(200)).body("whole"),
        }
    })
    .await;
    let folder = kept::folder();
    let text = format!(
        "version: 1\nservice: Index\negresses: {{ a: 127.0.0.2, b: 127.0.0.3 }}\nclients: {{ pip: pip/24, uv: uv/0.4 }}\n\
         probes:\n  package: {{ url: \"http://files.example:{}/p.whl\", connect_to: 127.0.0.1, every: 1s, timeout: 5s }}\n\
         politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nweb: none\nstore: {{ path: edgewatch.sqlite }}\n",
        server.address.port()
    );
    std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    let mut command = program(&["run"]);
    command.current_dir(folder.path());
    let daemon = Daemon::spawn(command, folder.path());
    let log = || std::fs::read_to_string(folder.path().join("daemon.log")).unwrap_or_default();
    let told = || log().contains("machine `cache-pae2084-PAE` answers");
    let mut seen = seen;
    let waits = async {
        while !told() {
            seen.changed().await.unwrap();
        }
    };
    let came = tokio::time::timeout(PATIENCE, waits).await;
    assert!(came.is_ok(), "{}", log());
    assert_eq!(daemon.stop().await, 0);
    let mut command = program(&["incidents", "show", "1", "--format", "json"]);
    command.current_dir(folder.path());
    let (code, out, err) = run(command).await;
    assert_eq!(code, 1, "it is open: {out}{err}");
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let split = &shown["cause"]["split"];
    assert_eq!(split["by"], "machine", "{split}");
    assert_eq!(split["name"], "cache-pae2084-PAE");
    assert_eq!(
        (&split["failed"], &split["others_failed"]),
        (&split["of"], &0.into())
    );
    assert!(
        shown["cause"]["fails"]
            .as_f64()
            .is_some_and(|fails| (0.08..0.34).contains(&fails)),
        "{}",
        shown["cause"]
    );
    let mut command = program(&["report", "1"]);
    command.current_dir(folder.path());
    let (_, out, _) = run(command).await;
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        out.contains("that the machine \"cache-pae2084-PAE\" of the CDN answered"),
        "{out}"
    );
}

/// A partner at both loopback addresses, which refuses over IPv6.
async fn refuses_over_ipv6() -> u16 {
    let (four, six) = loop {
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
        let port = six.local_addr().unwrap().port();
        if let Ok(four) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            break (four, six);
        }
    };
    let port = four.local_addr().unwrap().port();
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let refused = "HTTP/1.1 403 Forbidden\r\nX-HW: 1780000000.cds201.sp3.shn\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (listener, answer) in [(four, ok), (six, refused)] {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                drop(stream.read(&mut head).await);
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
    }
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_over_ipv6_alone_is_told_as_that() {
    let port = refuses_over_ipv6().await;
    let names = NameServer::start(|_, kind| match kind {
        1 => Records::Addresses(0, vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        28 => Records::Addresses(0, vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        _ => Records::Nothing,
    })
    .await;
    let folder = kept::folder();
    let text = format!(
        "version: 1\nservice: Library\nname_servers: [\"{}\"]\negresses: {{ office: {{ family: v4 }}, office-v6: {{ family: v6 }} }}\n\
         clients: {{ batch: batch/1, shop: shop/2 }}\nprobes:\n  library: {{ url: \"http://cdn.example:{port}/library.js\", every: 5m, timeout: 5s }}\n\
         politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 20ms }} }}\nstore: {{ path: edgewatch.sqlite }}\n",
        names.address
    );
    std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    let mut command = program(&["once"]);
    command.current_dir(folder.path());
    let (code, out, err) = run(command).await;
    let out = format!("{out}{err}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(code, 1, "{out}");
    for said in [
        "requests over IPv6 only (`office-v6`)",
        "meanwhile IPv4 works (`family:` under `egresses:`)",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}
