//! Greetings that are too long for what lies on the way: TCP connects, a `ClientHello` of two packets is never answered.
//!
//! A runtime that was updated sends one, for it brings a post-quantum share. Whoever compares user agents finds the
//! program guilty; what differs is the size.

use super::story::Story;
use crate::domain::diagnosis::Level;
use crate::domain::incident::Specimen;
use crate::domain::sent::Greeting;
use crate::domain::verdict::Kind;

impl<'a> Story<'a> {
    /// The long greeting that fails, and the short one that passes.
    fn greetings(&self) -> Option<[(&'a Specimen, &'a Greeting); 2]> {
        let of_client = |level: &Level| matches!(level, Level::Client(_) | Level::Family { .. });
        let (bad, good) = (self.specimen?, self.incident.passing.as_ref()?);
        let in_tls = bad.phases.last().is_some_and(|(phase, _)| phase == "tls");
        let mut failing = self.incident.diagnosis.failing.iter();
        let alone = failing.all(|cell| cell.client == bad.cell.client);
        let of_clients = alone || self.blamed().iter().any(of_client);
        if self.incident.kind != Kind::Timeout || !in_tls || !of_clients {
            return None;
        }
        let greeting = |run: &'a Specimen| run.sent.as_ref()?.greeting.as_ref();
        let (long, short) = (greeting(bad)?, greeting(good)?);
        let same = good.cell.probe == bad.cell.probe && good.cell.egress == bad.cell.egress;
        (same && long.packets() > 1 && short.packets() == 1).then_some([(bad, long), (good, short)])
    }

    pub(super) fn greeting_statement(&self) -> Option<String> {
        let [(bad, long), (good, short)] = self.greetings()?;
        let (host, _) = self.hosts();
        let whose = match self.hit() {
            Some(hit) if self.named() => format!(" of {hit}"),
            _ => format!(" of client `{}`", bad.cell.client),
        };
        Some(format!(
            "{host} does not answer the TLS greeting{whose}: {} bytes, {} packets; `{}` gets an answer from the same egress with {} bytes in one. It looks as if long greetings are lost on the way, whatever the user agent",
            long.bytes,
            long.packets(),
            good.cell.client,
            short.bytes
        ))
    }

    pub(super) fn greeting_step(&self) -> Option<String> {
        let [(bad, long), _] = self.greetings()?;
        let without = match long.shares.first() {
            Some(share) => format!("without {share} (`tls: {{ groups: [x25519] }}`)"),
            None => "with a shorter greeting".to_owned(),
        };
        Some(format!(
            "Look for what drops the second packet between egress `{}` and {} (a firewall that reads greetings, the MTU); nobody has to allow a user agent. Would tell: the same client {without}",
            bad.cell.egress,
            self.partner()
        ))
    }
}
