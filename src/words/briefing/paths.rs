//! A certificate that is good, and whose paths to the roots of a client have ended: whose, which root, and when.

use super::story::Story;
use crate::domain::diagnosis::Level;
use crate::domain::incident::Specimen;
use crate::domain::observation::{ChainPath, FailureKind};
use crate::domain::verdict::Kind;
use crate::words::terms;

impl<'a> Story<'a> {
    /// The run that shows it.
    pub(super) fn ended_path(&self) -> Option<&'a Specimen> {
        let run = self.specimen?;
        let is_path = run.verdict.code.as_deref() == Some(FailureKind::CertificatePath.as_str());
        (is_path && self.incident.kind == Kind::TlsError).then_some(run)
    }

    /// Which path has ended, for whom.
    pub(super) fn path_statement(&self) -> Option<String> {
        let run = self.ended_path()?;
        let (host, _) = self.hosts();
        // Whose roots they are is no guess.
        let mut clients = self.incident.diagnosis.failing.iter().map(|c| &c.client);
        let alone = clients.all(|client| *client == run.cell.client);
        let level = Level::Client(run.cell.client.clone());
        let whom = match self.hit() {
            _ if alone => format!("for {}{}", terms::level(&level), self.aside(&level)),
            Some(hit) => format!("for {hit}"),
            None => "for every request".to_owned(),
        };
        let ends: Vec<String> = run.paths.iter().map(|path| path.end(run.at)).collect();
        let what = match ends.as_slice() {
            [] => "an intermediate certificate that is sent with it has ended".to_owned(),
            ends => format!("its path to {}", ends.join(", that to ")),
        };
        Some(format!(
            "the certificate of {host} is good, but {whom} {what}"
        ))
    }

    /// What to do about it.
    pub(super) fn path_step(&self) -> Option<String> {
        let run = self.ended_path()?;
        let partner = self.partner();
        let clients = match self.blamed() {
            [] => format!("the clients that fail, such as `{}`,", run.cell.client),
            levels => levels
                .iter()
                .map(terms::level)
                .collect::<Vec<_>>()
                .join(" and "),
        };
        let newer = match self.lasting_path() {
            Some(path) => format!("with `{}`, to which others have a path", path.root),
            None => "that is up to date".to_owned(),
        };
        Some(format!(
            "Give {clients} a trust store {newer}; where that can't be done, ask {partner} whether they can send a chain to a root that it knows"
        ))
    }

    /// The path by which others pass, and which lasts longest.
    fn lasting_path(&self) -> Option<&'a ChainPath> {
        let run = self.incident.passing.as_ref()?;
        let lasting = run.paths.iter().filter(|path| path.ends_at > run.at);
        lasting.max_by_key(|path| path.ends_at)
    }
}
