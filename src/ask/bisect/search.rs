//! Which of many changes flips an answer: the search alone, over numbers.
//!
//! Change `0..n` leads from a request that passes to one that fails. The search halves the list until one change is
//! left that flips the answer, asks whether that one is enough by itself, and if not keeps it and looks for what it
//! needs beside it. For rules that never forgive a request because something was added, what is found is minimal:
//! every change of it is needed. It holds no answers of its own making: from the same answers it always asks the same
//! next question, so a search that was broken off goes on from its journal.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers of changes that are made to the passing request.
pub type Set = BTreeSet<usize>;

/// So many changes may be needed together; of more only where they lie is said.
const TOGETHER_MAX: usize = 3;
/// Growth in bytes from which on the size itself may be what is refused.
const SIZE_MATTERS: i64 = 256;

/// What one change is to the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// A change that this one needs: an element for what stands in it.
    pub needs: Option<usize>,
    /// Bytes that it adds to the head; less than 0 when it takes some away.
    pub head_bytes: i64,
    /// The same of the body.
    pub body_bytes: i64,
}

/// What grows until it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Head,
    Body,
}

/// What the search comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The request that should pass fails in the same way.
    BothFail,
    /// The request that should fail passes.
    BothPass,
    /// These changes together, and none of them to spare.
    Changes {
        needed: Set,
        /// Whether the failing request passes without them; `None`: they are all that differs.
        enough: Option<bool>,
    },
    /// Not what was added but how much; bytes beyond those of the passing request.
    Size { of: Size, passes: i64, fails: i64 },
    /// More changes than are looked for together; these hold them.
    Many(Set),
}

/// A search and the answers so far.
#[derive(Debug, Clone)]
pub(super) struct Search {
    changes: Vec<Change>,
    /// Whether the request with these changes fails.
    answers: BTreeMap<Set, bool>,
}

impl Search {
    /// `changes` in an order in which each stands behind what it needs.
    pub(super) fn new(changes: Vec<Change>) -> Self {
        Self {
            changes,
            answers: BTreeMap::new(),
        }
    }

    /// The most questions that it asks, both ends included.
    pub(super) fn most(&self) -> usize {
        let rounds = TOGETHER_MAX.min(self.changes.len());
        let size = if self.may_be_size() { 2 } else { 0 };
        let once_more = usize::from(self.changes.len() > 1);
        2 + rounds * (halvings(self.changes.len()) + once_more) + size + once_more
    }

    /// The questions that it asks when a single change decides.
    pub(super) fn usual(&self) -> usize {
        let once_more = usize::from(self.changes.len() > 1);
        2 + halvings(self.changes.len()) + 2 * once_more
    }

    /// The next question, or what was found.
    ///
    /// # Errors
    /// The changes to make to the passing request, of which it must be known whether it fails.
    pub(super) fn next(&self) -> Result<Found, Set> {
        let all: Set = (0..self.changes.len()).collect();
        if self.fails(&Set::new())? {
            return Ok(Found::BothFail);
        }
        if !self.fails(&all)? {
            return Ok(Found::BothPass);
        }
        let mut needed = Set::new();
        let mut end = self.changes.len();
        loop {
            let last = self.last_needed(&needed, end)?;
            needed.insert(last);
            if last == 0 || self.fails(&needed)? {
                break;
            }
            if needed.len() == 1
                && let Some(size) = self.size(last)?
            {
                return Ok(size);
            }
            end = last;
            if needed.len() == TOGETHER_MAX {
                needed.extend(0..end);
                return Ok(Found::Many(needed));
            }
        }
        let rest = self.without(&needed);
        let enough = if rest.is_empty() {
            None
        } else {
            Some(!self.fails(&rest)?)
        };
        Ok(Found::Changes { needed, enough })
    }

    /// Takes an answer to a question.
    pub(super) fn answer(&mut self, changes: &Set, fails: bool) {
        self.answers.insert(self.closed(changes), fails);
    }

    /// The fewest changes between a request that is known to fail and one that is known to pass.
    pub(super) fn narrowed(&self) -> Option<Set> {
        let of = |wanted: bool| {
            self.answers
                .iter()
                .filter(move |(_, fails)| **fails == wanted)
        };
        let pairs = of(true).flat_map(|(bad, _)| of(false).map(move |(good, _)| (bad, good)));
        let within = pairs.filter(|(bad, good)| good.is_subset(bad));
        let apart = within.map(|(bad, good)| bad.difference(good).copied().collect::<Set>());
        apart.min_by_key(Set::len)
    }

