//! `edgewatch client`: what does a client really send?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask;
use super::client_trust::{self, Roots};
use crate::ask::likeness::{Comparison, Look};
use crate::cli::{Format, exit};
use crate::clock;
use crate::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, EgressName, IpFamily, Proxy, ProxyKind,
    Way,
};
use crate::domain::hello::Hello;
use crate::domain::observation::{Observation, Purpose};
use crate::domain::plan::Plan;
use crate::domain::probe::{Part, Probe, Redirects};
use crate::domain::secret::Secret;
use crate::domain::sent::{Greeting, Stack, header_order};
use crate::probe::Prober;
use crate::simulate::{Noted, Recorder};

/// What every field of a credential is here, so that no secret is shown.
const DUMMY: &str = "dummy";
/// Bytes read of a captured head.
const CAPTURED_MAX: u64 = 1024 * 1024;

/// Show what a client really sends, byte for byte, and how its TLS looks
///
/// Lets the client make its probes' requests to a recorder on this host, with dummy secrets: no partner is asked.
/// Shows the head as it stands on the wire, the TLS fingerprint (JA4) and the first flight of HTTP/2.
/// edgewatch's own TLS is that of rustls, whatever the user agent says: a rule on the fingerprint of the JVM, of curl
/// or of a browser can't be seen with it.
/// With --trust-from the partner's certificate is judged by the roots of a trust store: every path to one of them, and when it ends.
/// Exit code 0 when what was compared is the same (or nothing was compared) or every certificate holds, 1 when not, 2 when it can't be run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch client legacy-reval                        what does it send?
  edgewatch client legacy-reval --like captured.txt    is that what the real system sends?
  edgewatch client legacy-reval new-reval              what could an edge tell the two apart by?
  edgewatch client legacy-reval --trust-from cacerts   do the partner's certificates hold for that JVM, and how long?

A captured file is the request line and the headers, as `tcpdump -A` shows them over plain HTTP or `curl -v` after
\"> \". Lines before them like \"# ja4: t13d371200_db35923f8641_7c76daad20ec\" and \"# h2: 3:100;4:10485760|…\" are
compared too. Path, Host, Content-Length and what holds secrets are not.")]
pub(super) struct Arguments {
    /// The client, as the file names it.
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Compare with this client of the file.
    #[arg(value_name = "OTHER", conflicts_with = "like")]
    other: Option<String>,
    /// Only the request of this probe; each that the client is used for when left out.
    #[arg(long, value_name = "PROBE")]
    probe: Option<String>,
    /// Compare with a head captured from the real system; its request should be that of the probe.
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    #[command(flatten)]
    roots: Roots,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// One request as the recorder had it.
struct Request {
    client: String,
    probe: String,
    stack: Stack,
    noted: Noted,
    took: Duration,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    let plan = match ask::begin(config, log) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match show(&plan, arguments) {
        Ok(code) => code,
        Err(error) => super::complain(&error),
    }
}

fn show(plan: &Plan, arguments: &Arguments) -> Result<ExitCode, String> {
    let captured = arguments.like.as_deref().map(captured).transpose()?;
    let client = find(plan, &arguments.client)?;
    let other = arguments.other.as_deref();
    let other = other.map(|name| find(plan, name)).transpose()?;
    let probes = probes(plan, client, other, arguments)?;
    if let Some(from) = &arguments.roots.trust_from {
        let roots = (from.as_path(), &arguments.roots);
        return client_trust::run(plan, client, &probes, roots, arguments.format);
    }
    let runtime = super::runtime()?;
    let (mut requests, mut compared) = (Vec::new(), Vec::new());
    for probe in probes {
        let request = runtime.block_on(record(plan, probe, client))?;
        let look = look(&request);
        if let Some(captured) = &captured {
            compared.push(look.compare(captured, "in the file"));
        }
        requests.push(request);
        if let Some(other) = other {
            let request = runtime.block_on(record(plan, probe, other))?;
            compared.push(look.compare(&self::look(&request), &format!("as {}", other.name)));
            requests.push(request);
        }
    }
    let same = compared.iter().all(|found| found.differences.is_empty());
    match arguments.format {
        Format::Text => super::show(&text(&requests, &compared, other.is_some())),
        Format::Json => super::print(&format!("{:#}\n", keys(&requests, &compared, same))),
    }
    Ok(if same { exit::OK } else { exit::problem() })
}

fn find<'a>(plan: &'a Plan, name: &str) -> Result<&'a Client, String> {
    let mut clients = plan.clients.iter();
    clients
        .find(|client| client.name.as_str() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = plan.clients.iter().map(|c| c.name.as_str()).collect();
            format!(
                "there is no client {name:?} in the file; there are: {}",
                names.join(", ")
            )
        })
}

