//! Names that the file gives, and references to them.

use std::collections::{HashMap, HashSet};
use std::iter::once;

use crate::config::collections::{Many, Named};
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
    /// Names for several of them.
    groups: Groups,
}

/// Names for several names, of whatever kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups(HashMap<String, Vec<String>>);

impl Groups {
    /// The groups of the file, each held against every kind that there is.
    pub(super) fn of(
        raw: Option<At<Named<Many<Name>>>>,
        kinds: &[&Names],
        desk: &mut Desk<'_>,
    ) -> Self {
        let mut groups = HashMap::new();
        for (name, members) in raw.map(|raw| raw.value.0).unwrap_or_default() {
            if let Some(kind) = kinds
                .iter()
                .find(|kind| kind.known.contains_key(&name.value))
            {
                desk.error(
                    name.place,
                    format!(
                        "there is {} {} \"{}\" already",
                        article(kind.what),
                        kind.what,
                        name.value
                    ),
                    "name the group differently: both are written in the same places",
                );
            }
            let members = members.map(|members| members.value.0).unwrap_or_default();
            let known = |member: &At<Name>| kinds.iter().any(|kind| kind.contains(&member.value.0));
            for member in members.iter().filter(|member| !known(member)) {
                let all = kinds.iter().flat_map(|kind| kind.iter());
                let all: Vec<&str> = all.collect();
                desk.missed(
                    member.place,
                    format!(
                        "there is no egress, client, credential or probe \"{}\"",
                        member.value.0
                    ),
                    suggest(&member.value.0, all.iter().copied(), "known"),
                );
            }
            let members = members.into_iter().filter(known);
            groups.insert(name.value, members.map(|member| member.value.0).collect());
        }
        Self(groups)
    }
}

fn article(what: &str) -> &'static str {
    if what.starts_with('e') { "an" } else { "a" }
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
            groups: Groups::default(),
        }
    }

    /// The same, with names for several of them.
    pub(super) fn grouped(self, groups: &Groups) -> Self {
        Self {
            groups: groups.clone(),
            ..self
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
            let groups = self.groups.0.keys().map(String::as_str);
            suggest(text, self.iter().chain(groups), "known")
        };
        desk.missed(
            name.place,
            format!("there is no {} \"{text}\"", self.what),
            hint,
        );
        false
    }

    /// The same names with the members of groups in their place.
    pub(super) fn without_groups(
        &self,
        names: Vec<At<Name>>,
        desk: &mut Desk<'_>,
    ) -> Vec<At<Name>> {
        let mut all: Vec<At<Name>> = Vec::with_capacity(names.len());
        let mut of_groups: HashSet<String> = HashSet::new();
        let has = |all: &[At<Name>], name: &str| all.iter().any(|known| known.value.0 == name);
        for name in names {
            let group = self.groups.0.get(&name.value.0);
            let Some(members) = group.filter(|_| !self.contains(&name.value.0)) else {
                // Twice by itself is a slip, once more than in a group is none.
                if !of_groups.contains(&name.value.0) {
                    all.push(name);
                }
                continue;
            };
            for member in members {
                if !self.contains(member) {
                    let (group, what) = (&name.value.0, self.what);
                    desk.missed(
                        name.place,
                        format!("the group \"{group}\" holds \"{member}\", and that is no {what}"),
                        "a group stands where all of its members could",
                    );
                } else if !has(&all, member) {
                    of_groups.insert(member.clone());
                    all.push(At {
                        value: Name(member.clone()),
                        place: name.place,
                    });
                }
            }
        }
        all
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
        for name in self.without_groups(many.value.0, desk) {
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
