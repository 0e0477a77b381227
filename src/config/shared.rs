//! What probes share: defaults for all, for a tag, for a partner; and the block of a partner, with its host.
//!
//! The nearest wins: what a probe says itself, then its partner's block, then the defaults of its tags in their order, of
//! its partner, of all. Headers, expect, origin, words, contact and forbid are put together key by key; anything else
//! is taken whole. Every part is read once, where it stands, and its errors are told there.

use std::collections::{HashMap, HashSet};

use super::collections::{Form, Pairs};
use super::desk::{At, Desk, Place, quote, suggest};
use super::leaf::PartnerName;
use super::raw::{self, Probe, Shared};

/// All probes of the file, each with what it shares, in the order of the file; names are told twice as they stand.
pub(super) struct Probes {
    pub(super) all: Vec<(At<String>, Option<At<Probe>>)>,
    /// Some could not be read, and nobody knows their names.
    pub(super) lost: bool,
}

/// Puts together what the probes of the file say.
pub(super) fn probes(raw: &mut raw::File, desk: &mut Desk<'_>) -> Probes {
    let mut probes = Probes {
        all: Vec::new(),
        lost: raw.probes.is_none() && raw.present.has("probes"),
    };
    for (name, probe) in raw.probes.take().map(|p| p.value.0).unwrap_or_default() {
        if let Some(path) = probe.as_ref().and_then(|probe| probe.value.path.as_ref()) {
            desk.error(
                path.place,
                "\"path\" belongs to the host of a partner's block, and this probe stands in none",
                "write the whole \"url\", or move the probe to \"partners\"",
            );
        }
        probes.all.push((name, probe));
    }
    let partners = raw.partners.take();
    probes.lost |= partners.is_none() && raw.present.has("partners");
    for (name, partner) in partners.map(|p| p.value.0).unwrap_or_default() {
        match partner {
            Some(partner) => of_partner(&name, partner.value, &mut probes, desk),
            None => probes.lost = true,
        }
    }
    refuse_twice(&mut probes.all, desk);
    let defaults = raw.defaults.take().map(|defaults| defaults.value);
    if let Some(defaults) = defaults {
        share(defaults, &mut probes, desk);
    }
    probes
}

/// Names of probes are given once, wherever they stand; within one mapping the reader has told so already.
fn refuse_twice(all: &mut Vec<(At<String>, Option<At<Probe>>)>, desk: &mut Desk<'_>) {
    let mut first: HashMap<String, Place> = HashMap::new();
    all.retain(|(name, _)| {
        let Some(known) = first.insert(name.value.clone(), name.place) else {
            return true;
        };
        first.insert(name.value.clone(), known);
        desk.error(
            name.place,
            format!("there is a probe \"{}\" already", name.value),
            format!(
                "name this one differently; the first is {}",
                desk.line_of(known.mark, name.place.mark)
            ),
        );
        false
    });
}

fn of_partner(name: &At<String>, partner: raw::Partner, probes: &mut Probes, desk: &mut Desk<'_>) {
    let raw::Partner {
        host,
        probes: own,
        mut shared,
        lost,
        lost_host,
    } = partner;
    probes.lost |= lost;
    if shared.partner.is_none() && !shared.present.has("partner") {
        shared.partner = Some(At {
            value: PartnerName(name.value.clone()),
            place: name.place,
        });
        shared.present.add("partner");
    }
    let base = host.as_ref().and_then(|host| base(host, desk));
    let paths = own.iter().flat_map(|own| &own.value.0);
    let mut paths = paths.filter_map(|(_, form)| match &form.as_ref()?.value {
        Form::Full(probe) => probe.path.as_ref().map(|path| path.place),
        Form::Short(_) => Some(form.as_ref()?.place),
    });
    if host.is_none() && !lost_host && paths.next().is_some() {
        desk.error(
            name.place,
            "has no \"host\", which the paths of its probes need",
            "add \"host: api.acme.example\", or write the whole \"url\" of each probe",
        );
    }
    for (name, form) in own.map(|p| p.value.0).unwrap_or_default() {
        let probe = form.map(|form| {
            let place = form.place;
            let mut probe = match form.value {
                Form::Full(probe) => probe,
                Form::Short(path) => Probe {
                    path: Some(At { value: path, place }),
                    ..Probe::default()
                },
            };
            resolve(&mut probe, place, base.as_deref(), desk);
            inherit(&mut probe, &shared);
            At {
                value: probe,
                place,
            }
        });
        probes.all.push((name, probe));
    }
}

/// The beginning of a partner's URLs: scheme, host, perhaps a port and a path.
fn base(host: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = host.value.trim_end_matches('/');
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let sound = url::Url::parse(&whole).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !sound || text.contains(char::is_whitespace) {
        desk.error(
            host.place,
            format!("{} is no host", quote(&host.value)),
            "write \"api.acme.example\", with a port where it has one, or \"http://…\" where it is not https",
        );
        return None;
    }
    Some(whole)
}

/// Makes the URL of a probe in a partner's block from its path.
fn resolve(probe: &mut Probe, place: Place, base: Option<&str>, desk: &mut Desk<'_>) {
    let Some(path) = probe.path.take() else {
        if !probe.present.has("url") && !probe.present.has("path") {
            desk.error(
                place,
                "neither \"path\" nor \"url\" says what to ask",
                "add \"path: /…\"",
            );
        }
        // What is wrong with either has been told.
        probe.present.add("url");
        return;
    };
    if let Some(url) = &probe.url {
        desk.error(
            url.place,
            "says what to ask twice",
            "keep one of \"path\" and \"url\"",
        );
        return;
    }
    // What is wrong with it has been told, or is told here.
    probe.present.add("url");
    if !path.value.starts_with('/') {
        desk.error(
            path.place,
            format!("{} is no path", quote(&path.value)),
            "it begins with \"/\"; another host is a \"url\"",
        );
    } else if let Some(base) = base {
        probe.url = Some(At {
            value: format!("{base}{}", path.value),
            place: path.place,
        });
    }
}

