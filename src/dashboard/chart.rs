//! Counted runs as pictures: columns of what passed and what did not, and how long it took, phase by phase.
//!
//! Every picture is one image with a sentence, and has a table behind it that says the same. Shapes have classes and
//! whole pixels; columns that are alike become one, so that a quiet year weighs as little as a quiet day.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::parts::{class, time};
use crate::domain::tally::{PHASES, Tally};
use crate::domain::verdict::Kind;
use crate::report::history::{Bucket, FAMILIES, Step, by_family, share};
use crate::report::matrix::duration;

const WIDTH: u64 = 960;
const HEIGHT: u64 = 72;
/// What is there at all is seen.
const SEEN: u64 = 3;

/// Where a bucket of so many begins.
fn left(place: usize, of: usize) -> u64 {
    WIDTH * place as u64 / of.max(1) as u64
}

/// Classes of the families, in their order.
const CLASSES: [&str; 5] = ["blocked", "limited", "denied", "fault", "ours"];

/// One column from the top down: class and height.
type Column = Vec<(&'static str, u64)>;

fn column(tally: &Tally) -> Column {
    if tally.runs == 0 {
        return vec![("gap", HEIGHT)];
    }
    let mut column: Column = Vec::new();
    for (class, count) in CLASSES.into_iter().zip(by_family(tally)) {
        if count > 0 {
            column.push((class, (HEIGHT * count / tally.runs).max(SEEN)));
        }
    }
    let bad: u64 = column.iter().map(|(_, height)| height).sum();
    if tally.passed > 0 && bad < HEIGHT {
        column.push(("works", HEIGHT - bad));
    } else if let Some((_, height)) = column.last_mut() {
        *height += HEIGHT.saturating_sub(bad);
    }
    column
}

/// How much of each stretch passed, and what became of the rest.
pub(super) fn shares(name: &str, buckets: &[Bucket]) -> Markup {
    let all = sum(buckets);
    let said = format!("Runs of {name}: {}", counts(&all));
    let columns: Vec<Column> = buckets.iter().map(|bucket| column(&bucket.tally)).collect();
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(said) {
            @for (from, until, column) in alike(&columns) {
                @let (x, width) = (left(from, columns.len()), left(until, columns.len()) - left(from, columns.len()));
                @for (place, (class, height)) in column.iter().enumerate() {
                    @let y: u64 = column[..place].iter().map(|(_, height)| height).sum();
                    rect.(format!("f-{class}")) x=(x) y=(y) width=(width) height=(height) {}
                }
            }
        }
    }
}

/// How what did not run is drawn; once in a page with pictures.
pub(super) fn patterns() -> Markup {
    html! {
        svg.unseen aria-hidden="true" {
            pattern id="gap" width="8" height="8" patternUnits="userSpaceOnUse" { path.hatch d="M0 8 L8 0" {} }
        }
    }
}

/// Neighbours that are alike: first, end, and what they are.
fn alike<T: PartialEq>(columns: &[T]) -> Vec<(usize, usize, &T)> {
    let mut found: Vec<(usize, usize, &T)> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        match found.last_mut() {
            Some((_, until, last)) if *last == column => *until = place + 1,
            _ => found.push((place, place + 1, column)),
        }
    }
    found
}

/// How long those took that worked: phases upon each other by their mean, and what 95 of 100 did not exceed as a line.
/// Nothing where nothing worked.
pub(super) fn times(name: &str, buckets: &[Bucket]) -> Markup {
    let percentile = |bucket: &Bucket| bucket.tally.took.percentile(95);
    let top = |tally: &Tally| {
        (0..PHASES.len())
            .filter_map(|place| tally.phase(place))
            .sum()
    };
    let tops = buckets.iter().map(|bucket| {
        percentile(bucket)
            .unwrap_or_default()
            .max(top(&bucket.tally))
    });
    let Some(scale) = tops.max().filter(|scale: &Duration| !scale.is_zero()) else {
        return html! {};
    };
    let height =
        |took: Duration| (took.as_micros() * u128::from(HEIGHT) / scale.as_micros()) as u64;
    // Heights of the borders between phases, so that rounding leaves no gaps.
    let borders: Vec<Option<Vec<u64>>> = buckets
        .iter()
        .map(|bucket| {
            let mut sum = Duration::ZERO;
            let phases = (0..PHASES.len()).map(|place| {
                sum += bucket.tally.phase(place)?;
                Some(height(sum))
            });
            phases.collect()
        })
        .collect();
    let all = sum(buckets);
    let said = format!(
        "How long runs of {name} took: half of them at most {}, 95 of 100 at most {}",
        all.took.percentile(50).map(duration).unwrap_or_default(),
        all.took.percentile(95).map(duration).unwrap_or_default(),
    );
    let lines: Vec<Option<u64>> = buckets
        .iter()
        .map(|it| percentile(it).map(height))
        .collect();
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(said) {
            @for place in 0..PHASES.len() {
                path.(format!("t-{place}")) d=(band(&borders, place)) {}
            }
            path.line d=(line(&lines)) {}
        }
        p.axis { "0 to " (duration(scale)) }
    }
}

