//! The page that both clients fetch, served by a child process so that its CPU is not counted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const PAGE_BYTES: usize = 5_120;

pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) ca_pem: String,
    pub(crate) https: String,
    pub(crate) http: String,
}

impl Child {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut line = || lines.next().expect("a line").expect("UTF-8");
        let (http, https) = (line(), line());
        let mut ca_pem = String::new();
        loop {
            let line = line();
            ca_pem.push_str(&line);
            ca_pem.push('\n');
            if line.contains("END CERTIFICATE") {
                break;
            }
        }
        Self {
            process: child,
            ca_pem,
            https: format!("https://bench.test:{https}"),
            http: format!("http://bench.test:{http}"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the child does: prints its ports and its CA, then serves until it is killed or its parent goes away.
pub(crate) fn serve() {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["bench.test".to_owned()]).expect("parameters");
    let certificate = leaf.signed_by(&key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a configuration");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let secure = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = |l: &TcpListener| l.local_addr().expect("an address").port();
        println!(
            "{}\n{}\n{}",
            port(&plain),
            port(&secure),
            ca_certificate.pem()
        );
        let _ = std::io::stdout().flush();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        loop {
            tokio::select! {
                Ok((stream, _)) = plain.accept() => { tokio::spawn(answer(stream)); }
                Ok((stream, _)) = secure.accept() => {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer(stream).await;
                        }
                    });
                }
            }
        }
    });
}

async fn answer(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) {
    static PAGE: [u8; PAGE_BYTES] = [b'x'; PAGE_BYTES];
    let service = service_fn(|_| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(&PAGE))))
    });
    // A client that closes early is none of the server's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
