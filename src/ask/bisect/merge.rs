//! Two texts laid over each other: what both have, and each change that leads from one to the other.

use super::pieces::{Kind, Piece};
use super::search::Set;

/// Longer lists are compared from both ends only.
const COMPARED_MAX: usize = 4_000_000;

/// Two texts as one, of which either can be written, and anything between them.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    nodes: Vec<Node>,
    /// Whether there is a text at all on each side.
    pub(super) changes: Vec<Text>,
}

/// One change of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) needs: Option<usize>,
    /// Names of what it stands in, outermost first.
    pub(super) path: Vec<String>,
    pub(super) kind: Kind,
    /// What the failing text has there; `None`: nothing.
    pub(super) failing: Option<String>,
    pub(super) passing: Option<String>,
    /// Blanks and quotes alone.
    pub(super) layout: bool,
    pub(super) bytes: i64,
}

#[derive(Debug, Clone)]
struct Node {
    open: [String; 2],
    close: [String; 2],
    between: &'static str,
    side: Side,
    inside: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    /// The change that makes it look as in the failing text.
    Both(Option<usize>),
    /// Gone with this change.
    Passing(usize),
    /// There with this change.
    Failing(usize),
}

impl Merged {
    pub(super) fn new(passing: &[Piece], failing: &[Piece]) -> Self {
        let mut merge = Merge {
            changes: Vec::new(),
            path: Vec::new(),
            layout: None,
        };
        let nodes = merge.lists(passing, failing, None, false);
        Self {
            nodes,
            changes: merge.changes,
        }
    }

    /// The text with these changes, which hold all that they need.
    pub(super) fn text(&self, changes: &Set) -> String {
        let mut text = String::new();
        write(&self.nodes, "", changes, &mut text);
        text
    }
}

fn write(nodes: &[Node], between: &str, changes: &Set, text: &mut String) {
    let mut first = true;
    for node in nodes {
        let side = match node.side {
            Side::Both(Some(change)) => usize::from(changes.contains(&change)),
            Side::Both(None) => 0,
            Side::Passing(change) if !changes.contains(&change) => 0,
            Side::Failing(change) if changes.contains(&change) => 1,
            _ => continue,
        };
        if !first {
            text.push_str(between);
        }
        first = false;
        text.push_str(&node.open[side]);
        write(&node.inside, node.between, changes, text);
        text.push_str(&node.close[side]);
    }
}

struct Merge {
    changes: Vec<Text>,
    path: Vec<String>,
    layout: Option<usize>,
}

impl Merge {
    /// Lays two lists over each other; `slot`: there is always exactly one in it.
    fn lists(
        &mut self,
        passing: &[Piece],
        failing: &[Piece],
        needs: Option<usize>,
        slot: bool,
    ) -> Vec<Node> {
        let mut nodes = Vec::new();
        let (mut from, mut to) = (0, 0);
        let mut matches = matches(passing, failing);
        matches.push((passing.len(), failing.len()));
        for (p, f) in matches {
            self.gap(&passing[from..p], &failing[to..f], needs, slot, &mut nodes);
            if let (Some(one), Some(other)) = (passing.get(p), failing.get(f)) {
                nodes.push(self.both(one, other, needs));
            }
            (from, to) = (p + 1, f + 1);
        }
        nodes
    }

    /// What only one of them has: what can stand for each other is one change.
    fn gap(
        &mut self,
        passing: &[Piece],
        failing: &[Piece],
        needs: Option<usize>,
        slot: bool,
        nodes: &mut Vec<Node>,
    ) {
        let mut left = passing.iter();
        for other in failing {
            let pair = left
                .as_slice()
                .first()
                .filter(|one| slot || one.kind == other.kind && one.inside.is_empty());
            let Some(one) = pair else {
                // Something of another kind: the whole of it goes first.
                self.gone(&mut left, needs, nodes);
                let change = self.change(other, needs, None, Some(other));
                nodes.push(self.added(other, change));
                continue;
            };
            left.next();
            let change = self.change(other, needs, Some(one), Some(other));
            nodes.push(whole(one, Side::Passing(change)));
            nodes.push(self.added(other, change));
        }
        self.gone(&mut left, needs, nodes);
    }

    fn gone(
        &mut self,
        pieces: &mut std::slice::Iter<'_, Piece>,
        needs: Option<usize>,
        nodes: &mut Vec<Node>,
    ) {
        for one in pieces {
            let change = self.change(one, needs, Some(one), None);
            nodes.push(whole(one, Side::Passing(change)));
        }
    }

