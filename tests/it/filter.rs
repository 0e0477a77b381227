//! An outgoing filter of ours that lists addresses, and a partner whose name leads elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use edgewatch::store::Store;
use tokio::sync::watch;

use crate::daemon::Daemon;
use crate::kept;
use crate::server::names::{NameServer, Records};
use crate::world::program;

/// Connections that are refused may be a burst; to be sure takes minutes.
const PATIENCE: Duration = Duration::from_secs(300);

const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 41);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 121);

/// A partner that answers at every address of loopback.
async fn partner() -> (u16, watch::Receiver<usize>) {
    let (said, count) = watch::channel(0);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            said.send_modify(|count| *count += 1);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                drop(stream.read(&mut head).await);
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    (port, count)
}

/// The way out that lets through to the old address alone.
async fn filter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(through(stream).await) });
        }
    });
    address
}

async fn through(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_u8().await?;
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    stream.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let goal = Ipv4Addr::from_bits(stream.read_u32().await?);
    let port = stream.read_u16().await?;
    let refused = u8::from(goal != OLD) * 5;
    stream
        .write_all(&[5, refused, 0, 1, 0, 0, 0, 0, 0, 0])
        .await?;
    if refused == 0 {
        let mut there = TcpStream::connect((goal, port)).await?;
        copy_bidirectional(&mut stream, &mut there).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_ours_that_knows_the_old_addresses_is_told_as_ours() {
    let ((port, count), filter) = (partner().await, filter().await);
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = moved.clone();
    let names = NameServer::start(move |name, kind| {
        let moved = name.starts_with("api.") && is_moved.load(Ordering::Relaxed);
        let address = IpAddr::V4(if moved { NEW } else { OLD });
        match kind {
            1 => Records::Addresses(0, vec![address]),
            _ => Records::Nothing,
        }
    })
    .await;
    let folder = kept::folder();
    let text = format!(
        "version: 1\nservice: Acme\nname_servers: [\"{names}\"]\negresses: {{ pod: {{ proxy: \"socks5://{filter}\" }}, host: {{}} }}\nclients: {{ batch: batch/1 }}\n\
         probes:\n  orders: {{ url: \"http://api.acme.example:{port}/\", every: 1s, timeout: 5s }}\n\
         controls:\n  internet: {{ url: \"http://www.control.example:{port}/\", every: 1s, timeout: 5s }}\n\
         politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nweb: none\nstore: {{ path: edgewatch.sqlite }}\n",
        names = names.address,
    );
    std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    let command = || {
        let mut command = program(&["run"]);
        command.current_dir(folder.path());
        command
    };
    let log = || std::fs::read_to_string(folder.path().join("daemon.log")).unwrap_or_default();
    // The daemon is another process: each request of it is a moment to look.
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        let mut count = count.clone();
        let waits = async {
            while !holds() {
                count.changed().await.unwrap();
            }
        };
        let came = tokio::time::timeout(PATIENCE, waits).await;
        assert!(came.is_ok(), "never came: {what}\n{}", log());
    };
    let daemon = Daemon::spawn(command(), folder.path());
    let kept = || {
        let reader = Store::read_only(&folder.path().join("edgewatch.sqlite"));
        let known = reader.ok().and_then(|reader| reader.memory().ok());
        known.is_some_and(|memory| memory.ways.len() >= 2)
    };
    // What was reached is known to the next life, too.
    until("what was reached", &kept).await;
    assert_eq!(daemon.stop().await, 0);
    moved.store(true, Ordering::Relaxed);
    let daemon = Daemon::spawn(command(), folder.path());
    let told = || log().contains("it looks like a filter on our side that lists addresses");
    until("the filter", &told).await;
    assert_eq!(daemon.stop().await, 0);
    let log = log();
    let said = format!(
        "from egress `pod` nothing reaches the new addresses of api.acme.example:{port} (127.0.0.121), others get through to them: it looks like a filter on our side that lists addresses"
    );
    assert!(log.contains(&said), "{log}");
    assert!(log.contains("it reached 127.0.0.41"), "{log}");
    for step in log.lines().filter(|line| line.contains("What to do")) {
        assert!(!step.contains("Ask Acme"), "{step}");
    }
}
