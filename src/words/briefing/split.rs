//! What sets failing answers apart where no request decides it: which machine of an edge, which place, which address.

use super::story::Story;
use crate::domain::diagnosis::{Split, SplitBy};
use crate::words::terms;

impl Story<'_> {
    /// ": those that Fastly's machine `cache-lhr7320-LHR` answers"; nothing where nothing is known to set them apart.
    pub(super) fn those(&self) -> String {
        let split = self.incident.diagnosis.split.as_ref();
        split.map_or_else(String::new, |split| format!(": those {}", self.with(split)))
    }

    /// How many of those failed, and of the others.
    pub(super) fn apart(&self) -> Option<String> {
        let split = self.incident.diagnosis.split.as_ref()?;
        let others = match split.others_failed {
            0 => format!("none of {} others did", split.others),
            some => format!("{some} of {} others did", split.others),
        };
        Some(format!(
            "{} of the {} requests {} failed; {others}",
            split.failed,
            split.of,
            self.with(split)
        ))
    }

    /// What to ask and to do where it depends on who answers.
    pub(super) fn about_those(&self) -> Option<String> {
        let split = self.incident.diagnosis.split.as_ref()?;
        let (partner, with) = (self.partner(), self.with(split));
        let reference = self.give_reference();
        Some(match split.by {
            SplitBy::Machine | SplitBy::Place | SplitBy::Address => format!(
                "Report it to {partner}: only requests {with} fail, whoever asks{reference}; meanwhile let jobs retry on a new connection, which may be led elsewhere"
            ),
            SplitBy::IpFamily => format!(
                "Report it to {partner}: only requests {with} fail{reference}; meanwhile {} works (`family:` under `egresses:`)",
                terms::other_ip_family(&split.name)
            ),
            SplitBy::Http => format!(
                "Ask {partner} whether what they offer is meant to work: only requests {with} fail{reference}; meanwhile another version works (`http:` under `clients:`)"
            ),
        })
    }

    /// As it follows "requests".
    fn with(&self, split: &Split) -> String {
        let name = &split.name;
        match split.by {
            SplitBy::IpFamily => format!("over {name}"),
            SplitBy::Http => format!("over HTTP/{name}"),
            SplitBy::Place => format!("that {} answers", self.pop(name)),
            SplitBy::Machine => format!("that {}'s machine `{name}` answers", self.front()),
            SplitBy::Address => format!("that are led to {name}"),
        }
    }
}
