//! Notices that an endpoint's front has changed, and whether that may have to do with an incident.
//!
//! Behind a load balancer two fronts may take turns, and one odd answer is no change. So a fingerprint
//! counts as new when it makes up most of the last few answers and was seen through two egresses; going
//! back to a known one is no event. Whether a change is put beside an incident depends on how likely a
//! change of this host is to fall that close before the onset by chance.
//!
//! Some traits belong to the host ([`Trait::is_core`]); the others may differ by path and client, so they
//! are compared with what the same asker got before, and an asker that is new teaches rather than alarms.
//! An answer that shows nothing new costs a digest and a look at a short list.

use std::collections::VecDeque;

use jiff::Timestamp;

pub use crate::domain::fingerprint::Drift;
use crate::domain::fingerprint::{DriftKind, Fingerprint, Trait};
use crate::domain::surroundings::{KnownFront, KnownPrint};

/// Answers that define what is known at the start.
const LEARNING: u32 = 12;
/// A new fingerprint must make up so many of the last so many answers.
const OF_LAST: (usize, usize) = (4, 5);
/// It must have been seen through so many egresses, if there are.
const EGRESSES: u32 = 2;
/// Fingerprints kept for one host; unknown ones go first, those seen longest ago before others.
const KEPT_MAX: usize = 64;
/// Askers told apart for one host; all further ones count as one.
const ASKERS_MAX: usize = 256;
/// Changes kept for one host.
const DRIFTS_MAX: usize = 16;
/// A front that took no turn for so long has gone, and its return is a change, seconds.
const GONE_AFTER_S: f64 = 72.0 * 3600.0;
/// A change this long before the onset may still be related, seconds; and this long after it.
pub const LEAD_MAX_S: f64 = 72.0 * 3600.0;
pub const LAG_MAX_S: f64 = 300.0;
/// Observation time below which a host's rate of changes is not believed, seconds.
const OBSERVED_MIN_S: f64 = 14.0 * 86_400.0;
/// Chance of coincidence below which a change is called related.
pub const COINCIDENCE: f64 = 0.05;
/// Shortest lead that the chance is computed for, seconds.
const LEAD_MIN_S: f64 = 60.0;

/// A change put beside an onset.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub drift: Drift,
    /// Seconds from the change to the onset; negative when it was seen after it.
    pub lead_s: f64,
    /// Probability that a change falls so close before an onset by chance.
    pub chance: f64,
    pub related: bool,
}

/// A fingerprint as two numbers: all of it, and the part that belongs to the host.
///
/// Values are added in any order, whatever their case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    whole: u64,
    core: u64,
}

impl Digest {
    #[must_use]
    pub fn of(print: &Fingerprint) -> Self {
        let mut digest = Self::default();
        print.each(|part, value| digest.add(part, value));
        digest
    }

    pub fn add(&mut self, part: Trait, value: &str) {
        let bytes = value.bytes().map(|byte| byte.to_ascii_lowercase());
        let hash = fnv(part.as_str().bytes().chain([0]).chain(bytes));
        self.whole = self.whole.wrapping_add(hash);
        if part.is_core() {
            self.core = self.core.wrapping_add(hash);
        }
    }
}

/// FNV-1a, 64 bits: small, and the same in every build
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv-21>, read 2026-11-22).
#[must_use]
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(start, step)
}

/// Half of a digest, for the short windows of the last answers; 0 stands for none.
fn short(digest: u64) -> u32 {
    (digest ^ (digest >> 32)) as u32 | 1
}

/// Probability that a change falls within `lead_s` before an onset by chance.
///
/// `earlier` changes were seen before this one in `observed_s` seconds.
#[must_use]
pub fn chance(earlier: u32, observed_s: f64, lead_s: f64) -> f64 {
    let rate = (f64::from(earlier) + 0.5) / observed_s.max(OBSERVED_MIN_S);
    1.0 - (-rate * lead_s.max(LEAD_MIN_S)).exp()
}

