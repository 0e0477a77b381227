//! What a cell asks and expects, as a short mark: equal only where an answer means the same.
//!
//! Names are no part of it, so that a client that was only renamed is known again; nor are the values of secrets,
//! as a password that was mended is what makes an account pass.

use sha2::{Digest as _, Sha256};

use super::cell::{CellKey, Client, Egress};
use super::plan::Plan;
use super::probe::{Cookies, Probe};

impl Plan {
    /// The mark of a cell; `None` when the plan lacks one of its names.
    #[must_use]
    pub fn mark(&self, cell: &CellKey) -> Option<String> {
        let account = if cell.credential.is_anonymous() {
            None
        } else {
            let fields = &self.credential(&cell.credential)?.fields;
            Some(fields.keys().collect::<Vec<_>>())
        };
        let asked = (
            probe(self.probe(&cell.probe)?),
            way(self.egress(&cell.egress)?),
            client(self.client(&cell.client)?),
            account,
        );
        let digest = Sha256::digest(format!("{asked:?}").as_bytes());
        let start = digest.iter().take(8);
        Some(format!(
            "{:016x}",
            start.fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
        ))
    }
}

/// Everything of a probe that decides what is sent, and whether the answer is good.
fn probe(probe: &Probe) -> impl std::fmt::Debug {
    let headers: Vec<_> = probe
        .headers
        .iter()
        .map(|(name, value)| (name, value.masked()))
        .collect();
    let meanings: Vec<_> = probe
        .meanings
        .iter()
        .map(|meaning| (&meaning.when, meaning.verdict))
        .collect();
    let request = (
        probe.method.as_str(),
        probe.url.as_str(),
        headers,
        probe.body.as_ref().map(super::probe::Template::masked),
        probe.redirects,
        probe.connect_to,
    );
    let cookies = match probe.cookies {
        Cookies::Run => "",
        Cookies::None => " without cookies",
    };
    format!(
        "{request:?}{:?}{meanings:?}{:?}{}{cookies}",
        (&probe.expect.conditions, probe.expect.verdict),
        probe.timeout,
        probe.control
    )
}

fn way(egress: &Egress) -> impl std::fmt::Debug {
    let site = egress.site.iter().map(|site| format!(" at {site}"));
    AsItStands(format!(
        "({:?}, {:?}){}",
        egress.way,
        egress.family,
        site.collect::<String>()
    ))
}

fn client(client: &Client) -> impl std::fmt::Debug {
    let (headers, case) = client.headers_mark();
    (
        &client.user_agent,
        client.http,
        client.tls,
        AsItStands(headers),
        AsItStands(format!("{case}{}", client.program_mark())),
    )
}

/// A text in a mark without quotes around it.
struct AsItStands(String);

impl std::fmt::Debug for AsItStands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
