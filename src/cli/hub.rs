//! `edgewatch hub`: the daemon that agents at other sites report to, and what it takes to be one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Format, exit, run};
use crate::app::sites::STREAM_BYTES;
use crate::clock;
use crate::link::rights::{self, Init};

/// Be the hub of agents at other sites: all that `run` does, and what they see
///
/// The file names the server where they meet (`nats:`) and egresses with `site:`. Everything else is as of
/// `edgewatch run`, exit codes too.
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

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    match &arguments.what {
        None => run::daemon(config, log, &arguments.run, true),
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
