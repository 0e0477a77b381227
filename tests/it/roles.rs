//! Who may look and who may act: every act by everybody, by session, by password and by what a proxy says.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, within};
use crate::fakes::Fake;
use crate::pages::{Answer, address, get, say};
use crate::world::{RULE, World};

pub(crate) const ANN: &str = "correct horse battery";
const BEN: &str = "staple";
const PROXY: &str = "between-the-two-of-us";

/// The hash that an operator makes of a password.
fn hashed(password: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgewatch"));
    command.args(["web", "password"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("$argon2id$"), "{text}");
    text.trim_end().to_owned()
}

/// Asks with these headers, as a page of ours does.
pub(crate) async fn ask(
    address: SocketAddr,
    path: &str,
    headers: &str,
    form: Option<&str>,
) -> Answer {
    let (method, form) = match form {
        Some(form) => ("POST", form),
        None => ("GET", ""),
    };
    say(
        address,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n{headers}Content-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n{form}",
            form.len()
        ),
    )
    .await
}

/// The cookie of who signs in by a password; `Err`: the answer in place of it.
pub(crate) async fn sign_in(
    address: SocketAddr,
    name: &str,
    password: &str,
) -> Result<String, Answer> {
    let form = format!("name={name}&password={}", password.replace(' ', "+"));
    let answer = ask(address, "/sign-in", "", Some(&form)).await;
    let Some((_, session)) = answer.head.split_once("set-cookie: __host-edgewatch=") else {
        return Err(answer);
    };
    Ok(format!("Cookie: __Host-edgewatch={}\r\n", &session[..64]))
}

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) daemon: Daemon,
    pub(crate) address: SocketAddr,
}

pub(crate) async fn stage(web: &str) -> Stage {
    stage_of(web, "").await
}