fn band(borders: &[Option<Vec<u64>>], place: usize) -> String {
    let spans: Vec<Option<(u64, u64)>> = borders
        .iter()
        .map(|borders| {
            let borders = borders.as_ref()?;
            let below = place.checked_sub(1).map_or(0, |below| borders[below]);
            Some((below, borders[place])).filter(|(below, above)| below < above)
        })
        .collect();
    let mut path = String::new();
    for (from, until, span) in alike(&spans) {
        if let Some((below, above)) = span {
            let (x, width) = (
                left(from, spans.len()),
                left(until, spans.len()) - left(from, spans.len()),
            );
            let (y, height) = (HEIGHT - above, above - below);
            // Writing to a string can't fail.
            let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
        }
    }
    path
}

fn line(heights: &[Option<u64>]) -> String {
    let mut path = String::new();
    let mut drawn = false;
    for (from, until, height) in alike(heights) {
        let ends = [left(from, heights.len()), left(until, heights.len())];
        if let Some(height) = height {
            let y = HEIGHT - height;
            let to = if drawn { "L" } else { "M" };
            let _ = write!(path, "{to}{} {y}H{}", ends[0], ends[1]);
        }
        drawn = height.is_some();
    }
    path
}

/// Stretches of one cell, as a strip: where each begins among `WIDTH`, and what it was; `None`: not known.
pub(super) fn strip(said: &str, bars: &[(u64, Option<Kind>)]) -> Markup {
    html! {
        svg.strip viewBox=(format!("0 0 {WIDTH} 16")) preserveAspectRatio="none" role="img" aria-label=(said) {
            @for (place, (x, kind)) in bars.iter().enumerate() {
                @let end = bars.get(place + 1).map_or(WIDTH, |(x, _)| *x);
                @let class = kind.map_or("gap", |kind| if kind.works() { "works" } else { class(kind) });
                rect.(format!("f-{class}")) x=(x) y="0" width=(end.saturating_sub(*x).max(1)) height="16" {}
            }
        }
    }
}

/// Where a time lies within a range, among `WIDTH`.
pub(super) fn place(at: Timestamp, from: Timestamp, until: Timestamp) -> u64 {
    let whole = until.duration_since(from).as_millis().max(1);
    let part = at.duration_since(from).as_millis().clamp(0, whole);
    (part * i128::from(WIDTH) / whole) as u64
}

/// What the colours mean.
pub(super) fn legend(phases: bool) -> Markup {
    let shares = [("works", "passed")].into_iter();
    let shares = shares.chain(CLASSES.into_iter().zip(FAMILIES.map(|(name, _)| name)));
    let swatch = |class: String| {
        html! { svg.swatch viewBox="0 0 12 12" aria-hidden="true" { rect.(class) width="12" height="12" {} } }
    };
    html! {
        ul.legend {
            @if phases {
                @for (place, phase) in PHASES.iter().enumerate() {
                    li { (swatch(format!("t-{place}"))) " " (phase.replace('_', " ")) }
                }
                li { svg.swatch viewBox="0 0 12 12" aria-hidden="true" { path.line d="M0 6H12" {} } " 95 of 100 took no longer" }
            } @else {
                @for (class, name) in shares { li { (swatch(format!("f-{class}"))) " " (name) } }
                li { svg.swatch viewBox="0 0 12 12" aria-hidden="true" { rect.f-gap width="12" height="12" {} } " did not run" }
            }
        }
    }
}

/// The same as a table.
pub(super) fn table(buckets: &[Bucket], step: Step, zone: &TimeZone, now: Timestamp) -> Markup {
    let took = |took: Option<Duration>| took.map_or_else(|| "–".to_owned(), duration);
    let name = |at: Timestamp| match step {
        Step::Hour => html! { (time(at, zone, now)) },
        Step::Day | Step::Month => {
            let form = if step == Step::Day {
                "%a %-d %b %Y"
            } else {
                "%B %Y"
            };
            html! { time datetime=(at.to_string()) { (at.to_zoned(zone.clone()).strftime(form).to_string()) } }
        }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="The same as a table" {
            table {
                thead { tr {
                    th scope="col" { "From" } th scope="col" { "Runs" } th scope="col" { "Passed" }
                    @for (family, _) in FAMILIES { th scope="col" { (family) } }
                    th scope="col" { "Half took at most" } th scope="col" { "95 of 100" } th scope="col" { "Longest" }
                    @for phase in PHASES { th scope="col" { (phase.replace('_', " ")) } }
                } }
                tbody { @for bucket in buckets {
                    @let tally = &bucket.tally;
                    @if tally.runs == 0 {
                        tr { th scope="row" { (name(bucket.from)) } td colspan="15" { "did not run" } }
                    } @else {
                        tr {
                            th scope="row" { (name(bucket.from)) }
                            td { (tally.runs) } td { (tally.passed) @if let Some(share) = share(tally) { " (" (share) ")" } }
                            @for count in by_family(tally) { td { (count) } }
                            td { (took(tally.took.percentile(50))) } td { (took(tally.took.percentile(95))) }
                            td { (took((tally.passed > 0).then_some(tally.max))) }
                            @for place in 0..PHASES.len() { td { (took(tally.phase(place))) } }
                        }
                    }
                } }
            }
        }
    }
}

