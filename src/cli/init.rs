//! `edgewatch init`: a first file, checked before it is written.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use url::Url;

use super::{Format, exit};
use crate::app::load;
use crate::config;

/// Write a first probes.yaml: three questions, or --partner URL
///
/// The file is checked before it is written, and one that is there is never touched. Touches no network. Exit code 0
/// when it is written, 2 when it can't be.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch init
  edgewatch init --partner https://api.acme.example/v1/health --user-agent \"Java/21.0.2\" --from 10.20.1.15
  edgewatch --config /etc/edgewatch/probes.yaml init --partner https://api.acme.example/")]
pub(super) struct Arguments {
    /// What to ask of the partner; nothing is asked of you then
    #[arg(long, value_name = "URL")]
    partner: Option<String>,
    /// A user agent that your services really send, to the letter; may be given several times
    #[arg(long, value_name = "TEXT", requires = "partner")]
    user_agent: Vec<String>,
    /// A local address to ask from; may be given several times, by the system's routes when left out
    #[arg(long, value_name = "ADDRESS", requires = "partner")]
    from: Vec<String>,
    /// How it is said that it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    if config.exists() {
        return super::complain(&format!(
            "{} is there already, and is left as it is; name another with --config",
            config.display()
        ));
    }
    let written = answers(arguments).and_then(|answers| write(config, &answers));
    if let Err(error) = written {
        return super::complain(&error);
    }
    if arguments.format == Format::Json {
        let written = serde_json::json!({ "written": config.display().to_string() });
        super::print(&format!("{written:#}\n"));
        return exit::OK;
    }
    let named = if config == Path::new("probes.yaml") {
        String::new()
    } else {
        format!(" --config {}", config.display())
    };
    super::show(&format!(
        "{} is written.\n  edgewatch{named} check     what could be said better\n  edgewatch{named} once      asks the partner now and shows the matrix\n  edgewatch{named}           probes on schedule; its messages stand here until \"notify\" names a channel\n  edgewatch explain notify   what a key is for\n",
        config.display()
    ));
    exit::OK
}

/// What a first file needs to know.
struct Answers {
    url: Url,
    user_agents: Vec<String>,
    addresses: Vec<String>,
}

fn answers(arguments: &Arguments) -> Result<Answers, String> {
    if let Some(partner) = &arguments.partner {
        return Ok(Answers {
            url: url(partner)?,
            user_agents: arguments.user_agent.clone(),
            addresses: arguments.from.clone(),
        });
    }
    let url = url(&ask(
        "What to ask of the partner, a URL that changes nothing there",
    )?)?;
    let agent = ask(
        "The user agent that your service really sends, to the letter (nothing: you don't know yet)",
    )?;
    let addresses = ask(
        "The local addresses to ask from, one that the partner has on its list each (nothing: by the system's routes)",
    )?;
    let words = addresses.split([',', ' ']).filter(|word| !word.is_empty());
    Ok(Answers {
        url,
        user_agents: Some(agent)
            .filter(|agent| !agent.is_empty())
            .into_iter()
            .collect(),
        addresses: words.map(str::to_owned).collect(),
    })
}

/// Asks on standard error and reads a line, so that answers may come from a script.
fn ask(question: &str) -> Result<String, String> {
    eprint!("{question}: ");
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) => Err("nobody answers; name the partner: edgewatch init --partner URL".to_owned()),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(format!("can't read the answer: {error}")),
    }
}

fn url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    match Url::parse(&whole) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(format!(
            "{text:?} is no URL; write it like https://api.acme.example/v1/health"
        )),
    }
}

fn write(path: &Path, answers: &Answers) -> Result<(), String> {
    let text = text(answers);
    let name = path.display().to_string();
    config::read(&text, &name, &Nothing).map_err(|findings| {
        format!(
            "that makes no right file, and none was written:\n{}",
            findings.errors()
        )
    })?;
    let mut file =
        std::fs::File::create_new(path).map_err(|e| format!("can't write {name}: {e}"))?;
    file.write_all(text.as_bytes())
        .map_err(|e| format!("can't write {name}: {e}"))?;
    // As whoever starts it next will read it.
    load::load(path).map(drop).map_err(|e| e.to_string())
}

/// A first file refers to nothing.
struct Nothing;

impl config::Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn text(answers: &Answers) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let host = answers.url.host_str().unwrap_or_default();
    let partner = match answers.url.domain().and_then(psl::domain_str) {
        Some(domain) => domain,
        None => host,
    };
    let egresses: String = match answers.addresses.as_slice() {
        [] => "  this-host: {}                  # by the system's routes; or { address: 10.20.1.15, public: 203.0.113.15 }\n".to_owned(),
        several => (1..)
            .zip(several)
            .map(|(number, address)| format!("  way-{number}: {}\n", quoted(address)))
            .collect::<Vec<_>>()
            .concat(),
    };
    let agents: String = match answers.user_agents.as_slice() {
        [] => "  # ours: \"Java/21.0.2\"          # the user agents that your services really send, to the letter\n".to_owned(),
        [one] => format!("  ours: {}\n", quoted(one)),
        several => (1..)
            .zip(several)
            .map(|(number, agent)| format!("  ours-{number}: {}\n", quoted(agent)))
            .collect::<Vec<_>>()
            .concat(),
    };
    let days = if answers.url.scheme() == "https" {
        ", certificate_days: 21"
    } else {
        ""
    };
    format!(
        "# What edgewatch probes, from where, as whom, and whom it tells. `edgewatch explain KEY` says what a key is for,
# `edgewatch check` whether the file is right.
version: 1
service: {service}
egresses:
{egresses}clients:
{agents}  plain: {{ user_agent: \"edgewatch (monitoring by a user of this API)\", control: true }}   # honest; name your address for the partner
probes:
  {name}:
    url: {url}
    every: 5m
    expect: {{ status: \"2xx\", latency: 10s{days} }}
controls:
  internet: {{ url: \"https://www.gov.uk/\", every: 1m }}   # should always pass: tells their fault from your network's
# notify: {{ receivers: {{ engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: C0123456789 }} }} }} }}
",
        service = quoted(partner),
        name = name(partner),
        url = quoted(answers.url.as_str()),
    )
}

/// The partner as a name of the file.
fn name(partner: &str) -> String {
    let first = partner.split('.').next().unwrap_or_default();
    let kept: String = first
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    let starts = kept.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && kept.len() > 1 {
        kept
    } else {
        "partner".to_owned()
    }
}