#[derive(Debug, Clone)]
struct Sighting {
    digest: Digest,
    first: f64,
    last: f64,
    /// Which egresses saw it, one bit each; those beyond the 63rd share one.
    egresses: u64,
    known: bool,
    /// As `Fingerprint::to_text` writes it.
    print: Box<str>,
}

/// One kind of request, and what it was answered with lately.
#[derive(Debug, Clone)]
struct Asker {
    id: u32,
    /// The last known fingerprint; 0: none since the start.
    known: u64,
    last: Window,
}

/// The last few answers.
#[derive(Debug, Clone, Copy, Default)]
struct Window([u32; OF_LAST.1]);

impl Window {
    fn push(&mut self, digest: u64) {
        self.0.rotate_left(1);
        self.0[OF_LAST.1 - 1] = short(digest);
    }

    fn mostly(&self, digest: u64) -> bool {
        let wanted = short(digest);
        self.0.iter().filter(|known| **known == wanted).count() >= OF_LAST.0
    }
}

/// What is known of one host's front.
#[derive(Debug, Clone)]
pub struct Watch {
    sightings: Vec<Sighting>,
    askers: Vec<Asker>,
    /// By core, whoever asked.
    last: Window,
    /// The last known fingerprint.
    current: Option<Digest>,
    egresses_wanted: u32,
    seen: u32,
    began: Option<f64>,
    drifts: VecDeque<Drift>,
    /// Changes that are no longer kept.
    earlier: u32,
    /// What would be kept for the next start has changed.
    changed: bool,
}

impl Watch {
    /// `egresses` is how many egresses reach the host.
    #[must_use]
    pub fn new(egresses: usize) -> Self {
        Self {
            sightings: Vec::new(),
            askers: Vec::new(),
            last: Window::default(),
            current: None,
            egresses_wanted: wanted(egresses),
            seen: 0,
            began: None,
            drifts: VecDeque::new(),
            earlier: 0,
            changed: false,
        }
    }

    /// Goes on from what was known at the last start; `now` in seconds.
    #[must_use]
    pub fn resume(known: &KnownFront, egresses: usize, now: f64) -> Self {
        let mut watch = Self::new(egresses);
        watch.began = Some(known.began);
        watch.drifts = known.drifts.iter().cloned().collect();
        watch.earlier = known.earlier;
        // Nobody looked meanwhile, so nothing has been away for longer.
        let away = (now - seconds(known.saved_at)).max(0.0);
        for kept in known.prints.iter().take(KEPT_MAX) {
            let digest = Digest::of(&Fingerprint::from_text(&kept.print));
            if kept.current {
                watch.current = Some(digest);
            }
            watch.sightings.push(Sighting {
                digest,
                first: kept.last,
                last: kept.last + away,
                egresses: 0,
                known: true,
                print: kept.print.as_str().into(),
            });
        }
        if !watch.sightings.is_empty() {
            watch.seen = LEARNING;
            let asker = |id: &u32| Asker {
                id: *id,
                known: 0,
                last: Window::default(),
            };
            watch.askers = known.askers.iter().take(ASKERS_MAX).map(asker).collect();
        }
        watch
    }

    /// What is to be kept for the next start; `None` while it is still learning.
    #[must_use]
    pub fn keep(&self, host: &str, rules: u32, now: Timestamp) -> Option<KnownFront> {
        if self.seen < LEARNING {
            return None;
        }
        let prints = self.sightings.iter().filter(|sighting| sighting.known);
        let prints = prints.map(|sighting| KnownPrint {
            print: sighting.print.to_string(),
            last: sighting.last,
            current: self.current == Some(sighting.digest),
        });
        Some(KnownFront {
            host: host.to_owned(),
            rules,
            saved_at: now,
            began: self.began?,
            prints: prints.collect(),
            askers: self.askers.iter().map(|asker| asker.id).collect(),
            drifts: self.drifts.iter().cloned().collect(),
            earlier: self.earlier,
        })
    }

    /// Whether that changed since it was asked last.
    pub fn take_changed(&mut self) -> bool {
        self.seen >= LEARNING && std::mem::take(&mut self.changed)
    }