    /// A closed set: with all that its changes need.
    pub(super) fn closed(&self, changes: &Set) -> Set {
        let mut closed = changes.clone();
        for change in changes {
            let mut at = self.changes[*change].needs;
            while let Some(above) = at.filter(|above| closed.insert(*above)) {
                at = self.changes[above].needs;
            }
        }
        closed
    }

    /// All but these, and but those that need one of them.
    pub(super) fn without(&self, needed: &Set) -> Set {
        let needed = self.closed(needed);
        let mut changes: Set = (0..self.changes.len())
            .filter(|change| !needed.contains(change))
            .collect();
        // Each stands behind what it needs.
        for change in 0..self.changes.len() {
            let needs = self.changes[change].needs;
            if needs.is_some_and(|needs| !changes.contains(&needs)) {
                changes.remove(&change);
            }
        }
        changes
    }

    fn fails(&self, changes: &Set) -> Result<bool, Set> {
        let closed = self.closed(changes);
        self.answers.get(&closed).copied().ok_or(closed)
    }

    /// The last change before `end` that is needed besides `needed`, with all before it made.
    fn last_needed(&self, needed: &Set, end: usize) -> Result<usize, Set> {
        let (mut passes, mut fails) = (0, end);
        while fails - passes > 1 {
            let middle = passes.midpoint(fails);
            let mut set: Set = (0..middle).collect();
            set.extend(needed);
            if self.fails(&set)? {
                fails = middle;
            } else {
                passes = middle;
            }
        }
        Ok(fails - 1)
    }

    fn may_be_size(&self) -> bool {
        [Size::Head, Size::Body]
            .iter()
            .any(|of| self.grown(*of, 0..self.changes.len()) >= SIZE_MATTERS)
    }

    fn bytes(&self, of: Size, change: usize) -> i64 {
        match of {
            Size::Head => self.changes[change].head_bytes,
            Size::Body => self.changes[change].body_bytes,
        }
    }

    fn grown(&self, of: Size, changes: impl IntoIterator<Item = usize>) -> i64 {
        changes
            .into_iter()
            .map(|change| self.bytes(of, change))
            .sum()
    }

    /// Whether it is the size: as much of the other end of the list fails too, and a little less passes.
    ///
    /// Everything before `last` passes, and everything up to it fails.
    fn size(&self, last: usize) -> Result<Option<Found>, Set> {
        let of = match self.changes[last] {
            Change { head_bytes, .. } if head_bytes > 0 => Size::Head,
            _ => Size::Body,
        };
        let (passes, fails) = (self.grown(of, 0..last), self.grown(of, 0..=last));
        if fails < SIZE_MATTERS || self.bytes(of, last) <= 0 {
            return Ok(None);
        }
        let (mut grown, mut below, mut above) = (0, Set::new(), Set::new());
        for change in (0..self.changes.len()).rev() {
            if self.bytes(of, change) <= 0 {
                continue;
            }
            let with = self.closed(&Set::from([change]));
            let more = self.grown(of, with.difference(&above).copied());
            above.extend(with);
            grown += more;
            if grown <= passes {
                below.clone_from(&above);
            }
            if grown >= fails {
                break;
            }
        }
        if grown < fails || above.len() == self.changes.len() || below.is_empty() {
            return Ok(None);
        }
        let is_size = self.fails(&above)? && !self.fails(&below)?;
        Ok(is_size.then_some(Found::Size { of, passes, fails }))
    }
}