    fn change(
        &mut self,
        named: &Piece,
        needs: Option<usize>,
        passing: Option<&Piece>,
        failing: Option<&Piece>,
    ) -> usize {
        let bytes = |piece: &Piece| (piece.open.len() + piece.close.len()) as i64;
        let gone = passing.map_or(0, |one| all_bytes(one) as i64);
        self.changes.push(Text {
            needs,
            path: self.path.clone(),
            kind: named.kind,
            failing: failing.map(name),
            passing: passing.map(name),
            layout: false,
            bytes: failing.map_or(0, bytes) - gone,
        });
        self.changes.len() - 1
    }

    /// A piece of the failing text alone, each part of it a change of its own.
    fn added(&mut self, piece: &Piece, change: usize) -> Node {
        let slot = piece.kind == Kind::Member;
        self.within(piece);
        let mut inside = Vec::new();
        for part in &piece.inside {
            // What must be there comes with what it must be in.
            let own = if slot {
                change
            } else {
                self.change(part, Some(change), None, Some(part))
            };
            inside.push(self.added(part, own));
        }
        self.path.pop();
        Node {
            open: [piece.open.clone(), piece.open.clone()],
            close: [piece.close.clone(), piece.close.clone()],
            between: piece.between,
            side: Side::Failing(change),
            inside,
        }
    }

    fn both(&mut self, one: &Piece, other: &Piece, needs: Option<usize>) -> Node {
        let looks = |piece: &Piece| (piece.open.clone(), piece.close.clone());
        let bare = |piece: &Piece| -> String {
            let marks = piece.open.chars().chain(piece.close.chars());
            marks
                .filter(|c| !c.is_whitespace())
                .map(|c| if c == '\'' { '"' } else { c })
                .collect()
        };
        let own = match () {
            () if looks(one) == looks(other) => None,
            () if bare(one) == bare(other) => Some(self.in_layout()),
            () => Some(self.change(other, needs, Some(one), Some(other))),
        };
        self.within(other);
        let slot = other.kind == Kind::Member;
        let inside = self.lists(&one.inside, &other.inside, needs, slot);
        self.path.pop();
        Node {
            open: [one.open.clone(), other.open.clone()],
            close: [one.close.clone(), other.close.clone()],
            between: other.between,
            side: Side::Both(own),
            inside,
        }
    }

    fn within(&mut self, piece: &Piece) {
        self.path.push(match piece.kind {
            Kind::Element | Kind::Member | Kind::Field => name(piece),
            _ => String::new(),
        });
    }

    fn in_layout(&mut self) -> usize {
        *self.layout.get_or_insert_with(|| {
            self.changes.push(Text {
                needs: None,
                path: Vec::new(),
                kind: Kind::Mark,
                failing: None,
                passing: None,
                layout: true,
                bytes: 0,
            });
            self.changes.len() - 1
        })
    }
}

/// A piece of the passing text alone, with all in it.
fn whole(piece: &Piece, side: Side) -> Node {
    Node {
        open: [piece.open.clone(), String::new()],
        close: [piece.close.clone(), String::new()],
        between: piece.between,
        side,
        inside: piece
            .inside
            .iter()
            .map(|part| whole(part, Side::Both(None)))
            .collect(),
    }
}

fn all_bytes(piece: &Piece) -> usize {
    let inside: usize = piece.inside.iter().map(all_bytes).sum();
    let joints = piece.inside.len().saturating_sub(1) * piece.between.len();
    piece.open.len() + piece.close.len() + inside + joints
}

/// What people call it.
fn name(piece: &Piece) -> String {
    match piece.kind {
        Kind::Element => piece.key.trim_matches(['<', '/']).to_owned(),
        Kind::Word => {
            let bare = piece.key.trim_matches(|c: char| !c.is_alphanumeric());
            if bare.is_empty() { &piece.key } else { bare }.to_owned()
        }
        Kind::Quoted => {
            let words = piece.inside.iter().map(|word| word.open.as_str());
            words.collect::<String>()
        }
        _ => piece.key.clone(),
    }
}

