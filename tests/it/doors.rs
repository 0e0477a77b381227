//! A webhook endpoint of ours, asked as the partner's sender and plainly, over real sockets.

use edgewatch::clock;
use edgewatch::simulate::{
    Action, Clock, Edge, Form, Front, Page, Partner, Rule, Script, Text, When,
};

use crate::kept;
use crate::world::{program, run};

#[tokio::test(flavor = "multi_thread")]
async fn our_own_edge_that_refuses_the_partners_sender_is_ours_to_mend() {
    let page = Action::Page(Page::Cloudflare {
        code: 1010,
        form: Form::Text,
    });
    let script = Script {
        rules: vec![Rule::new(
            "list",
            When::ua(Text::prefix("Go-http-client")),
            page,
        )],
        front: Front::cloudflare(),
        ..Script::new(Clock::new(clock::now))
    };
    let edge = Edge::start(Partner::control(), script).await.unwrap();
    let folder = kept::folder();
    let file = folder.path().join("probes.yaml");
    let write = |ours: &str, partner: &str| {
        let text = format!(
            "version: 1\nservice: Orders\ntimezone: Europe/London\negresses: {{ a: {{ address: 127.0.0.2 }}, b: {{ address: 127.0.0.3 }} }}\nclients: {{ kick-sender: Go-http-client/1.1, curl: curl/8.5.0 }}\nprobes:\n  inbound: {{ url: \"http://hooks.ours.example:{}/kick\", connect_to: 127.0.0.1, method: POST, body: \"{{}}\", every: 5m, timeout: 5s, {ours}{partner} }}\npoliteness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nstore: {{ path: {}/edgewatch.sqlite }}\n",
            edge.addr().port(),
            folder.path().display()
        );
        std::fs::write(&file, text).unwrap();
    };
    let once = async || {
        let mut command = program(&["once", "--config"]);
        command.arg(&file);
        let (code, out, err) = run(command).await;
        assert_eq!(code, 1, "{out}{err}");
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let host = format!("hooks.ours.example:{}", edge.addr().port());
    write("ours: true", ", partner: Kick");
    let out = once().await;
    for said in [
        format!(
            "Our own door {host} refuses client `kick-sender` (Go-http-client/1.1) at Cloudflare (error 1010), from every egress; `curl` passes"
        ),
        "next Allow the user agent `Go-http-client/1.1` ourselves at Cloudflare (look up Ray ID `"
            .to_owned(),
        "nobody else can, and Kick can't reach us until then".to_owned(),
    ] {
        assert!(out.contains(&said), "{said}\n{out}");
    }
    assert!(!out.contains("Ask "), "nobody is asked: {out}");
    write("ours: true", "");
    let out = once().await;
    assert!(
        out.contains("and whoever calls it can't reach us until then"),
        "{out}"
    );
    write("ours: false", ", partner: Kick");
    let out = once().await;
    assert!(out.contains("Orders refuses client `kick-sender`"), "{out}");
    assert!(out.contains("Ask Orders to allow the user agent"), "{out}");
}
