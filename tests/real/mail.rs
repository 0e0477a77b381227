//! A real mail server, aiosmtpd, with STARTTLS by a private authority: the mail of an opening is taken and reads well.

use std::fs;
use std::process::Command;

use crate::refused;
use crate::software::{Desk, free_port, has, until};

/// An authority and a certificate of it for `localhost`, as `openssl` makes them.
fn certificates(desk: &Desk) {
    desk.write(
        "server.ext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    );
    let new_key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let authority = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=Test authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    let request = [
        "req",
        "-new",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ];
    let sign = [
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "server.ext",
        "-out",
        "server.pem",
    ];
    for (arguments, more) in [
        (&authority[..], &new_key[..]),
        (&request, &new_key),
        (&sign, &[]),
    ] {
        let output = Command::new("openssl")
            .args(arguments)
            .args(more)
            .current_dir(desk.folder())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_mail_server_takes_what_opened() {
    if !has("mail server", &["aiosmtpd", "openssl", "nginx"]) {
        return;
    }
    let desk = &mut Desk::new("mail");
    certificates(desk);
    let port = free_port();
    let (listen, folder) = (format!("127.0.0.1:{port}"), desk.folder().join("box"));
    let place = folder.display().to_string();
    let arguments = [
        "-n",
        "-l",
        &listen,
        "--tlscert",
        "server.pem",
        "--tlskey",
        "server.key",
        "-c",
        "aiosmtpd.handlers.Mailbox",
        &place,
    ];
    desk.start("aiosmtpd", &arguments, port);
    let authority = desk.folder().join("ca.pem").display().to_string();
    let receiver = format!(
        "{{ email: {{ host: localhost, port: {port}, from: edgewatch@example.org, to: [team@example.org] }} }}"
    );
    let _ = refused(desk, &format!("trust: [\"{authority}\"]\n"), &receiver);
    let mut mail = String::new();
    let taken = (0..5).any(|_| {
        until(|| {
            let Ok(files) = fs::read_dir(folder.join("new")) else {
                return false;
            };
            let first = files.flatten().next();
            mail = first
                .and_then(|file| fs::read_to_string(file.path()).ok())
                .unwrap_or_default();
            mail.contains("Subject:")
        })
    });
    assert!(taken, "no mail");
    let to_team = mail
        .lines()
        .any(|line| line.starts_with("To:") && line.contains("team@example.org"));
    assert!(to_team && mail.contains("INC-1"), "{mail}");
}