/// Places at which both lists have the same key, in order, as many as there are.
fn matches(passing: &[Piece], failing: &[Piece]) -> Vec<(usize, usize)> {
    let same = |p: usize, f: usize| passing[p].key == failing[f].key;
    let most = passing.len().min(failing.len());
    let front = (0..most).take_while(|at| same(*at, *at)).count();
    let back = (0..most - front)
        .take_while(|at| same(passing.len() - 1 - at, failing.len() - 1 - at))
        .count();
    let mut found: Vec<(usize, usize)> = (0..front).map(|at| (at, at)).collect();
    let (rows, columns) = (passing.len() - front - back, failing.len() - front - back);
    if rows * columns <= COMPARED_MAX {
        // Longest common subsequence, from the end.
        let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
        for p in (0..rows).rev() {
            for f in (0..columns).rev() {
                longest[p][f] = if same(front + p, front + f) {
                    longest[p + 1][f + 1] + 1
                } else {
                    longest[p + 1][f].max(longest[p][f + 1])
                };
            }
        }
        let (mut p, mut f) = (0, 0);
        while p < rows && f < columns {
            if same(front + p, front + f) {
                found.push((front + p, front + f));
                (p, f) = (p + 1, f + 1);
            } else if longest[p + 1][f] >= longest[p][f + 1] {
                p += 1;
            } else {
                f += 1;
            }
        }
    }
    found.extend(
        (0..back)
            .rev()
            .map(|at| (passing.len() - 1 - at, failing.len() - 1 - at)),
    );
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pieces::read;
    use super::*;

    fn merged(passing: &str, failing: &str) -> Merged {
        Merged::new(&read(passing), &read(failing))
    }

    /// Every text on the way from one to the other, change by change.
    fn way(passing: &str, failing: &str) -> Vec<String> {
        let merged = merged(passing, failing);
        (0..=merged.changes.len())
            .map(|to| merged.text(&(0..to).collect()))
            .collect()
    }

    #[test]
    fn every_step_can_be_read() {
        assert_eq!(
            way(
                "<a><b>one two</b></a>",
                "<a><b>one select two</b><c>x y</c></a>"
            ),
            [
                "<a><b>one two</b></a>",
                "<a><b>one select two</b></a>",
                "<a><b>one select two</b><c></c></a>",
                "<a><b>one select two</b><c>x </c></a>",
                "<a><b>one select two</b><c>x y</c></a>",
            ]
        );
        assert_eq!(
            way(r#"{"a":1,"c":"x"}"#, r#"{"a":[2],"b":true,"c":"y"}"#),
            [
                r#"{"a":1,"c":"x"}"#,
                r#"{"a":[],"c":"x"}"#,
                r#"{"a":[2],"c":"x"}"#,
                r#"{"a":[2],"b":true,"c":"x"}"#,
                r#"{"a":[2],"b":true,"c":"y"}"#,
            ]
        );
        assert_eq!(way("a=1", "a=1&b=2"), ["a=1", "a=1&b=", "a=1&b=2"]);
        assert_eq!(way("", "a b"), ["", "a ", "a b"]);
        assert_eq!(
            way("<a>\n<b/></a>", "<a><b/></a>"),
            ["<a>\n<b/></a>", "<a><b/></a>"]
        );
    }

    #[test]
    fn changes_have_names() {
        let of = |passing: &str, failing: &str| {
            let merged = merged(passing, failing);
            let last = merged.changes.last().unwrap();
            (
                last.path.clone(),
                last.failing.clone(),
                last.passing.clone(),
            )
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("<e><c>it is</c></e>", "<e><c>it (select) is</c></e>"),
            (vec!["e".into(), "c".into()], text("select"), None)
        );
        assert_eq!(
            of(r#"{"f":{"d":1}}"#, r#"{"f":{"d":2}}"#),
            (
                vec![String::new(), "f".into(), String::new(), "d".into()],
                text("2"),
                text("1")
            )
        );
        assert_eq!(
            of("<e><x/><c>1</c></e>", "<e><c>1</c></e>"),
            (vec!["e".into()], None, text("x"))
        );
    }

    proptest! {
        #[test]
        fn both_ends_are_the_texts(
            passing in "(<[ab]( x='1')?>([cd ]{0,4}|<e/>|<f>g</f>){0,4}</[ab]>|[ab]=[12]&c|\\{\"a\":(1|\"x y\"|\\[2, 3\\])\\}|[a-d &;]{0,9})",
            failing in "(<[ab]>([cd ]{0,4}|<e/>|<f>h i</f>){0,4}</[ab]>|[ab]=[12]&d|\\{\"a\":(1|\"x z\"|\\[2,4\\]), \"b\": \\{\\}\\}|[a-d &;]{0,9})",
        ) {
            let merged = merged(&passing, &failing);
            prop_assert_eq!(merged.text(&Set::new()), passing);
            let all: Set = (0..merged.changes.len()).collect();
            prop_assert_eq!(merged.text(&all), failing);
            for (at, change) in merged.changes.iter().enumerate() {
                prop_assert!(change.needs.is_none_or(|needs| needs < at));
            }
        }
    }
}
