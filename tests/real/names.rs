//! A real name server, unbound: what it says of names is told as what it is.

use serde_json::Value;

use crate::check;
use crate::software::{Desk, free_port, has};

/// unbound alone in its process, with these lines about names.
fn unbound(desk: &mut Desk, zones: &str) -> u16 {
    let port = free_port();
    let root = desk.folder().display().to_string();
    let file = desk.write(
        "unbound.conf",
        &format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{root}\"\n \
             pidfile: \"{root}/pid\"\n use-syslog: no\n module-config: \"iterator\"\n{zones}\nremote-control:\n control-enable: no\n"
        ),
    );
    desk.start("unbound", &["-c", &file.display().to_string()], port);
    port
}

/// What `once` says of each of these hosts, which nobody listens for.
fn resolve(desk: &Desk, server: u16, hosts: &[&str]) -> Vec<Value> {
    let nobody = free_port();
    let probe = |(n, host): (usize, &&str)| {
        let asked = format!("url: \"http://{host}:{nobody}/\", every: 5m, timeout: 3s");
        format!("  p{n}: {{ {asked} }}\n")
    };
    let probes: Vec<String> = hosts.iter().enumerate().map(probe).collect();
    let probes = probes.concat();
    let file = desk.write(
        "names.yaml",
        &format!(
            "version: 1\nservice: Partner\nclients: {{ batch: \"Java/1.8.0_275\" }}\negresses: {{ out: {{ address: 127.0.0.1 }} }}\n\
             name_servers: [\"127.0.0.1:{server}\"]\npoliteness: {{ per_host: {{ requests_per_minute: 600, gap: 0s }} }}\nprobes:\n{probes}"
        ),
    );
    let output = desk.edgewatch(&file, &["once", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let cells = answer["cells"].as_array().unwrap();
    let of = |n: usize| {
        let name = format!("p{n}");
        let cell = cells.iter().find(|cell| cell["probe"] == name.as_str());
        cell.unwrap()["verdict"].clone()
    };
    (0..hosts.len()).map(of).collect()
}

#[test]
fn names_that_are_there_are_gone_and_are_refused() {
    if !has("unbound", &["unbound"]) {
        return;
    }
    let desk = &mut Desk::new("unbound");
    let zones = " local-zone: \"well.example.\" static\n local-data: \"well.example. A 127.0.0.1\"\n \
                 local-zone: \"gone.example.\" always_nxdomain\n local-zone: \"refused.example.\" always_refuse\n \
                 local-zone: \"six.example.\" static\n local-data: \"six.example. AAAA 2001:db8::7\"";
    let server = unbound(desk, zones);
    let hosts = [
        "well.example",
        "gone.example",
        "refused.example",
        "six.example",
    ];
    let said = resolve(desk, server, &hosts);
    check(
        &said[0],
        &["connect_error"],
        "unknown",
        "none",
        "refused the connection",
    );
    check(
        &said[1],
        &["dns_error"],
        "unknown",
        "none",
        "there is no name gone.example",
    );
    // The partner's zone, because other names resolve at the same server.
    check(
        &said[2],
        &["dns_error"],
        "unknown",
        "none",
        "well.example resolves there",
    );
    let evidence = said[3]["evidence"].to_string();
    assert!(evidence.contains("IPv6"), "{evidence}");
}

#[test]
fn a_name_server_that_refuses_every_name_is_ours() {
    if !has("unbound that refuses", &["unbound"]) {
        return;
    }
    let desk = &mut Desk::new("unbound-refuses");
    let server = unbound(desk, " local-zone: \".\" always_refuse");
    for said in resolve(desk, server, &["one.example", "two.example"]) {
        check(&said, &["local_error"], "our_side", "none", "name server");
    }
}
