//! Forward proxies: HTTP `CONNECT` and SOCKS 5. Every name leads to 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::{Connection, Server};

/// A proxy that answers every `CONNECT` with `answer`, and tunnels if that begins a 200.
///
/// What it was asked is in [`Server::seen`].
pub(crate) async fn http_proxy(answer: &'static str) -> Server {
    Server::raw(move |mut connection| async move {
        let Some(asked) = connection.request().await else {
            return;
        };
        connection.send(answer).await;
        if answer.contains("HTTP/1.1 200") {
            let port = asked.target.rsplit(':').next().unwrap().parse().unwrap();
            tunnel(connection, port).await;
        }
    })
    .await
}

/// A SOCKS 5 proxy that wants `login` and gives `reply`; the goals it was asked for are in `seen` as targets.
pub(crate) async fn socks_proxy(login: Option<(&'static str, &'static str)>, reply: u8) -> Server {
    Server::raw(move |mut connection| async move {
        // An error is a client that went away, as it should after a refusal.
        let Ok(goal) = socks_handshake(&mut connection, login, reply).await else {
            return;
        };
        if let Some(port) = goal {
            tunnel(connection, port).await;
        }
    })
    .await
}

async fn socks_handshake(
    connection: &mut Connection,
    login: Option<(&str, &str)>,
    reply: u8,
) -> std::io::Result<Option<u16>> {
    let stream = &mut connection.stream;
    assert_eq!(stream.read_u8().await?, 5);
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    let wanted = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&wanted) {
        stream.write_all(&[5, 0xff]).await?;
        return Ok(None);
    }
    stream.write_all(&[5, wanted]).await?;
    if let Some((username, password)) = login {
        assert_eq!(stream.read_u8().await?, 1);
        let mut told = Vec::new();
        for _ in 0..2 {
            let mut text = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut text).await?;
            told.push(String::from_utf8(text).unwrap());
        }
        let right = told == [username, password];
        stream.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            return Ok(None);
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    assert_eq!(request[..3], [5, 1, 0]);
    let goal = match request[3] {
        1 => IpAddr::V4(Ipv4Addr::from_bits(stream.read_u32().await?)).to_string(),
        4 => IpAddr::V6(Ipv6Addr::from_bits(stream.read_u128().await?)).to_string(),
        3 => {
            let mut name = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut name).await?;
            String::from_utf8(name).unwrap()
        }
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await?;
    // The answer names what was bound as a domain, which clients must be able to skip.
    stream
        .write_all(&[5, reply, 0, 3, 4, b'h', b'e', b'r', b'e', 0, 80])
        .await?;
    connection.note(|seen| seen.target = format!("{goal}:{port}"));
    Ok((reply == 0).then_some(port))
}

async fn tunnel(mut connection: Connection, port: u16) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut target = TcpStream::connect(address).await.unwrap();
    // Either side may break off in the middle: that is what some tests are about.
    let _ = copy_bidirectional(&mut connection.stream, &mut target).await;
}