    /// Fits itself to a new configuration, in which egresses may have other numbers.
    pub fn replan(&mut self, egresses: usize) {
        self.egresses_wanted = wanted(egresses);
        for sighting in &mut self.sightings {
            sighting.egresses = 0;
        }
    }

    /// Takes in the fingerprint of a successful answer; returns a change when it has become certain.
    pub fn observe(&mut self, at: f64, egress: u16, print: &Fingerprint) -> Option<&Drift> {
        self.sight(at, egress, 0, Digest::of(print), || print.clone())
    }

    /// The same by its digest; `make` is asked for the fingerprint only when it is new.
    ///
    /// `asker` is a number for the probe and the client.
    pub fn sight(
        &mut self,
        at: f64,
        egress: u16,
        asker: u32,
        digest: Digest,
        make: impl FnOnce() -> Fingerprint,
    ) -> Option<&Drift> {
        self.began.get_or_insert(at);
        let learning = self.seen < LEARNING;
        self.seen = self.seen.saturating_add(1);
        self.changed |= self.seen == LEARNING;
        self.last.push(digest.core);
        let (asker, new_asker) = self.asker(asker);
        self.askers[asker].last.push(digest.whole);
        let place = self.sighting(at, digest, make);
        let sighting = &mut self.sightings[place];
        sighting.last = sighting.last.max(at);
        sighting.egresses |= 1 << egress.min(63);
        let (known, first) = (sighting.known, sighting.first);
        let old = self.askers[asker].known;
        if known || learning {
            self.accept(place, asker);
            return None;
        }
        let core_known = self
            .sightings
            .iter()
            .any(|other| other.known && other.digest.core == digest.core);
        let (certain, first) = if core_known {
            // Another path or client may well get other headers.
            if new_asker {
                self.accept(place, asker);
                self.changed = true;
                return None;
            }
            let seen_by = self.sightings[place].egresses.count_ones();
            let mostly = self.askers[asker].last.mostly(digest.whole);
            (mostly && seen_by >= self.egresses_wanted, first)
        } else {
            let same = self.sightings.iter();
            let same = same.filter(|s| !s.known && s.digest.core == digest.core);
            let (seen_by, first) = same.fold((0, first), |(egresses, first), s| {
                (egresses | s.egresses, first.min(s.first))
            });
            let enough = u64::count_ones(seen_by) >= self.egresses_wanted;
            (enough && self.last.mostly(digest.core), first)
        };
        if !certain {
            return None;
        }
        let old = self.print(old).unwrap_or_default();
        for other in &mut self.sightings {
            other.known |= other.digest.core == digest.core && !core_known;
        }
        self.accept(place, asker);
        self.changed = true;
        let new = Fingerprint::from_text(&self.sightings[place].print);
        if self.drifts.len() >= DRIFTS_MAX {
            self.drifts.pop_front();
            self.earlier = self.earlier.saturating_add(1);
        }
        self.drifts.push_back(Drift {
            at: first,
            noticed_at: at,
            kind: DriftKind::between(&old, &new),
            old,
            new,
            told: false,
        });
        self.drifts.back()
    }

    /// The place of an asker, and whether it never asked before.
    fn asker(&mut self, id: u32) -> (usize, bool) {
        if let Some(place) = self.askers.iter().position(|asker| asker.id == id) {
            return (place, false);
        }
        if self.askers.len() >= ASKERS_MAX {
            return (ASKERS_MAX - 1, true);
        }
        self.askers.push(Asker {
            id,
            known: 0,
            last: Window::default(),
        });
        self.changed = true;
        (self.askers.len() - 1, true)
    }