/// Gives each probe the defaults that it lacks.
fn share(defaults: raw::Defaults, probes: &mut Probes, desk: &mut Desk<'_>) {
    let of_all = defaults.probes.map(|all| all.value.0);
    let tags = by_name(defaults.tags.map(|tags| tags.value.0).unwrap_or_default());
    let partners = defaults.partners;
    let partners = partners.map_or_else(|| Pairs(Vec::new()), |p| p.value);
    let mut used: HashSet<&str> = HashSet::new();
    for probe in probes
        .all
        .iter_mut()
        .filter_map(|(_, probe)| probe.as_mut())
    {
        let probe = &mut probe.value;
        // Tags and the partner may come from the defaults of all.
        let mine = |probe: &Probe| probe.tags.clone().or_else(|| of_all.as_ref()?.tags.clone());
        for tag in mine(probe).map(|tags| tags.value.0).unwrap_or_default() {
            if let Some((name, (_, shared))) = tags.get_key_value(&tag.value.0) {
                used.insert(name);
                inherit(probe, &shared.0);
            }
        }
        let partner = probe
            .partner
            .clone()
            .or_else(|| of_all.as_ref()?.partner.clone());
        let partner = partner.map(|partner| partner.value.0);
        let found = partners
            .0
            .iter()
            .find(|(name, _)| Some(&name.value) == partner.as_ref());
        if let Some((name, shared)) = found {
            used.insert(&name.value);
            inherit(probe, &shared.value.0);
        }
        if let Some(of_all) = &of_all {
            inherit(probe, of_all);
        }
    }
    if probes.lost || probes.all.iter().any(|(_, probe)| probe.is_none()) {
        return;
    }
    let known = |of: &dyn Fn(&Probe) -> Vec<String>| -> Vec<String> {
        let each = probes
            .all
            .iter()
            .filter_map(|(_, probe)| Some(&probe.as_ref()?.value));
        let mut names: Vec<String> = each.flat_map(of).collect();
        names.sort();
        names.dedup();
        names
    };
    let all_tags = known(&|probe| {
        let tags = probe.tags.iter().flat_map(|tags| &tags.value.0);
        tags.map(|tag| tag.value.0.clone()).collect()
    });
    let all_partners = known(&|probe| probe.partner.iter().map(|p| p.value.0.clone()).collect());
    let of_tags = tags
        .iter()
        .map(|(name, (place, _))| ("tag", name, *place, &all_tags));
    let of_partners = partners.0.iter();
    let of_partners =
        of_partners.map(|(name, _)| ("partner", &name.value, name.place, &all_partners));
    for (what, name, place, known) in of_tags.chain(of_partners) {
        if !used.contains(name.as_str()) {
            desk.missed(
                place,
                format!("no probe has the {what} {}", quote(name)),
                suggest(name, known.iter().map(String::as_str), "known"),
            );
        }
    }
}

fn by_name(named: Vec<(At<String>, Option<At<Shared>>)>) -> HashMap<String, (Place, Shared)> {
    let known = named
        .into_iter()
        .filter_map(|(name, shared)| Some((name.value, (name.place, shared?.value))));
    known.collect()
}

/// Gives `probe` what it does not say itself.
fn inherit(probe: &mut Probe, from: &Probe) {
    let mut from = from.clone();
    // They are one choice.
    if probe.present.has("every") || probe.present.has("cron") {
        (from.every, from.cron) = (None, None);
    }
    let is_plain = |url: &At<String>| url.value.starts_with("http:");
    if let Some(expect) = from
        .expect
        .as_mut()
        .filter(|_| probe.url.as_ref().is_some_and(is_plain))
    {
        // There is none over http, which the others that share it need not care about.
        expect.value.certificate_days = None;
    }
    together(&mut probe.headers, from.headers.as_ref(), pairs);
    together(
        &mut probe.expect,
        from.expect.as_ref(),
        raw::Expect::lacking,
    );
    together(
        &mut probe.origin,
        from.origin.as_ref(),
        raw::Conditions::lacking,
    );
    together(
        &mut probe.words,
        from.words.as_ref(),
        raw::PlainWords::lacking,
    );
    together(
        &mut probe.contact,
        from.contact.as_ref(),
        raw::Contact::lacking,
    );
    together(
        &mut probe.forbid,
        from.forbid.as_ref(),
        raw::Forbid::lacking,
    );
    probe.lacking(&from);
}

/// Puts two mappings together where both are there.
fn together<T>(own: &mut Option<At<T>>, from: Option<&At<T>>, lacking: impl Fn(&mut T, &T)) {
    if let (Some(own), Some(from)) = (own, from) {
        lacking(&mut own.value, &from.value);
    }
}

/// Headers in the order of those that are shared; one of the probe's own stands in the place of the shared one.
fn pairs<T: Clone>(own: &mut Pairs<T>, from: &Pairs<T>) {
    let mut mine = std::mem::take(&mut own.0);
    for (name, value) in &from.0 {
        let place = mine
            .iter()
            .position(|(known, _)| known.value.eq_ignore_ascii_case(&name.value));
        own.0.push(match place {
            Some(place) => mine.remove(place),
            None => (name.clone(), value.clone()),
        });
    }
    own.0.append(&mut mine);
}
