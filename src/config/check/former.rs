//! What things were called before (`was:`), so that a new name does not end an incident.

use crate::config::collections::{Form, Named};
use crate::config::desk::{At, Desk, quote};
use crate::config::leaf::Name;
use crate::config::raw;
use crate::domain::renames::Renames;

/// The former names in the file; one that the file has still is refused.
pub(super) fn names(raw: &raw::File, desk: &mut Desk<'_>) -> Renames {
    let mut renames = Renames::default();
    for (now, was) in told(
        raw.egresses.as_ref(),
        "egress",
        full(|e: &raw::Egress| e.was.as_ref()),
        desk,
    ) {
        renames.egress((&*was).into(), (&*now).into());
    }
    for (now, was) in told(
        raw.clients.as_ref(),
        "client",
        full(|c: &raw::Client| c.was.as_ref()),
        desk,
    ) {
        renames.client((&*was).into(), (&*now).into());
    }
    for (now, was) in told(raw.probes.as_ref(), "probe", |p| p.was.as_ref(), desk) {
        renames.probe((&*was).into(), (&*now).into());
    }
    renames
}

/// Of the long form; the short one has no former name.
fn full<S, F>(was: impl Fn(&F) -> Option<&At<Name>>) -> impl Fn(&Form<S, F>) -> Option<&At<Name>> {
    move |form| match form {
        Form::Short(_) => None,
        Form::Full(full) => was(full),
    }
}

fn told<T>(
    section: Option<&At<Named<T>>>,
    what: &str,
    was: impl Fn(&T) -> Option<&At<Name>>,
    desk: &mut Desk<'_>,
) -> Vec<(String, String)> {
    let entries = section.map_or(&[][..], |section| &section.value.0[..]);
    let mut told: Vec<(String, String)> = Vec::new();
    for (now, entry) in entries {
        let Some(former) = entry.as_ref().and_then(|entry| was(&entry.value)) else {
            continue;
        };
        let name = &former.value.0;
        if entries.iter().any(|(other, _)| other.value == *name) {
            desk.error(
                former.place,
                format!("{what} {} is still in the file", quote(name)),
                "a former name is one that is gone: remove \"was\", or the other",
            );
        } else if told.iter().any(|(_, known)| known == name) {
            desk.error(
                former.place,
                format!("another {what} was called {} too", quote(name)),
                "only one can go on in its place",
            );
        } else {
            told.push((now.value.clone(), name.clone()));
        }
    }
    told
}