    /// The place of this fingerprint among those seen; one that has been away for long begins anew.
    fn sighting(&mut self, at: f64, digest: Digest, make: impl FnOnce() -> Fingerprint) -> usize {
        let place = self.sightings.iter().position(|s| s.digest == digest);
        let Some(place) = place else {
            self.make_room();
            self.sightings.push(Sighting {
                digest,
                first: at,
                last: at,
                egresses: 0,
                known: false,
                print: make().to_text().into(),
            });
            return self.sightings.len() - 1;
        };
        let elsewhere = self.current.is_some_and(|now| now.core != digest.core);
        let returns = |s: &Sighting| s.known && elsewhere && at - s.last > GONE_AFTER_S;
        if returns(&self.sightings[place]) {
            for sighting in &mut self.sightings {
                if sighting.digest.core == digest.core && returns(sighting) {
                    (sighting.known, sighting.first, sighting.egresses) = (false, at, 0);
                }
            }
        }
        place
    }

    fn accept(&mut self, place: usize, asker: usize) {
        let sighting = &mut self.sightings[place];
        sighting.known = true;
        self.askers[asker].known = sighting.digest.whole;
        self.current = Some(sighting.digest);
    }

    /// The fingerprint that an asker had, or the last one of the host.
    fn print(&self, whole: u64) -> Option<Fingerprint> {
        let mine = self.sightings.iter().find(|s| s.digest.whole == whole);
        let hosts = || {
            let mut sightings = self.sightings.iter();
            sightings.find(|s| Some(s.digest) == self.current)
        };
        let sighting = mine.filter(|s| s.known).or_else(hosts)?;
        Some(Fingerprint::from_text(&sighting.print))
    }