/// Whose requests are made: the probe that was named, else those that the client is used for; one to compare by.
fn probes<'a>(
    plan: &'a Plan,
    client: &Client,
    other: Option<&Client>,
    arguments: &Arguments,
) -> Result<Vec<&'a Probe>, String> {
    if let Some(name) = &arguments.probe {
        let mut all = plan.probes.iter();
        let found = all.find(|probe| probe.name.as_str() == name);
        return found.map(|probe| vec![probe]).ok_or_else(|| {
            let names: Vec<&str> = plan.probes.iter().map(|p| p.name.as_str()).collect();
            format!(
                "there is no probe {name:?} in the file; there are: {}",
                names.join(", ")
            )
        });
    }
    let uses = |probe: &&Probe| probe.as_clients.contains(&client.name);
    let mut found: Vec<&Probe> = plan.probes.iter().filter(uses).collect();
    if found.is_empty() {
        found.extend(plan.probes.first());
    }
    if other.is_some() || arguments.like.is_some() {
        found.truncate(1);
    }
    if found.is_empty() {
        return Err("the file has no probe, so there is no request to make".to_owned());
    }
    Ok(found)
}

fn captured(path: &Path) -> Result<Look, String> {
    use std::io::Read as _;
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("can't read {shown}: {e}"))?;
    let mut bytes = Vec::new();
    file.take(CAPTURED_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("can't read {shown}: {e}"))?;
    Look::read(&String::from_utf8_lossy(&bytes)).map_err(|e| format!("{shown}: {e}"))
}

/// Lets `client` make the request of `probe` to a recorder.
async fn record(plan: &Plan, probe: &Probe, client: &Client) -> Result<Request, String> {
    let now = clock::now();
    let recorder = Recorder::start(now).await?;
    let (plan, cell) = rehearsal(plan, probe, client, &recorder);
    let seen = Prober::new(&plan)?
        .run(&cell, Purpose::Asked, now, now)
        .await;
    // What broke off before a request is told as it went, not as an empty one.
    let mut noted = recorder.take();
    noted.retain(|noted| !noted.head.is_empty());
    let Observation { failure, sent, .. } = seen;
    match (noted.pop(), sent) {
        (Some(noted), Some(sent)) => Ok(Request {
            client: client.name.to_string(),
            probe: probe.name.to_string(),
            stack: sent.stack,
            noted,
            took: seen.took,
        }),
        _ => Err(format!(
            "client {} sent no request as {}: {}",
            client.name,
            probe.name,
            failure.map_or_else(|| "nobody knows why".to_owned(), |failed| failed.message)
        )),
    }
}

/// The plan of one cell that ends at the recorder and holds no secret.
fn rehearsal(plan: &Plan, probe: &Probe, client: &Client, recorder: &Recorder) -> (Plan, CellKey) {
    let egress = EgressName::new("recorder");
    let with = probe.with.iter().find(|name| !name.is_anonymous());
    let credential = with.cloned().unwrap_or_else(CredentialName::anonymous);
    let cell = CellKey {
        probe: probe.name.clone(),
        egress: egress.clone(),
        client: client.name.clone(),
        credential: credential.clone(),
    };
    let templates = probe.headers.iter().map(|(_, value)| value);
    let parts = templates.chain(&probe.body).flat_map(|text| &text.parts);
    let fields = parts.filter_map(|part| match part {
        Part::Credential(field, _) => Some((field.clone(), Secret::new(DUMMY))),
        Part::Text(_) => None,
    });
    let mut rehearsal = plan.clone();
    rehearsal.credentials = vec![Credential {
        name: credential.clone(),
        fields: fields.collect(),
        missing: None,
        unfit: std::collections::BTreeMap::new(),
        open: std::collections::BTreeSet::new(),
    }];
    rehearsal.egresses = vec![Egress {
        name: egress.clone(),
        way: Way::Proxy(Proxy {
            kind: ProxyKind::Socks5Hostname,
            host: recorder.address().ip().to_string(),
            port: recorder.address().port(),
            username: None,
            password: None,
            missing: None,
        }),
        site: None,
        public: None,
        region: None,
        family: IpFamily::Any,
    }];
    rehearsal.clients = vec![Client {
        // The recorder is nobody's partner.
        trust: None,
        ..client.clone()
    }];
    rehearsal.trust = vec![recorder.root_pem()];
    rehearsal.probes = vec![Probe {
        from: vec![egress],
        as_clients: vec![client.name.clone()],
        with: vec![credential],
        redirects: Redirects::No,
        connect_to: None,
        ..probe.clone()
    }];
    (rehearsal, cell)
}

