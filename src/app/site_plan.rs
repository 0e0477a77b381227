//! A plan that the hub handed out, read where it is to run: with this host's secrets, and within what it allows.
//!
//! The hub names secrets and programs, and the host decides which of them a plan may have. So whoever took the hub can't
//! read any file or variable here, nor run what it likes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Inputs};
use crate::domain::plan::{Plan, Politeness};
use crate::wire::plan::SitePlan;

/// Variables that every plan may name.
pub const ENV_PREFIX: &str = "EDGEWATCH_";

/// What a plan may lead to on this host.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Files with secrets are taken from below this folder alone; `None`: none are.
    pub secrets: Option<PathBuf>,
    /// Variables besides those that begin with [`ENV_PREFIX`].
    pub env: Vec<String>,
    /// Programs that may make requests: `curl`, or a path.
    pub programs: Vec<String>,
}

/// A plan for this host.
#[derive(Debug)]
pub struct Read {
    pub plan: Plan,
    /// What its cells lack here, in sentences.
    pub missing: Vec<String>,
}

/// Reads it.
///
/// # Errors
/// Every fault, as of any file.
pub fn read(sent: &SitePlan, rules: &Rules) -> Result<Read, String> {
    let files = sent.files.iter();
    let inputs = Here {
        rules,
        files: files.map(|f| (f.path.as_str(), f.text.as_str())).collect(),
        denied: RefCell::default(),
    };
    let name = format!("plan {}", sent.generation);
    let checked = config::read(&sent.file, &name, &inputs).map_err(|e| e.errors().to_string())?;
    let mut plan = checked.plan;
    for share in &sent.shares {
        let politeness = Politeness {
            requests_per_minute: share.requests_per_minute,
            gap: Duration::from_millis(share.gap_ms),
            ..plan.politeness
        };
        plan.shares.insert(share.host.clone(), politeness);
    }
    let credentials = plan.credentials.iter();
    let lacks = credentials.filter_map(|c| Some(format!("{}: {}", c.name, c.missing.as_ref()?)));
    let mut missing: Vec<String> = lacks.collect();
    missing.extend(inputs.denied.into_inner());
    Ok(Read { plan, missing })
}

struct Here<'a> {
    rules: &'a Rules,
    files: BTreeMap<&'a str, &'a str>,
    /// What the plan names and this host does not give.
    denied: RefCell<Vec<String>>,
}

impl Here<'_> {
    fn deny(&self, why: String) {
        let mut denied = self.denied.borrow_mut();
        if !denied.contains(&why) {
            denied.push(why);
        }
    }
}

impl Inputs for Here<'_> {
    fn env(&self, name: &str) -> Option<String> {
        let allowed = name.starts_with(ENV_PREFIX) || self.rules.env.iter().any(|n| n == name);
        if !allowed {
            self.deny(format!(
                "the plan may not read {name} here; start the agent with --allow-env {name} if that is meant"
            ));
            return None;
        }
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let text = self.files.get(path.display().to_string().as_str());
        text.map(ToString::to_string)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn secret_file(&self, path: &Path) -> io::Result<String> {
        let Some(folder) = &self.rules.secrets else {
            self.deny(format!(
                "the plan may read no file here, and names {}; start the agent with --secrets FOLDER",
                path.display()
            ));
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        let inside = if path.is_absolute() {
            path.starts_with(folder)
        } else {
            true
        };
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if !inside || climbs {
            self.deny(format!(
                "the plan may not read {} here: it is not below {}",
                path.display(),
                folder.display()
            ));
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        super::on_disk::read_bounded(&folder.join(path))
    }

    fn program(&self, name: &str) -> Result<String, String> {
        if self.rules.programs.iter().any(|allowed| allowed == name) {
            return super::load::program(name, Path::new("/"));
        }
        Err(format!(
            "this host does not let a plan run it; start the agent with --allow-program {name} if that is meant"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::plan::{File, Share};

    const FILE: &str = "
version: 1
service: S
egresses: { out: {} }
clients: { plain: edgewatch }
credentials:
  one: { password: { env: GMC_PASSWORD } }
  two: { password: { file: two } }
  three: { password: { file: /etc/hostname } }
  four: { password: { file: ../etc/hostname } }
probes:
  p: { url: 'https://a.example/', every: 1m, body: { file: body.xml }, method: POST, with: [one, two, three, four, anonymous] }
";

    fn sent() -> SitePlan {
        SitePlan {
            generation: 7,
            file: FILE.to_owned(),
            files: vec![File {
                path: "body.xml".to_owned(),
                text: "<a/>".to_owned(),
            }],
            shares: vec![Share {
                host: "a.example".to_owned(),
                requests_per_minute: 7,
                gap_ms: 1_500,
            }],
            ..SitePlan::default()
        }
    }

    #[test]
    fn a_plan_has_what_its_host_gives_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("two"), "second-secret\n").unwrap();
        let rules = Rules {
            secrets: Some(folder.path().to_owned()),
            ..Rules::default()
        };
        let read = read(&sent(), &rules).unwrap();
        let runs: Vec<String> = read
            .plan
            .cells()
            .map(|(_, cell)| cell.credential.to_string())
            .collect();
        assert_eq!(runs, ["two", "anonymous"]);
        let said = read.missing.join("\n");
        for expected in [
            "the plan may not read GMC_PASSWORD here; start the agent with --allow-env GMC_PASSWORD if that is meant",
            "the plan may not read /etc/hostname here: it is not below ",
            "the plan may not read ../etc/hostname here: it is not below ",
        ] {
            assert!(said.contains(expected), "{expected} in\n{said}");
        }
        assert!(!said.contains("second-secret"));
        let share = read.plan.politeness_of("a.example");
        assert_eq!(
            (share.requests_per_minute, share.gap.as_millis()),
            (7, 1_500)
        );
        assert_eq!(read.plan.politeness_of("b.example"), &read.plan.politeness);
    }

    #[test]
    fn a_program_runs_only_where_the_host_says_so() {
        let mut sent = sent();
        sent.file = sent
            .file
            .replace("plain: edgewatch", "plain: { command: curl }");
        let said = read(&sent, &Rules::default()).unwrap_err();
        assert!(
            said.contains(
                "this host does not let a plan run it; start the agent with --allow-program curl"
            ),
            "{said}"
        );
    }
}
