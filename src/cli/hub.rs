//! `edgewatch hub`: the daemon that agents at other sites report to, and what it takes to be one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{Format, exit, run};
use crate::app::sites::STREAM_BYTES;
use crate::app::standby;
use crate::clock;
use crate::domain::hubs::check_hub_name;
use crate::link::lease::LEASE;
use crate::link::rights::{self, Init};

/// Be the hub of agents at other sites: all that `run` does, and what they see
///
/// The file names the server where they meet (`nats:`) and egresses with `site:`. Everything else is as of
/// `edgewatch run`, exit codes too. With a name it is one of several hubs: the first leads, the others follow its decisions
/// and one of them leads within 45 s when it dies, stands still or is cut off.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
The first cell at another site, in three commands (docs/sites.md has the whole of it):
  edgewatch hub init --nats nats.example.internal --site aws-london --out /etc/edgewatch/nats
  edgewatch hub                                        probes.yaml: nats: { url: …, identity: /etc/edgewatch/nats/hub }
  edgewatch agent --site aws-london --identity aws-london     at the site, with the folder that the first made"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Its name, where there are several hubs: one of them leads, the others stand by and take over when it dies
    #[arg(long, value_name = "NAME", value_parser = check_hub_name)]
    name: Option<String>,
    /// Begin the log of the hubs again from this store, because the one at the server went back or is gone
    #[arg(long, requires = "name")]
    rewrite_log: bool,
    /// How long a hub that is not heard keeps the lead, in milliseconds; for tests.
    #[arg(long, hide = true, requires = "name", value_parser = clap::value_parser!(u64).range(500..))]
    lease_ms: Option<u64>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make certificates for the server, the hub and each site, and a nats.conf with the least rights they need
    ///
    /// What is there already stays as it is, so a site is added by naming it alone. Exit code 0 when all is made, 2 when
    /// something can't be.
    Init(InitArguments),
}

#[derive(Debug, clap::Args)]
struct InitArguments {
    /// Name of the host where nats-server runs, as hub and agents reach it
    #[arg(long, value_name = "HOST")]
    nats: String,
    /// A site that is to have an agent; may be given again and again
    #[arg(long, value_name = "NAME", required = true)]
    site: Vec<String>,
    /// The folder to put all of it into
    #[arg(long, value_name = "FOLDER", default_value = "nats")]
    out: PathBuf,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Arguments {
    fn by(&self) -> run::As {
        let Some(name) = &self.name else {
            return run::As::Hub;
        };
        run::As::OneOf(standby::Hub {
            name: name.clone(),
            lease: self.lease_ms.map_or(LEASE, Duration::from_millis),
            rewrite_log: self.rewrite_log,
        })
    }
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    match &arguments.what {
        None => run::daemon(config, log, &arguments.run, arguments.by()),
        Some(What::Init(arguments)) => init(arguments),
    }
}

fn init(arguments: &InitArguments) -> ExitCode {
    let wanted = Init {
        host: &arguments.nats,
        sites: &arguments.site,
        folder: &arguments.out,
        stream_bytes: STREAM_BYTES,
    };
    let made = match rights::init(&wanted, clock::now()) {
        Ok(made) => made,
        Err(error) => return super::complain(&error),
    };
    if arguments.format == Format::Json {
        super::print(&format!("{:#}\n", serde_json::json!({ "made": made })));
        return exit::OK;
    }
    let out = std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone());
    let mut text = String::new();
    for made in made {
        // Writing to a string can't fail.
        let _ = writeln!(text, "made {made}");
    }
    let site = arguments.site.first().map_or("SITE", String::as_str);
    let _ = write!(
        text,
        "\nNext:
  nats-server -c {out}/nats.conf                       on {host}, version 2.12 or later
  nats: {{ url: \"tls://{host}:4222\", identity: {out}/hub }}   in probes.yaml, and an egress {{ site: {site} }}
  edgewatch hub                                        on this host
  edgewatch agent --site {site} --identity {site}      at the site, with a copy of {out}/{site}\n",
        out = out.display(),
        host = arguments.nats,
    );
    super::print(&text);
    exit::OK
}
