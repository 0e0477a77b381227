//! Real servers on loopback: what edgewatch says of their refusals and faults.
//!
//! The corpus holds saved answers; here the answers are made anew by what the machine has, with the connection,
//! the timing and the headers that go with them. Each case starts one program with a configuration of its own and
//! asks once. What is missing is said, and its cases are left out; `tests/run` installs what it can.

#![allow(clippy::unwrap_used)]

mod letter;
mod mail;
mod names;
mod software;

use std::process::{Command, Stdio};

use serde_json::Value;
use software::{Desk, free_port, get, has, until};

const DIRECT: &str = "{ address: 127.0.0.1 }";

fn probe(port: u16) -> String {
    format!("{{ url: \"http://127.0.0.1:{port}/\", every: 5m, timeout: 3s }}")
}

/// Kind, maker and vendor, and words that the evidence has.
fn check(verdict: &Value, kinds: &[&str], maker: &str, vendor: &str, says: &str) {
    let word = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    assert!(kinds.contains(&word("kind").as_str()), "{verdict:#}");
    assert_eq!(
        (word("maker").as_str(), word("vendor").as_str()),
        (maker, vendor),
        "{verdict:#}"
    );
    let evidence = verdict["evidence"].to_string();
    assert!(evidence.contains(says), "{says:?} is not in {verdict:#}");
}

/// nginx with one location, alone in its process so that it ends whole.
fn nginx(desk: &mut Desk, http: &str, location: &str) -> u16 {
    let port = free_port();
    let root = desk.folder().display().to_string();
    desk.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\nevents {{}}\nhttp {{\n access_log off;\n \
             client_body_temp_path {root}/1; proxy_temp_path {root}/2; fastcgi_temp_path {root}/3; uwsgi_temp_path {root}/4; scgi_temp_path {root}/5;\n \
             {http}\n server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}\n}}\n"
        ),
    );
    let file = format!("{root}/nginx.conf");
    desk.start("nginx", &["-p", &root, "-c", &file], port);
    port
}

#[test]
fn nginx_passes_refuses_and_limits() {
    if !has("nginx", &["nginx"]) {
        return;
    }
    let desk = &mut Desk::new("nginx");
    let port = nginx(desk, "", "return 200 'all well';");
    check(
        &desk.once(DIRECT, &probe(port)),
        &["pass"],
        "unknown",
        "none",
        "",
    );
    let port = nginx(desk, "", "deny all;");
    check(
        &desk.once(DIRECT, &probe(port)),
        &["origin_denied"],
        "unknown",
        "none",
        "nginx's own page",
    );
    let limit = "limit_req_zone $server_port zone=z:1m rate=1r/m; limit_req_status 429;";
    let port = nginx(desk, limit, "limit_req zone=z; alias /var/empty/;");
    let _ = desk.once(DIRECT, &probe(port));
    check(
        &desk.once(DIRECT, &probe(port)),
        &["rate_limited"],
        "unknown",
        "none",
        "nginx's own page",
    );
}

#[test]
fn nginx_closes_without_a_word() {
    if !has("nginx 444", &["nginx"]) {
        return;
    }
    let desk = &mut Desk::new("nginx-444");
    let port = nginx(desk, "", "return 444;");
    let verdict = desk.once(DIRECT, &probe(port));
    check(
        &verdict,
        &["connect_error", "edge_block"],
        "unknown",
        "none",
        "closed",
    );
}

/// `HAProxy` in one process.
fn haproxy(desk: &mut Desk, frontend: &str, backend: &str) -> u16 {
    let port = free_port();
    let file = desk.write(
        "haproxy.cfg",
        &format!(
            "defaults\n mode http\n retries 0\n timeout connect 2s\n timeout client 5s\n timeout server 2s\nfrontend f\n bind 127.0.0.1:{port}\n\
             {frontend}\n default_backend b\nbackend b\n{backend}\n"
        ),
    );
    desk.start("haproxy", &["-db", "-f", &file.display().to_string()], port);
    port
}