    fn make_room(&mut self) {
        if self.sightings.len() < KEPT_MAX {
            return;
        }
        let oldest = self
            .sightings
            .iter()
            .enumerate()
            .filter(|(_, s)| Some(s.digest) != self.current)
            .min_by(|(_, a), (_, b)| {
                (a.known, a.last)
                    .partial_cmp(&(b.known, b.last))
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
            .map(|(place, _)| place);
        if let Some(oldest) = oldest {
            self.sightings.swap_remove(oldest);
        }
    }

    /// The changes that are kept, oldest first.
    pub fn drifts(&self) -> impl DoubleEndedIterator<Item = &Drift> {
        self.drifts.iter()
    }

    /// Nothing is left to do about the change first seen at `at`.
    pub fn settle(&mut self, at: f64) {
        let same = |drift: &&mut Drift| drift.at.total_cmp(&at).is_eq() && !drift.told;
        for drift in self.drifts.iter_mut().filter(same) {
            drift.told = true;
            self.changed = true;
        }
    }

    /// The changes that fall near an onset, with the chance of coincidence.
    ///
    /// `at_edge` says whether the failures come from the edge: only then may a mere change of headers
    /// have to do with them.
    #[must_use]
    pub fn relate(&self, onset: f64, at_edge: bool) -> Vec<Relation> {
        let observed = onset - self.began.unwrap_or(onset);
        (self.earlier..)
            .zip(&self.drifts)
            .filter_map(|(earlier, drift)| {
                let lead_s = onset - drift.at;
                if !(-LAG_MAX_S..=LEAD_MAX_S).contains(&lead_s) {
                    return None;
                }
                let chance = chance(earlier, observed, lead_s);
                let fits = at_edge || drift.kind != DriftKind::HeadersChanged;
                Some(Relation {
                    drift: drift.clone(),
                    lead_s,
                    chance,
                    related: chance < COINCIDENCE && fits,
                })
            })
            .collect()
    }
}

fn wanted(egresses: usize) -> u32 {
    EGRESSES.min(u32::try_from(egresses).unwrap_or(EGRESSES))
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(server: &str, markers: &[&str]) -> Fingerprint {
        Fingerprint {
            server: Some(server.to_owned()),
            markers: markers.iter().map(|m| (*m).to_owned()).collect(),
            ..Fingerprint::default()
        }
    }

    fn watch(steps: &[(&Fingerprint, u16)]) -> Watch {
        let mut it = Watch::new(3);
        for i in 0..20 {
            it.observe(f64::from(i) * 60.0, (i % 3) as u16, &print("nginx", &[]));
        }
        for (i, (print, egress)) in steps.iter().enumerate() {
            it.observe(1200.0 + i as f64 * 60.0, *egress, print);
        }
        it
    }

    #[test]
    fn a_new_edge_is_noticed_with_the_time_of_its_first_sighting() {
        let new = print("cloudflare", &["cf-ray"]);
        let it = watch(&[(&new, 0), (&new, 1), (&new, 2), (&new, 0)]);
        assert_eq!(it.drifts().count(), 1);
        assert_eq!(it.drifts().next().unwrap().kind, DriftKind::EdgeAppeared);
        assert!((it.drifts().next().unwrap().at - 1200.0).abs() < 1e-9);
        let relations = it.relate(1200.0 + 3.0 * 3600.0, true);
        assert!(relations[0].related && relations[0].chance < 0.01);
        assert!(it.relate(1200.0 + 5.0 * 86_400.0, true).is_empty());
    }

    #[test]
    fn a_load_balancer_is_no_drift() {
        let (a, b) = (print("nginx", &[]), print("apache", &[]));
        assert!(
            watch(&[(&b, 0), (&a, 1), (&b, 2), (&a, 0), (&b, 1)])
                .drifts()
                .next()
                .is_none()
        );
    }

    #[test]
    fn one_egress_alone_proves_nothing() {
        let new = print("squid", &[]);
        assert!(
            watch(&[(&new, 0), (&new, 0), (&new, 0), (&new, 0)])
                .drifts()
                .next()
                .is_none()
        );
    }

    /// `(asker, server, markers)` at each minute from `from` on, through three egresses in turn.
    fn play(it: &mut Watch, from: f64, steps: &[(u32, &str, &[&str])]) -> Vec<DriftKind> {
        let mut kinds = Vec::new();
        for (i, (asker, server, markers)) in steps.iter().enumerate() {
            let print = print(server, markers);
            let at = from + i as f64 * 60.0;
            let drift = it.sight(at, (i % 3) as u16, *asker, Digest::of(&print), || {
                print.clone()
            });
            kinds.extend(drift.map(|drift| drift.kind));
        }
        kinds
    }

    const NONE: &[&str] = &[];
    const EDGE: &[&str] = &["cloudflare"];

    #[test]
    fn a_new_path_or_client_teaches_and_a_new_edge_does_not() {
        let mut it = watch(&[]);
        let other = [(7, "tomcat", NONE); 6];
        assert_eq!(play(&mut it, 2000.0, &other), [], "another application");
        let mixed = [(7, "cloudflare", EDGE), (0, "edge", EDGE)];
        let kinds = play(&mut it, 3000.0, &mixed.repeat(4));
        assert_eq!(kinds, [DriftKind::EdgeAppeared], "whatever its headers");
        let (first, last) = (it.drifts().next().unwrap(), it.drifts().count());
        assert!((first.at - 3000.0).abs() < 1e-9 && last == 1);
        let moved = [(7, "jetty", EDGE), (0, "edge", EDGE)];
        let kinds = play(&mut it, 5000.0, &moved.repeat(6));
        assert_eq!(kinds, [DriftKind::HeadersChanged], "of one path alone");
        assert_eq!(
            it.drifts().last().unwrap().old.server.as_deref(),
            Some("cloudflare")
        );
    }

    #[test]
    fn a_front_that_was_gone_for_days_is_new_again() {
        let mut it = watch(&[]);
        let (edge, none) = ([(0, "cloudflare", EDGE); 6], [(0, "nginx", NONE); 6]);
        assert_eq!(play(&mut it, 2000.0, &edge), [DriftKind::EdgeAppeared]);
        assert_eq!(
            play(&mut it, 4000.0, &none),
            [],
            "soon back: it may be a balancer"
        );
        assert_eq!(play(&mut it, 80.0 * 3600.0, &none), []);
        let kinds = play(&mut it, 90.0 * 3600.0, &edge);
        assert_eq!(kinds, [DriftKind::EdgeAppeared]);
    }

    #[test]
    fn what_is_kept_goes_on_where_it_was() {
        let mut it = watch(&[]);
        assert!(it.take_changed() && !it.take_changed());
        play(&mut it, 2000.0, &[(0, "cloudflare", EDGE); 6]);
        assert!(it.take_changed());
        let now = Timestamp::from_second(3000).unwrap();
        let kept = it.keep("h", 1, now).unwrap();
        assert_eq!(kept.prints.iter().filter(|p| p.current).count(), 1);
        let mut again = Watch::resume(&kept, 3, 90.0 * 3600.0);
        assert_eq!(again.keep("h", 1, now).unwrap().drifts, kept.drifts);
        let both = [(0, "nginx", NONE), (0, "cloudflare", EDGE)];
        let kinds = play(&mut again, 90.0 * 3600.0, &both.repeat(4));
        assert_eq!(
            kinds,
            [],
            "both are known, whatever time went by without a look"
        );
        let new = [(0, "AkamaiGHost", &["akamai"] as &[&str]); 5];
        let kinds = play(&mut again, 91.0 * 3600.0, &new);
        assert_eq!(kinds, [DriftKind::EdgeChanged]);
        assert!(
            Watch::new(1).keep("h", 1, now).is_none(),
            "nothing learned yet"
        );
    }

    #[test]
    fn a_host_that_does_not_change_costs_little() {
        let headers = (0..20).map(|i| format!("x-header-number-{i}")).collect();
        let print = Fingerprint {
            headers,
            ..print("nginx", EDGE)
        };
        let mut it = Watch::new(2);
        for i in 0..100 {
            it.observe(f64::from(i), (i % 2) as u16, &print);
        }
        let texts: usize = it.sightings.iter().map(|s| s.print.len()).sum();
        let bytes = size_of::<Watch>()
            + it.sightings.capacity() * size_of::<Sighting>()
            + it.askers.capacity() * size_of::<Asker>()
            + texts;
        assert!(bytes < 1600, "{bytes} bytes");
    }

    #[test]
    fn a_change_is_settled_once() {
        let mut it = watch(&[]);
        play(&mut it, 2000.0, &[(0, "cloudflare", EDGE); 6]);
        it.take_changed();
        let at = it.drifts().next().unwrap().at;
        it.settle(at);
        assert!(it.drifts().all(|drift| drift.told) && it.take_changed());
        it.settle(at);
        assert!(!it.take_changed());
    }

    #[test]
    fn many_odd_answers_take_bounded_room() {
        let mut it = watch(&[]);
        for i in 0..2000 {
            let print = print(&format!("s{i}"), &[]);
            let asker = i % 700;
            it.sight(f64::from(i), 0, asker, Digest::of(&print), || print.clone());
        }
        assert!(it.sightings.len() <= KEPT_MAX && it.askers.len() <= ASKERS_MAX);
    }

    #[test]
    fn a_digest_knows_no_order_and_no_case_and_text_is_read_back() {
        let one = Fingerprint {
            server: Some("Microsoft-IIS".to_owned()),
            markers: ["cloudflare".to_owned()].into(),
            issuer: Some("Let's Encrypt".to_owned()),
            asn: Some(13_335),
            http: Some("2".to_owned()),
            cname: Some("cdn.example".to_owned()),
            redirect: Some("https://www.example".to_owned()),
            headers: ["server".to_owned(), "x-a".to_owned()].into(),
        };
        assert_eq!(Fingerprint::from_text(&one.to_text()), one);
        assert_eq!(
            Fingerprint::from_text(&Fingerprint::default().to_text()),
            Fingerprint::default()
        );
        let mut other = Digest::default();
        let mut values = Vec::new();
        one.each(|part, value| values.push((part, value.to_uppercase())));
        for (part, value) in values.iter().rev() {
            other.add(*part, value);
        }
        assert_eq!(other, Digest::of(&one));
        let moved = Fingerprint {
            headers: ["server".to_owned()].into(),
            ..one.clone()
        };
        let moved = Digest::of(&moved);
        assert!(moved.core == other.core && moved.whole != other.whole);
        let core = Fingerprint { asn: None, ..one };
        assert_ne!(Digest::of(&core).core, other.core);
    }
}
