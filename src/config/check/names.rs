//! Names that the file gives, and references to them.

use std::collections::{HashMap, HashSet};
use std::iter::once;

use crate::config::collections::Many;
use crate::config::desk::{At, Desk, nearest, suggest, unseen};
use crate::config::leaf::Name;

/// The names of one kind, in the order of the file.
///
/// Names whose definition is broken are in it as well: that is one error, not one for each mention.
#[derive(Debug)]
pub(super) struct Names {
    /// For messages: "client".
    what: &'static str,
    order: Vec<String>,
    known: HashMap<String, usize>,
    /// Where they are given could not be read: any name may be one.
    lost: bool,
}

impl Names {
    pub(super) fn new(what: &'static str, names: impl IntoIterator<Item = String>) -> Self {
        let order: Vec<String> = names.into_iter().collect();
        let known = order.iter().cloned().zip(0..).collect();
        Self {
            what,
            order,
            known,
            lost: false,
        }
    }

    /// The same, where nobody can tell what there is, as their key is written wrongly: that is the error.
    pub(super) fn lost(self, lost: bool) -> Self {
        Self { lost, ..self }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.lost || self.known.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.order.iter().map(String::as_str)
    }

    /// Whether there is such a one; reports when not.
    pub(super) fn check(&self, name: &At<Name>, desk: &mut Desk<'_>) -> bool {
        let text = &name.value.0;
        if self.contains(text) {
            return true;
        }
        let meant = |known: &str| unseen(known).is_some() && nearest(text, once(known)).is_some();
        if self.iter().any(meant) {
            // The definition is written with a sign that looks like another: that is the error.
            return false;
        }
        let hint = if desk.is_full() {
            String::new()
        } else {
            suggest(text, self.iter(), "known")
        };
        desk.error(
            name.place,
            format!("there is no {} \"{text}\"", self.what),
            hint,
        );
        false
    }

    /// The names mentioned, without those that do not exist or were there before.
    pub(super) fn mentioned(&self, many: At<Many<Name>>, desk: &mut Desk<'_>) -> Vec<String> {
        if many.value.0.is_empty() {
            desk.error(
                many.place,
                "an empty list would mean that nothing runs",
                format!("name a {}, or remove the key", self.what),
            );
        }
        let mut seen = HashSet::new();
        let mut names = Vec::with_capacity(many.value.0.len());
        for name in many.value.0 {
            if !self.check(&name, desk) {
                continue;
            }
            if seen.insert(name.value.0.clone()) {
                names.push(name.value.0);
            } else {
                desk.error(
                    name.place,
                    format!("\"{}\" stands here twice", name.value.0),
                    "",
                );
            }
        }
        names
    }
}
