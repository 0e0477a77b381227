//! The floor: the smallest client that still does the same GET, on bare tokio and rustls.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Bare {
    tls: Option<tokio_rustls::TlsConnector>,
    host: String,
    port: u16,
}

impl Bare {
    pub(crate) fn new(url: &str, ca_pem: &str) -> Self {
        let url: url::Url = url.parse().expect("a URL");
        let tls = (url.scheme() == "https").then(|| {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM"))
                .expect("a root");
            let mut config = rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = rustls::client::Resumption::disabled();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            tokio_rustls::TlsConnector::from(Arc::new(config))
        });
        Self {
            tls,
            host: url.host_str().expect("a host").to_owned(),
            port: url.port_or_known_default().expect("a port"),
        }
    }

    pub(crate) async fn get(&self) {
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).expect("a name");
                self.exchange(tls.connect(name, stream).await.expect("TLS"))
                    .await;
            }
            None => self.exchange(stream).await,
        }
    }

    async fn exchange(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let request = format!(
            "GET /page HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: edgewatch-bench\r\nAccept: */*\r\n\r\n",
            self.host, self.port
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        stream.flush().await.expect("a flush");
        let mut read = Vec::with_capacity(8192);
        let (head, length) = loop {
            assert_ne!(
                stream.read_buf(&mut read).await.expect("an answer"),
                0,
                "closed early"
            );
            if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = std::str::from_utf8(&read[..end])
                    .expect("a head")
                    .to_ascii_lowercase();
                let line = head
                    .lines()
                    .find(|l| l.starts_with("content-length:"))
                    .expect("a length");
                break (
                    end + 4,
                    line[15..].trim().parse::<usize>().expect("a number"),
                );
            }
        };
        while read.len() < head + length {
            assert_ne!(
                stream.read_buf(&mut read).await.expect("the rest"),
                0,
                "closed early"
            );
        }
    }
}