/// With further receivers.
pub(crate) async fn stage_of(web: &str, receivers: &str) -> Stage {
    let world = World::start().await;
    let teams = Fake::teams().await;
    for (name, text) in [
        ("ann", hashed(ANN)),
        ("ben", hashed(BEN)),
        ("proxy", PROXY.to_owned()),
    ] {
        std::fs::write(world.directory.path().join(name), text).unwrap();
    }
    let rest = format!(
        "web: {{ listen: 127.0.0.1:0, {web} }}\nnotify: {{ receivers: {{ support: {{ teams: {{ webhook: {{ env: TEAMS_WEBHOOK_URL }} }} }}{receivers} }} }}"
    );
    world.write("de1: 127.0.0.2", "1s", &rest);
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    let address = address(&world);
    Stage {
        world,
        daemon,
        address,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_by_everybody() {
    let stage = stage(
        "users: { ann: { password: { file: ann } }, ben: { password: { file: ben } } }, viewers: [\"group:staff\", ben], operators: [ann, \"group:ops\"], \
         proxy: { from: [127.0.0.1], groups: X-Forwarded-Groups, secret: { file: proxy } }",
    )
    .await;
    let address = stage.address;
    let ann = sign_in(address, "ann", ANN).await.ok().unwrap();
    let ben = sign_in(address, "ben", BEN).await.ok().unwrap();
    let by_proxy = |user: &str, groups: &str| {
        format!(
            "X-Edgewatch-Proxy: {PROXY}\r\nX-Forwarded-User: {user}\r\nX-Forwarded-Groups: {groups}\r\n"
        )
    };
    let (looks, acts) = ([200, 403], [200, 303]);
    let nobody = [401, 401];
    let cases = [
        ("nobody", String::new(), nobody),
        (
            "a stranger's cookie",
            format!("Cookie: __Host-edgewatch={}\r\n", "0".repeat(64)),
            nobody,
        ),
        ("ann by password", ann.clone(), acts),
        ("ben by password", ben.clone(), looks),
        ("ann by the proxy", by_proxy("ann", ""), acts),
        ("carl in staff", by_proxy("carl", "staff, other"), looks),
        ("dora in ops", by_proxy("dora", "staff,ops"), acts),
        ("erik in no group", by_proxy("erik", "other"), [403, 403]),
        ("a user named like a group", by_proxy("ops", ""), [403, 403]),
        (
            "the header without the secret",
            "X-Forwarded-User: ann\r\n".to_owned(),
            nobody,
        ),
        (
            "a wrong secret",
            "X-Edgewatch-Proxy: guess\r\nX-Forwarded-User: ann\r\n".to_owned(),
            nobody,
        ),
        (
            "two users",
            format!("{}X-Forwarded-User: ann\r\n", by_proxy("carl", "staff")),
            nobody,
        ),
        (
            "two lists of groups",
            format!("{}X-Forwarded-Groups: ops\r\n", by_proxy("carl", "staff")),
            [403, 403],
        ),
        ("no user", by_proxy("", "ops"), nobody),
    ];
    for (place, (who, headers, [look, act])) in cases.into_iter().enumerate() {
        for path in [
            "/",
            "/incidents",
            "/api/v1/board",
            "/config",
            "/quiet.csv",
            "/status",
            "/gate/connect",
        ] {
            let found = ask(address, path, &headers, None).await;
            let gate = path.starts_with("/gate") && found.status != 401 && found.status != 403;
            assert!(
                gate || found.status == look,
                "{who} looks at {path}: {} {}",
                found.status,
                found.body
            );
        }
        let form = format!("once={place:064}");
        let found = ask(address, "/probes/connect/run", &headers, Some(&form)).await;
        assert_eq!(found.status, act, "{who} acts: {}", found.body);
        let form = format!("once={place:064}&preview=yes&client=legacy&for=60&why=agreed");
        let found = ask(address, "/quiet/silence", &headers, Some(&form)).await;
        let expected = if act == 303 { 200 } else { act };
        assert_eq!(found.status, expected, "{who} previews: {}", found.body);
        let text = "text=version:+1%0Aservice:+GMC%0Aclients:+{+a:+a/1+}%0Aprobes:+{+p:+{+url:+https://a.example/,+every:+5m+}+}%0A";
        let found = ask(address, "/config/check", &headers, Some(text)).await;
        assert_eq!(
            found.status, expected,
            "{who} checks a file: {}",
            found.body
        );
        if expected == 200 {
            assert!(
                found.body.contains("What taking it would change"),
                "{}",
                found.body
            );
        }
        // What anybody may see.
        assert_eq!(
            ask(address, "/sign-in", &headers, None).await.status,
            200,
            "{who}"
        );
        assert_eq!(
            ask(address, "/s/0", &headers, None).await.status,
            404,
            "{who}"
        );
    }
    let html = "Accept: text/html\r\n";
    let sent_on = ask(address, "/incidents", html, None).await;
    assert_eq!(sent_on.status, 303);
    assert!(
        sent_on.head.contains("location: /sign-in"),
        "{}",
        sent_on.head
    );
    let sealed = get(address, "/sign-in").await;
    assert!(!sealed.body.contains("<nav"), "{}", sealed.body);
    let page = ask(address, "/probes/connect", &ben, None).await;
    assert!(!page.body.contains("Run it now"), "{}", page.body);
    let page = ask(address, "/probes/connect", &ann, None).await;
    assert!(page.body.contains("Run it now"), "{}", page.body);
    let done = ask(address, "/events?what=acts", &ben, None).await;
    for name in ["ann", "dora"] {
        assert!(done.body.contains(name), "{name}: {}", done.body);
    }

    // Another password ends what the one before opened, and so does leaving.
    let left = ask(address, "/sign-out", &ben, Some("")).await;
    assert_eq!(left.status, 303);
    assert_eq!(ask(address, "/", &ben, None).await.status, 401);
    std::fs::write(
        stage.world.directory.path().join("ann"),
        hashed("another one"),
    )
    .unwrap();
    stage.daemon.reload();
    let log = stage.world.directory.path().join("daemon.log");
    within("the new file", async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let served = || {
            std::fs::read_to_string(&log)
                .unwrap()
                .matches("http://edgewatch.localhost:")
                .count()
        };
        while served() < 2 {
            looks.tick().await;
        }
    })
    .await;
    let address = self::address(&stage.world);
    assert_eq!(ask(address, "/", &ann, None).await.status, 401);
    assert!(sign_in(address, "ann", ANN).await.is_err());
    assert!(sign_in(address, "ann", "another one").await.is_ok());
    assert_eq!(stage.daemon.stop().await, 0);
    let folder = stage.world.directory.path();
    for secret in [ANN, PROXY, "another one"] {
        for file in [folder.join("daemon.log"), folder.join("edgewatch.sqlite")] {
            let bytes = std::fs::read(&file).unwrap_or_default();
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {}", file.display());
        }
    }
}

/// The page for support staff is for everybody where the file says so, and then nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_page_shows_what_it_was_told_and_leads_nowhere() {
    let stage = stage_of(
        "users: { ann: { password: { file: ann } } }, viewers: [ann], operators: [ann]",
        ", page: { status_page: { public: true } }",
    )
    .await;
    let address = stage.address;
    within("all is known to work", async {
        while !get(address, "/status")
            .await
            .body
            .contains("Everything works")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stage.world.partner.switch(RULE, true);
    within("the page is told", async {
        while !get(address, "/status").await.body.contains("does not work") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let page = get(address, "/status").await;
    assert!(
        page.body.contains("http-equiv=\"refresh\""),
        "{}",
        page.body
    );
    for part in ["<nav", "<script", "href=\"/incidents", "href=\"/\""] {
        assert!(!page.body.contains(part), "{part}: {}", page.body);
    }
    let feed = get(address, "/status.atom").await;
    assert!(feed.body.contains("<entry>"), "{}", feed.body);
    for path in ["/maintenance.ics", "/badge/connect.svg"] {
        assert_eq!(get(address, path).await.status, 200, "{path}");
    }
    for path in [
        "/",
        "/wall",
        "/incidents/1",
        "/api/v1/status",
        "/live?for=board",
        "/help",
    ] {
        let found = get(address, path).await;
        assert!(
            [303, 401].contains(&found.status),
            "{path}: {}",
            found.status
        );
    }
    let ann = sign_in(address, "ann", ANN).await.ok().unwrap();
    let whole = ask(address, "/status", &ann, None).await;
    assert!(whole.body.contains("<nav"), "{}", whole.body);
    let told = ask(address, "/deliveries.csv", &ann, None).await.body;
    assert!(told.lines().any(|line| line.contains("page")), "{told}");
    stage.daemon.stop().await;
}

/// A link opens one page, and the one for scripts what they read; nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_what_it_is_for() {
    let stage =
        stage("users: { ann: { password: { file: ann } } }, viewers: [ann], operators: [ann]")
            .await;
    let address = stage.address;
    let ann = sign_in(address, "ann", ANN).await.ok().unwrap();
    let mut tokens = Vec::new();
    for (place, opens) in ["status", "wall", "api"].into_iter().enumerate() {
        let form = format!("once={place:064}&opens={opens}&days=30");
        let made = ask(address, "/links", &ann, Some(&form)).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let before = if opens == "api" { "Bearer " } else { "/s/" };
        let (_, rest) = made.body.split_once(before).expect("a link");
        tokens.push(rest[..64].to_owned());
    }
    for (opens, word) in ["", "everything", "INC-1"].into_iter().zip(["a", "b", "c"]) {
        let form = format!("once={word:0>64}&opens={opens}&days=30");
        assert_eq!(ask(address, "/links", &ann, Some(&form)).await.status, 400);
    }
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    within("all is known to work", async {
        while !ask(address, "/status", &ann, None)
            .await
            .body
            .contains("Everything works")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (place, title) in ["Everything works", "No incident is open"]
        .into_iter()
        .enumerate()
    {
        let token = &tokens[place];
        let page = get(address, &format!("/s/{token}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        for part in [title, "http-equiv=\"refresh\""] {
            assert!(page.body.contains(part), "{part}: {}", page.body);
        }
        for part in ["<nav", "<form", "<script", "href=\"/incidents"] {
            assert!(!page.body.contains(part), "{part}: {}", page.body);
        }
        let found = ask(address, "/api/v1/board", &bearer(token), None).await;
        assert_eq!(found.status, 401, "not for scripts");
    }
    let script = bearer(&tokens[2]);
    for (path, status) in [
        ("/api/v1/board", 200),
        ("/gate/connect", 200),
        ("/", 401),
        ("/incidents", 401),
        ("/bodies/0", 401),
    ] {
        assert_eq!(
            ask(address, path, &script, None).await.status,
            status,
            "{path}"
        );
    }
    let act = ask(
        address,
        "/probes/connect/run",
        &script,
        Some(&format!("once={:064}", 9)),
    )
    .await;
    assert_eq!(act.status, 401, "{}", act.body);
    assert_eq!(get(address, &format!("/s/{}", tokens[2])).await.status, 404);
    let quiet = ask(address, "/quiet", &ann, None).await.body;
    for part in ["the screen for the wall, until", "what scripts read, until"] {
        assert!(quiet.contains(part), "{part}: {quiet}");
    }
    let end = format!("once={:064}", 10);
    assert_eq!(
        ask(address, "/links/3/end", &ann, Some(&end)).await.status,
        303
    );
    assert_eq!(
        ask(address, "/api/v1/board", &script, None).await.status,
        401
    );
    stage.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_passwords_waits() {
    let stage = stage("users: { ann: { password: { file: ann } } }, operators: [ann]").await;
    let address = stage.address;
    assert_eq!(
        get(address, "/").await.status,
        200,
        "looking needs no sign-in here"
    );
    for n in 0..5 {
        let wrong = sign_in(address, "ann", "guess").await.unwrap_err();
        assert_eq!(wrong.status, 403, "{n}");
    }
    let wrong = sign_in(address, "ann", ANN).await.unwrap_err();
    assert_eq!(wrong.status, 429, "also the right one waits");
    assert!(wrong.head.contains("retry-after: "), "{}", wrong.head);
    // Nobody is kept out by others' guesses for long.
    within("the wait", async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
        while sign_in(address, "ann", ANN).await.is_err() {
            looks.tick().await;
        }
    })
    .await;
    assert_eq!(stage.daemon.stop().await, 0);
}
