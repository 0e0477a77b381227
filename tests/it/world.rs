//! A partner behind an edge, a control site, and a `probes.yaml` over them: what the commands are run against.

use std::path::PathBuf;
use std::process::Command;

use edgewatch::clock;
use edgewatch::simulate::Account;
use edgewatch::simulate::Action;
use edgewatch::simulate::Clock;
use edgewatch::simulate::Edge;
use edgewatch::simulate::Form;
use edgewatch::simulate::Page;
use edgewatch::simulate::Partner;
use edgewatch::simulate::Rule;
use edgewatch::simulate::Script;
use edgewatch::simulate::Text;
use edgewatch::simulate::When;
use tempfile::TempDir;

use crate::kept;

pub(crate) use crate::secrets::PASSWORD;
pub(crate) const RULE: &str = "java";

pub(crate) struct World {
    pub(crate) partner: Edge,
    pub(crate) control: Edge,
    pub(crate) directory: TempDir,
}

impl World {
    /// A partner whose rule against `Java/1.8` is off.
    pub(crate) async fn start() -> Self {
        let clock = Clock::new(clock::now);
        let page = Action::Page(Page::Cloudflare {
            code: 1010,
            form: Form::Text,
        });
        let rules = vec![Rule::new(RULE, When::ua(Text::prefix("Java/1.8")), page).off()];
        let script = Script {
            rules,
            front: edgewatch::simulate::Front::cloudflare(),
            ..Script::new(clock.clone())
        };
        let partner = Edge::start(Partner::gmc(vec![Account::new("tis", PASSWORD)]), script)
            .await
            .unwrap();
        let control = Edge::start(Partner::control(), Script::new(clock))
            .await
            .unwrap();
        Self {
            partner,
            control,
            directory: kept::folder(),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("probes.yaml")
    }

    /// Writes the file; `egresses` and `rest` are its own text.
    pub(crate) fn write(&self, egresses: &str, every: &str, rest: &str) {
        let text = format!(
            r#"version: 1
service: GMC
timezone: Europe/London
egresses: {{ {egresses} }}
clients:
  legacy: "Java/1.8.0_275"
  modern: "Java/11.0.10"
credentials:
  gmc: {{ username: {{ env: GMC_USERNAME }}, password: {{ env: GMC_PASSWORD }} }}
probes:
  connect:
    url: http://connect.gmc.example:{partner}/GMCWebServices/WebService.asmx
    connect_to: 127.0.0.1
    method: POST
    headers: {{ Content-Type: text/xml, SOAPAction: "https://webcache.gmc-uk.org/GMCWebServices/CheckRecommendationStatus" }}
    body: >-
      <Envelope><Body><CheckRecommendationStatus><Username>{{{{ credential.username }}}}</Username><Password>{{{{
      credential.password }}}}</Password></CheckRecommendationStatus></Body></Envelope>
    with: gmc
    every: {every}
    timeout: 5s
    expect: {{ status: 200, xpath: "//*[local-name()='ReturnCode']='0'" }}
    words: {{ what: Submitting recommendations, affects: Revalidation users, workaround: Use the web site }}
controls:
  internet: {{ url: "http://www.control.example:{control}/", connect_to: 127.0.0.1, every: {every}, timeout: 5s }}
politeness: {{ per_host: {{ requests_per_minute: 1000, gap: 20ms }} }}
store: {{ path: {directory}/edgewatch.sqlite }}
{rest}
"#,
            partner = self.partner.addr().port(),
            control = self.control.addr().port(),
            directory = self.directory.path().display(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// The program, with the file and the account.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.arg("--config").arg(self.config());
        command
            .env("GMC_USERNAME", "tis")
            .env("GMC_PASSWORD", PASSWORD);
        command
    }
}

/// The program itself, without what the surroundings may have set.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgewatch"));
    command
        .args(arguments)
        .env_remove("EDGEWATCH_LOG")
        .env_remove("SLACK_BOT_TOKEN")
        .env_remove("TEAMS_WEBHOOK_URL");
    command
}

/// What a finished command left: exit code, standard output, standard error.
pub(crate) async fn run(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    kept::keep("output", &output.stdout);
    kept::keep("output", &output.stderr);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}