fn look(request: &Request) -> Look {
    let noted = &request.noted;
    let ja4 = noted.hello.as_ref().map(Hello::ja4);
    Look::of(&noted.head, ja4, noted.h2.clone())
}

fn order(look: &Look) -> String {
    let version = look.version.trim_start_matches("HTTP/");
    header_order(version, look.headers.iter().map(|(name, _)| name.as_str()))
}

/// For people: each request, then what differs.
fn text(requests: &[Request], compared: &[Comparison], with_client: bool) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    // Writing to a string can't fail.
    for request in requests {
        let (noted, look) = (&request.noted, look(request));
        let _ = writeln!(text, "{} as {}", request.probe, request.client);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<12}  {value}");
        };
        match &noted.hello {
            Some(hello) => {
                row("TLS (JA4)", &look.ja4.clone().unwrap_or_default());
                row("", stack_words(&request.stack));
                row("TLS greeting", &Greeting::of(hello).told());
                row("TLS name", hello.sni.as_deref().unwrap_or("none"));
                let alpn = alpn(hello).join(", ");
                row("ALPN", if alpn.is_empty() { "none" } else { &alpn });
                if hello.resumes {
                    row(
                        "",
                        "takes up an earlier session: another fingerprint than a first one",
                    );
                }
            }
            None => row("TLS", "none"),
        }
        if let Some(h2) = &noted.h2 {
            row("HTTP/2", h2);
        }
        row("header order", &order(&look));
        row("took", &format!("{} ms", request.took.as_millis()));
        for line in &noted.head {
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
    }
    for (index, found) in compared.iter().enumerate() {
        if with_client && compared.len() > 1 {
            let _ = writeln!(text, "{}:", requests[index * 2].probe);
        }
        if found.differences.is_empty() {
            text.push_str("The same in all that was compared.\n");
        }
        for difference in &found.differences {
            let _ = writeln!(text, "differs  {difference}");
        }
        for open in &found.open {
            let _ = writeln!(text, "open     {open}");
        }
    }
    text
}

fn stack_words(stack: &Stack) -> &'static str {
    match stack {
        Stack::Native => {
            "edgewatch's own, rustls: no JVM, curl or browser has it, whatever the user agent says"
        }
        Stack::Program { .. } => "the program's own",
    }
}

fn alpn(hello: &Hello) -> Vec<String> {
    let names = hello.alpn.iter();
    names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// For scripts; keys are stable.
fn keys(requests: &[Request], compared: &[Comparison], same: bool) -> Value {
    let requests: Vec<Value> = requests
        .iter()
        .map(|request| {
            let (noted, look) = (&request.noted, look(request));
            json!({
                "client": request.client,
                "probe": request.probe,
                "sent": {
                    "stack": request.stack,
                    "ja4": look.ja4,
                    "header_order": order(&look),
                    "h2": noted.h2,
                },
                "sni": noted.hello.as_ref().and_then(|hello| hello.sni.clone()),
                "alpn": noted.hello.as_ref().map(alpn),
                "resumes": noted.hello.as_ref().map(|hello| hello.resumes),
                "head": noted.head,
                "took_ms": request.took.as_secs_f64() * 1000.0,
            })
        })
        .collect();
    let compared: Vec<Value> = compared
        .iter()
        .map(|found| json!({ "differences": found.differences, "open": found.open }))
        .collect();
    json!({ "requests": requests, "same": (!compared.is_empty()).then_some(same), "compared": compared })
}
