//! Something on the way that drops greetings of two packets: the size is named, not the user agent.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::kept;
use crate::server::certificates::Authority;
use crate::world::{program, run};

/// A partner behind a middlebox: a hello that does not fit into one packet gets no answer.
async fn partner(authority: &Authority) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls: Arc<_> = authority.issue(&["api.acme.example"]).tls();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(tls.clone());
            tokio::spawn(async move {
                let mut start = [0; 5];
                while stream.peek(&mut start).await.unwrap() < start.len() {}
                if usize::from(u16::from_be_bytes([start[3], start[4]])) > 1_400 {
                    return std::future::pending().await;
                }
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let answer =
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                    drop(stream.write_all(answer.as_bytes()).await);
                    drop(stream.shutdown().await);
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_of_two_packets_that_is_never_answered_is_told_by_its_size() {
    let authority = Authority::new();
    let port = partner(&authority).await;
    let folder = kept::folder();
    std::fs::write(folder.path().join("root.pem"), authority.pem()).unwrap();
    let text = format!(
        "version: 1\nservice: Acme\negresses: {{ a: 127.0.0.2, b: 127.0.0.3 }}\nclients:\n  old: Go-http-client/1.1\n  new: {{ user_agent: Go-http-client/2.0, tls: {{ groups: [x25519mlkem768, x25519] }} }}\n\
         probes:\n  orders: {{ url: \"https://api.acme.example:{port}/\", connect_to: 127.0.0.1, every: 5m, timeout: 2s }}\n\
         trust: root.pem\npoliteness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nstore: {{ path: edgewatch.sqlite }}\n"
    );
    std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    let asked = async |arguments: &[&str]| {
        let mut command = program(arguments);
        command.current_dir(folder.path());
        let (code, out, err) = run(command).await;
        let text = format!("{out}{err}");
        (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (code, out) = asked(&["once"]).await;
    assert_eq!(code, 1, "{out}");
    for said in [
        "does not answer the TLS greeting of client `new`",
        "2 packets; `old` gets an answer from the same egress with ",
        "It looks as if long greetings are lost on the way, whatever the user agent",
        "Would tell: the same client without x25519mlkem768",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
    assert!(!out.contains("Ask Acme whether they drop"), "{out}");

    let (code, out) = asked(&["client", "new"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("2 packets, a key share for x25519mlkem768"),
        "{out}"
    );
}