#[test]
fn haproxy_refuses_and_has_no_server() {
    if !has("haproxy", &["haproxy"]) {
        return;
    }
    let desk = &mut Desk::new("haproxy");
    let rule = " http-request deny deny_status 403 if { req.hdr(User-Agent) -m beg Java/1.8 }";
    let port = haproxy(desk, rule, "");
    check(
        &desk.once(DIRECT, &probe(port)),
        &["origin_denied", "edge_block"],
        "unknown",
        "haproxy",
        "HAProxy",
    );
    let dead = format!(" server s 127.0.0.1:{}", free_port());
    let port = haproxy(desk, "", &dead);
    let verdict = desk.once(DIRECT, &probe(port));
    check(
        &verdict,
        &["origin_error", "edge_error"],
        "unknown",
        "haproxy",
        "HAProxy",
    );
}

#[test]
fn haproxy_drops_without_a_word() {
    if !has("haproxy reject", &["haproxy"]) {
        return;
    }
    let desk = &mut Desk::new("haproxy-reject");
    let port = haproxy(desk, " http-request reject", "");
    check(
        &desk.once(DIRECT, &probe(port)),
        &["connect_error", "edge_block"],
        "unknown",
        "none",
        "",
    );
}

#[test]
fn varnish_refuses_with_its_id() {
    if !has("varnish", &["varnishd", "cc"]) {
        return;
    }
    let desk = &mut Desk::new("varnish");
    let port = free_port();
    let rules =
        "vcl 4.1; backend default none; sub vcl_recv { return (synth(403, \"Forbidden\")); }\n";
    let file = desk.write("rules.vcl", rules).display().to_string();
    let work = desk.folder().join("work").display().to_string();
    let listen = format!("127.0.0.1:{port}");
    desk.start(
        "varnishd",
        &["-j", "none", "-F", "-n", &work, "-a", &listen, "-f", &file],
        port,
    );
    let verdict = desk.once(DIRECT, &probe(port));
    check(
        &verdict,
        &["origin_denied", "edge_block"],
        "unknown",
        "varnish",
        "Varnish",
    );
    let id = verdict["reference_id"].as_str().unwrap_or_default();
    assert!(
        id.parse::<u64>().is_ok(),
        "the XID is what their log is searched by: {verdict:#}"
    );
}

#[test]
fn apache_with_the_core_rule_set_refuses_an_attack() {
    const MODULES: &str = "/usr/lib/apache2/modules";
    const RULES: &str = "/usr/share/modsecurity-crs/rules";
    const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
    let security = format!("{MODULES}/mod_security2.so");
    if !has(
        "Apache with the core rule set",
        &["apache2", &security, RULES, SETUP],
    ) {
        return;
    }
    let desk = &mut Desk::new("apache");
    let (port, root) = (free_port(), desk.folder().display().to_string());
    let file = desk.write(
        "apache.conf",
        &format!(
            "ServerRoot {root}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {root}/pid\nErrorLog {root}/error.log\nDocumentRoot {root}\nUser www-data\nGroup www-data\n\
             LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\nLoadModule authz_core_module {MODULES}/mod_authz_core.so\nLoadModule dir_module {MODULES}/mod_dir.so\n\
             LoadModule unique_id_module {MODULES}/mod_unique_id.so\nLoadModule security2_module {security}\n\
             SecRuleEngine On\nSecDataDir {root}\nSecTmpDir {root}\nSecAuditEngine Off\nInclude {SETUP}\nInclude {RULES}/*.conf\n"
        ),
    );
    desk.write("index.html", "all well");
    desk.start("apache2", &["-X", "-f", &file.display().to_string()], port);
    let good = desk.once(DIRECT, &probe(port));
    check(&good, &["pass"], "unknown", "none", "");
    let attack = "%3Cscript%3Ealert(1)%3C/script%3E";
    let asked =
        format!("{{ url: \"http://127.0.0.1:{port}/?q={attack}\", every: 5m, timeout: 3s }}");
    let verdict = desk.once(DIRECT, &asked);
    check(
        &verdict,
        &["origin_denied", "edge_block"],
        "unknown",
        "none",
        "Apache's own page",
    );
}

