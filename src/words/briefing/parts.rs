//! Which part of a client's requests may be it: as long as two parts differ from what passes, neither is blamed alone.

use super::story::Story;
use crate::domain::cell::ClientName;
use crate::domain::diagnosis::Level;
use crate::domain::head::{self, Closest, Part, closest, head};
use crate::domain::verdict::Rule;
use crate::words::evidence::cut;
use crate::words::terms;

/// Characters of a header that a sentence quotes.
const HEADER_CHARS_MAX: usize = 100;

impl Story<'_> {
    /// The clients that are blamed, alone or as a family.
    fn blamed_clients(&self) -> Vec<ClientName> {
        match self.blamed() {
            [Level::Client(name)] => vec![name.clone()],
            [Level::Family { clients, .. }] => clients.clone(),
            _ => Vec::new(),
        }
    }

    /// What passes beside a blamed client and differs least from it.
    pub(super) fn closest(&self) -> Option<Closest> {
        closest(self.plan, &self.incident.diagnosis, &self.blamed_clients())
    }

    /// The header that the answer itself names as refused, with the value that was sent.
    fn refused_header(&self) -> Option<(String, String)> {
        let run = self.specimen?;
        let wanted = match run.verdict.rule {
            Rule::Referer => "Referer",
            Rule::Origin => "Origin",
            Rule::ContentType => "Content-Type",
            _ => return None,
        };
        let mut headers = run.request_headers.iter();
        let (name, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some((name.clone(), cut(value, HEADER_CHARS_MAX)))
    }

    /// That a header is refused, where the answer says so itself.
    pub(super) fn header_statement(&self) -> Option<String> {
        let (name, value) = self.refused_header()?;
        let mut clients = self
            .incident
            .diagnosis
            .failing
            .iter()
            .map(|cell| &cell.client);
        let first = clients.next();
        let whose = match first.filter(|first| clients.all(|client| client == *first)) {
            Some(client) => format!("client `{client}` sends"),
            None => "these requests have".to_owned(),
        };
        let at = self
            .edge()
            .map_or_else(String::new, |edge| format!(" at {edge}"));
        Some(format!(
            "{} refuses the {name} that {whose} (`{value}`){at}{}, not the user agent",
            self.partner(),
            self.detail()
        ))
    }

    /// What to do about a header that the answer itself names.
    pub(super) fn header_step(&self) -> Option<String> {
        let (name, value) = self.refused_header()?;
        if self.door().is_some() {
            return None;
        }
        Some(format!(
            "Change or drop `{name}: {value}`, or ask {} to allow it{}",
            self.partner(),
            self.give_reference()
        ))
    }

    /// A blamed client as the partner can find it: by all in which it differs, if that is not its user agent alone.
    pub(super) fn by_its_parts(&self, name: &ClientName) -> Option<String> {
        let pair = self.closest()?;
        let client = self.plan.client(name)?;
        match pair.parts.as_slice() {
            [] | [Part::UserAgent] => None,
            [Part::Header(header)] => {
                let sent = head(self.plan.probe(&pair.failing.probe)?, client);
                let line = sent.iter().find(|line| line.name == *header);
                Some(match line {
                    Some(line) => format!(
                        "the header `{}` of client `{name}`",
                        cut(&head::shown(line), HEADER_CHARS_MAX)
                    ),
                    None => format!("client `{name}`, which sends no {header}"),
                })
            }
            [one] => Some(format!("{} of client `{name}`", one.name())),
            several => {
                let agent = match client.user_agent.as_str() {
                    "" => "no user agent".to_owned(),
                    agent => format!("user agent `{}`", cut(agent, 80)),
                };
                let others = several.iter().filter(|part| **part != Part::UserAgent);
                let others: Vec<String> = others.map(Part::name).collect();
                let also = if several.contains(&Part::UserAgent) {
                    "also "
                } else {
                    ""
                };
                Some(format!(
                    "requests like those of client `{name}` ({agent}; they differ from those of `{}`, which pass, {also}in {})",
                    pair.passing.client,
                    terms::list(&others, "and")
                ))
            }
        }
    }

    /// That more than one part of the requests may be it.
    pub(super) fn several_parts(&self) -> Option<String> {
        let known = self.refused_header().is_some() || self.ended_path().is_some();
        if known || self.resolved() {
            return None;
        }
        let pair = self.closest().filter(|pair| pair.parts.len() > 1)?;
        let parts: Vec<String> = pair.parts.iter().map(Part::name).collect();
        Some(format!(
            "requests of `{}` and of `{}`, which pass, differ in {}: which of these decides is not known",
            pair.failing.client,
            pair.passing.client,
            terms::list(&parts, "and")
        ))
    }

    /// The next deciding run, where more than one part may be it.
    pub(super) fn bisect(&self) -> Option<String> {
        self.closest()?.would_tell()
    }
}