pub(super) fn sum(buckets: &[Bucket]) -> Tally {
    let mut sum = Tally::default();
    for bucket in buckets {
        sum.add(&bucket.tally);
    }
    sum
}

/// `99.71 %: 25842 of 25917 runs passed`.
pub(super) fn counts(tally: &Tally) -> String {
    if tally.runs == 0 {
        return "no run is kept of this time".to_owned();
    }
    let s = if tally.runs == 1 { "" } else { "s" };
    let counts = format!("{} of {} run{s} passed", tally.passed, tally.runs);
    match share(tally) {
        Some(share) => format!("{share}: {counts}"),
        None => counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::Phases;

    fn bucket(place: i64, kinds: &[(Kind, u64)]) -> Bucket {
        let mut tally = Tally::default();
        let phases = Phases {
            connect: Some(Duration::from_millis(40)),
            first_byte: Some(Duration::from_millis(60)),
            ..Phases::default()
        };
        for (kind, count) in kinds {
            for _ in 0..*count {
                tally.count(*kind, Duration::from_millis(100), &phases);
            }
        }
        let at = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap();
        Bucket {
            from: at(place),
            until: at(place + 1),
            tally,
        }
    }

    #[test]
    fn alike_neighbours_are_one_and_one_failure_is_seen() {
        let quiet = [(Kind::Pass, 400)];
        let mut buckets: Vec<Bucket> = (0..90).map(|place| bucket(place, &quiet)).collect();
        let picture = shares("orders", &buckets).into_string();
        assert_eq!(picture.matches("<rect").count(), 1, "{picture}");
        assert!(
            picture.contains("100.00 %: 36000 of 36000 runs passed"),
            "{picture}"
        );
        buckets[40] = bucket(40, &[(Kind::Pass, 399), (Kind::EdgeBlock, 1)]);
        buckets[41] = bucket(41, &[]);
        let picture = shares("orders", &buckets).into_string();
        assert!(
            picture
                .contains("<rect class=\"f-blocked\" x=\"426\" y=\"0\" width=\"11\" height=\"3\">"),
            "{picture}"
        );
        assert!(
            picture.contains("<rect class=\"f-gap\" x=\"437\" y=\"0\" width=\"11\" height=\"72\">"),
            "{picture}"
        );
        assert!(picture.contains("99.99 %"), "{picture}");
    }

    #[test]
    fn columns_are_full_whatever_is_in_them() {
        for kinds in [
            &[(Kind::Pass, 1)][..],
            &[(Kind::Timeout, 3)],
            &[
                (Kind::EdgeBlock, 1),
                (Kind::Timeout, 1),
                (Kind::OriginDenied, 1),
            ],
            &[
                (Kind::Pass, 1_000),
                (Kind::LocalError, 1),
                (Kind::RateLimited, 1),
            ],
            &[],
        ] {
            let column = column(&bucket(0, kinds).tally);
            let height: u64 = column.iter().map(|(_, height)| height).sum();
            assert_eq!(height, HEIGHT, "{kinds:?}");
        }
    }

    #[test]
    fn phases_lie_upon_each_other_and_gaps_stay_gaps() {
        let pass = [(Kind::Pass, 5)];
        let buckets = [
            bucket(0, &pass),
            bucket(1, &[(Kind::Timeout, 2)]),
            bucket(2, &pass),
        ];
        let picture = times("orders", &buckets).into_string();
        // Connecting is 40 of 100 ms, the first byte the rest; what is not there is not drawn.
        assert!(
            picture.contains("class=\"t-1\" d=\"M0 44h320v28h-320zM640 44h320v28h-320z\""),
            "{picture}"
        );
        assert!(
            picture.contains("class=\"t-3\" d=\"M0 2h320v42h-320zM640 2h320v42h-320z\""),
            "{picture}"
        );
        assert!(picture.contains("class=\"t-2\" d=\"\""), "{picture}");
        assert!(
            picture.contains("class=\"line\" d=\"M0 0H320M640 0H960\""),
            "{picture}"
        );
        assert_eq!(times("orders", &buckets[1..2]).into_string(), "");
    }
}
