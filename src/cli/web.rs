//! `edgewatch web`: the pages of a store, without the daemon that wrote it.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Format, exit};
use crate::app::load::{self, Kept};
use crate::clock;
use crate::dashboard::{self, Pages, Source, people};
use crate::domain::password::{PASSWORD_MAX, hash};
use crate::domain::secret::mask;
use crate::domain::web::Web;
use crate::store::Store;

/// Show a store's pages in the browser, read only: a copy of it, on any machine, without the daemon
///
/// The daemon shows its own pages (`web` in probes.yaml); this is for a store that was copied, for a post-mortem
/// elsewhere. Everything is as it was when the daemon wrote it last, by the plan that the store has kept; where it has
/// kept none, by probes.yaml. Serves until Ctrl-C. Exit code 0 when it was ended, 2 when the store can't be read or the
/// address can't be listened on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch web --store copy.sqlite      shows a copy
  edgewatch web sign-in                  to act in the daemon's pages: look after an incident, silence
  edgewatch web password                 makes the hash of a password for a user of the pages")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    store: super::StoreAt,
    /// A loopback address and port; port 0 leaves the choice to the system.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How the address is written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print an address that signs you in to the daemon's pages; good for five minutes, and once
    SignIn {
        /// Who signs in, for the others; the user of this shell when left out.
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Make the hash of a password for `web: { users: { NAME: { password: … } } }`
    ///
    /// Asks for it twice on a terminal, else reads one line from standard input, and prints the argon2id hash, which
    /// belongs where `password` in the file points to: an environment variable or a file.
    Password,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let said = match &arguments.what {
        Some(What::SignIn { who }) => Some(sign_in(config, arguments, who.as_deref())),
        Some(What::Password) => Some(password(arguments.format)),
        None => None,
    };
    match said {
        Some(Ok(text)) => {
            super::print(&text);
            return exit::OK;
        }
        Some(Err(error)) => return super::complain(&error),
        None => {}
    }
    match super::runtime().and_then(|runtime| runtime.block_on(serve(config, arguments))) {
        Ok(()) => exit::OK,
        Err(error) => super::complain(&error),
    }
}

/// The hash of a password that is typed or piped in.
fn password(format: Format) -> Result<String, String> {
    let unread = |e: std::io::Error| format!("the password can't be read: {e}");
    let typed = if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("Password: ").map_err(unread)?;
        let again = rpassword::prompt_password("Once more: ").map_err(unread)?;
        if typed != again {
            return Err("the two are not the same; nothing was made".to_owned());
        }
        typed
    } else {
        let mut line = String::new();
        let mut input = std::io::stdin().lock().take(PASSWORD_MAX as u64 + 2);
        input.read_line(&mut line).map_err(unread)?;
        line.trim_end_matches(['\n', '\r']).to_owned()
    };
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| "the system gives no randomness".to_owned())?;
    let hash = hash(&typed, &salt)?;
    Ok(match format {
        Format::Json => format!("{:#}\n", json!({ "hash": hash })),
        Format::Text => format!("{hash}\n"),
    })
}

/// Whoever can write the store may act; a secret that is left in it says so to the pages.
fn sign_in(config: &Path, arguments: &Arguments, who: Option<&str>) -> Result<String, String> {
    let mut plan = load::load(config).map_err(|error| error.to_string())?.plan;
    arguments.store.choose(&mut plan);
    let Some(web) = &plan.web else {
        return Err("the file shows no pages (`web: none`)".to_owned());
    };
    let who = mask(&super::who(who), &plan.secrets());
    let secret = people::secret()?;
    let mut store = Store::hand(&plan.store.path).map_err(|error| error.to_string())?;
    let offered = store.offer(&people::digest(&secret), &who, clock::now());
    offered.map_err(|error| error.to_string())?;
    let (port, path) = (web.address.port(), &web.path);
    // Which port the system chose stands in the daemon's log.
    let url =
        (port != 0).then(|| format!("http://edgewatch.localhost:{port}{path}/sign-in#{secret}"));
    Ok(match (arguments.format, url) {
        (Format::Json, url) => {
            let offered = json!({ "who": who, "url": url, "secret": secret, "minutes": 5 });
            format!("{offered:#}\n")
        }
        (Format::Text, None) => {
            format!("the secret for /sign-in, good for five minutes and once:\n{secret}\n")
        }
        (Format::Text, Some(url)) => {
            format!("{who} signs in at (good for five minutes, and once):\n{url}\n")
        }
    })
}

async fn serve(config: &Path, arguments: &Arguments) -> Result<(), String> {
    let listen = arguments.listen;
    if !listen.ip().is_loopback() {
        return Err(format!(
            "other hosts can reach {listen}, and the pages have no password; listen on 127.0.0.1"
        ));
    }
    let named = arguments.store.store.clone();
    let path = named.or_else(|| load::store_path(config));
    let Some(path) = path else {
        return Err(format!(
            "where the store is can't be read from {}: name it with --store",
            config.display()
        ));
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let plan = {
        let reader = Store::read_only(&path).map_err(|error| error.to_string())?;
        Kept::of(&reader).and_then(|kept| kept.plan())
    };
    let plan = match plan {
        Some(plan) => plan,
        None => load::load(config).map_err(|error| error.to_string())?.plan,
    };
    let bound = dashboard::bind(listen).await?;
    let source = Source::Copy {
        plan: Arc::new(plan),
    };
    let listener = bound.serve(Pages::new(source, path.clone(), Web::default()));
    let url = listener.url();
    super::print(&match arguments.format {
        Format::Json => {
            format!(
                "{:#}\n",
                json!({ "url": url, "store": path.display().to_string() })
            )
        }
        Format::Text => format!("{url} shows {}; Ctrl-C ends it\n", path.display()),
    });
    let _ = tokio::signal::ctrl_c().await;
    listener.stop().await;
    Ok(())
}