/// How often a list must be halved until one is left.
fn halvings(count: usize) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays a rule against the search; what was found and the questions it took.
    fn play(search: &mut Search, rule: impl Fn(&Set) -> bool) -> (Found, usize) {
        let most = search.most();
        for asked in 0..=most {
            match search.next() {
                Ok(found) => return (found, asked),
                Err(set) => search.answer(&set, rule(&set)),
            }
        }
        panic!("more than {most} questions");
    }

    fn plain(count: usize) -> Search {
        Search::new(vec![Change::default(); count])
    }

    type Rule = fn(&Set) -> bool;

    #[test]
    fn names_what_flips_the_answer() {
        let changes = |needed: &[usize], enough| Found::Changes {
            needed: needed.iter().copied().collect(),
            enough,
        };
        let cases: [(&str, usize, Rule, Found, usize); 7] = [
            (
                "one of ten",
                10,
                |s| s.contains(&6),
                changes(&[6], Some(true)),
                7,
            ),
            (
                "the first",
                8,
                |s| s.contains(&0),
                changes(&[0], Some(true)),
                6,
            ),
            (
                "the only one",
                1,
                |s| s.contains(&0),
                changes(&[0], None),
                2,
            ),
            (
                "two together",
                8,
                |s| s.contains(&2) && s.contains(&5),
                changes(&[2, 5], Some(true)),
                11,
            ),
            (
                "any of two",
                8,
                |s| s.contains(&2) || s.contains(&5),
                changes(&[2], Some(false)),
                7,
            ),
            ("nothing fails", 4, |_| false, Found::BothPass, 2),
            ("all fails", 4, |_| true, Found::BothFail, 1),
        ];
        for (name, count, rule, expected, most) in cases {
            let mut search = plain(count);
            let (found, asked) = play(&mut search, rule);
            assert_eq!(found, expected, "{name}");
            assert!(asked <= most, "{name}: {asked} questions");
        }
    }

    #[test]
    fn a_limit_of_size_is_none_of_words() {
        let words = vec![
            Change {
                body_bytes: 8,
                ..Change::default()
            };
            600
        ];
        let (found, asked) = play(&mut Search::new(words.clone()), |set| set.len() * 8 > 3000);
        let expected = Found::Size {
            of: Size::Body,
            passes: 3000,
            fails: 3008,
        };
        assert_eq!(found, expected);
        assert!(asked <= 16, "{asked}");
        let both = |set: &Set| set.contains(&100) && set.contains(&400);
        let (found, _) = play(&mut Search::new(words), both);
        let needed = Set::from([100, 400]);
        let enough = Some(true);
        assert_eq!(found, Found::Changes { needed, enough }, "two words");
    }

    #[test]
    fn what_stands_in_an_element_brings_the_element() {
        // 0 holds 1 and 2; 3 stands alone.
        let inside = Change {
            needs: Some(0),
            ..Change::default()
        };
        let mut search = Search::new(vec![Change::default(), inside, inside, Change::default()]);
        let (found, _) = play(&mut search, |set| {
            assert!(set.contains(&0) || (!set.contains(&1) && !set.contains(&2)));
            set.contains(&2)
        });
        let Found::Changes { needed, enough } = found else {
            panic!("{found:?}")
        };
        assert_eq!((needed, enough), (Set::from([2]), Some(true)));
    }

    #[test]
    fn a_search_that_was_broken_off_says_where_it_lies() {
        let mut search = plain(64);
        for _ in 0..5 {
            let set = search.next().unwrap_err();
            search.answer(&set, set.contains(&40));
        }
        let left = search.narrowed().unwrap();
        assert!(left.contains(&40) && left.len() == 8, "{left:?}");
    }

    proptest! {
        /// A refusal by any of some conjunctions: what is found fails, nothing of it is to spare, and no more is asked
        /// than was announced.
        #[test]
        fn minimal_and_never_more_than_announced(
            count in 1_usize..200,
            conjunctions in prop::collection::vec(prop::collection::btree_set(0_usize..200, 1..4), 1..4),
        ) {
            let conjunctions: Vec<Set> = conjunctions
                .into_iter()
                .map(|set| set.into_iter().map(|change| change % count).collect())
                .collect();
            let rule = |set: &Set| conjunctions.iter().any(|needed| needed.is_subset(set));
            let mut search = plain(count);
            let (found, asked) = play(&mut search, rule);
            prop_assert!(asked <= search.most());
            match found {
                Found::Changes { needed, enough } => {
                    prop_assert!(rule(&needed));
                    for change in &needed {
                        let mut less = needed.clone();
                        less.remove(change);
                        prop_assert!(!rule(&less), "{change} is to spare");
                    }
                    if needed.len() == 1 {
                        prop_assert!(asked <= search.usual());
                    }
                    let rest: Set = (0..count).filter(|c| !needed.contains(c)).collect();
                    prop_assert_eq!(enough, (!rest.is_empty()).then(|| !rule(&rest)));
                }
                Found::Many(within) => prop_assert!(rule(&within)),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        /// Whatever is answered, also what no rule would say: the number of questions holds.
        #[test]
        fn announced_whatever_is_answered(count in 1_usize..300, bytes in 0_i64..20, seed in any::<u64>()) {
            let change = Change { body_bytes: bytes, ..Change::default() };
            let mut search = Search::new(vec![change; count]);
            let mut random = seed;
            let most = search.most();
            let mut asked = 0;
            while let Err(set) = search.next() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                search.answer(&set, random >> 63 == 1);
                asked += 1;
                prop_assert!(asked <= most);
            }
        }
    }
}