#[test]
fn squid_refuses_on_our_side() {
    if !has("squid", &["squid"]) {
        return;
    }
    let desk = &mut Desk::new("squid");
    let port = free_port();
    let rules = format!(
        "http_port 127.0.0.1:{port}\nhttp_access deny all\naccess_log none\ncache_log /dev/null\npid_filename none\ncache deny all\n\
         coredump_dir /tmp\nshutdown_lifetime 0 seconds\n"
    );
    let file = desk.write("squid.conf", &rules).display().to_string();
    desk.start("squid", &["-N", "-f", &file], port);
    let out = format!("{{ proxy: \"http://127.0.0.1:{port}\" }}");
    let https = "{ url: \"https://partner.example/\", every: 5m, timeout: 3s }";
    check(
        &desk.once(&out, https),
        &["local_error"],
        "our_side",
        "none",
        "403",
    );
    // A proxy that nobody runs is ours too.
    let dead = format!("{{ proxy: \"http://127.0.0.1:{}\" }}", free_port());
    check(
        &desk.once(&dead, https),
        &["local_error"],
        "our_side",
        "none",
        "refused the connection",
    );
}

#[test]
fn a_socks_server_passes_and_wants_a_login() {
    if !has("microsocks", &["microsocks", "nginx"]) {
        return;
    }
    let desk = &mut Desk::new("socks");
    let port = nginx(desk, "", "return 200 'all well';");
    let socks = |desk: &mut Desk, more: &[&str]| {
        let at = free_port();
        let number = at.to_string();
        let arguments: Vec<&str> = ["-i", "127.0.0.1", "-p", &number]
            .iter()
            .chain(more)
            .copied()
            .collect();
        desk.start("microsocks", &arguments, at);
        format!("{{ proxy: \"socks5://127.0.0.1:{at}\" }}")
    };
    let open = socks(desk, &[]);
    check(
        &desk.once(&open, &probe(port)),
        &["pass"],
        "unknown",
        "none",
        "",
    );
    let closed = socks(desk, &["-u", "somebody", "-P", "something"]);
    check(
        &desk.once(&closed, &probe(port)),
        &["local_error"],
        "our_side",
        "none",
        "",
    );
}

/// A daemon whose partner refuses from the start, told to `receiver`; the port of its page. `top` are further lines.
fn refused(desk: &mut Desk, top: &str, receiver: &str) -> u16 {
    let partner = nginx(desk, "", "deny all;");
    let port = free_port();
    let store = desk.folder().join("edgewatch.db").display().to_string();
    let file = desk.write(
        "daemon.yaml",
        &format!(
            "version: 1\nservice: Partner\nclients: {{ batch: \"Java/1.8.0_275\" }}\n{top}listen: \"127.0.0.1:{port}\"\nstore: {{ path: \"{store}\" }}\n\
             politeness: {{ per_host: {{ requests_per_minute: 600, gap: 0s }} }}\nnotify: {{ receivers: {{ here: {receiver} }} }}\n\
             probes:\n  page: {{ url: \"http://127.0.0.1:{partner}/\", every: 1s, timeout: 3s }}\n"
        ),
    );
    desk.daemon(&file, port);
    port
}

#[test]
fn promtool_finds_no_fault_in_the_numbers() {
    if !has("promtool", &["promtool", "nginx"]) {
        return;
    }
    let desk = &mut Desk::new("promtool");
    let port = refused(desk, "", "{ log: {} }");
    let mut numbers = String::new();
    assert!(until(|| {
        numbers = get(port, "/metrics");
        numbers.contains("# TYPE")
    }));
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), numbers.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.trim().is_empty(), "{text}");
}

#[test]
fn alertmanager_holds_what_is_open() {
    if !has("Alertmanager", &["prometheus-alertmanager", "nginx"]) {
        return;
    }
    let desk = &mut Desk::new("alertmanager");
    let port = free_port();
    let file = desk.write(
        "alertmanager.yml",
        "route: { receiver: none }\nreceivers: [{ name: none }]\n",
    );
    let config = format!("--config.file={}", file.display());
    let storage = format!("--storage.path={}", desk.folder().display());
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    desk.start(
        "prometheus-alertmanager",
        &[&config, &storage, &listen, "--cluster.listen-address="],
        port,
    );
    let _ = refused(
        desk,
        "",
        &format!("{{ alertmanager: {{ url: [\"http://127.0.0.1:{port}\"] }} }}"),
    );
    // Opened by some spaced failures, and sent at once.
    let mut alerts = String::new();
    let told = (0..5).any(|_| {
        until(|| {
            alerts = get(port, "/api/v2/alerts");
            alerts.contains("labels")
        })
    });
    assert!(told, "no alert: {alerts}");
}
