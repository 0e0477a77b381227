//! Shares and chances as people say them: coarse, because a few runs carry no more.

/// Shares that are said; what lies between is said as the nearest.
const STEPS: [(f64, &str); 10] = [
    (0.01, "about 1 in 100"),
    (0.02, "about 1 in 50"),
    (0.05, "about 1 in 20"),
    (0.1, "about 1 in 10"),
    (0.2, "about 1 in 5"),
    (1.0 / 3.0, "about 1 in 3"),
    (0.5, "about half"),
    (2.0 / 3.0, "about 2 in 3"),
    (0.8, "about 4 in 5"),
    (0.9, "about 9 in 10"),
];
/// One in so many; the steps of chances.
const CASES: [u32; 10] = [2, 3, 5, 10, 20, 50, 100, 250, 500, 1000];

/// "about 1 in 10 requests", "about half of the requests"; `things` is a plural.
#[must_use]
pub fn of(share: f64, things: &str) -> String {
    match part(share) {
        half @ "about half" => format!("{half} of the {things}"),
        words => format!("{words} {things}"),
    }
}

/// A share as it stands before "of our requests".
#[must_use]
pub fn part(share: f64) -> &'static str {
    if !share.is_finite() {
        "some"
    } else if share < 0.006 {
        "fewer than 1 in 100"
    } else if share > 0.95 {
        "nearly all"
    } else {
        let odds = |p: f64| (p / (1.0 - p)).ln();
        let distance = |step: &(f64, &str)| (odds(step.0) - odds(share)).abs();
        STEPS
            .iter()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map_or("some", |(_, words)| words)
    }
}

/// The same for people who count nothing.
#[must_use]
pub fn of_the_time(share: f64) -> &'static str {
    if share < 0.3 {
        "now and then"
    } else if share < 0.7 {
        "about half of the time"
    } else {
        "most of the time"
    }
}

/// A small chance as "about 1 of 250 cases".
#[must_use]
pub fn cases(chance: f64) -> String {
    let one_in = 1.0 / chance;
    if one_in.is_nan() || one_in < 1.5 {
        return "most cases".to_owned();
    }
    if one_in > 1500.0 {
        return "fewer than 1 of 1,000 cases".to_owned();
    }
    let distance = |step: &u32| (f64::from(*step).ln() - one_in.ln()).abs();
    let nearest = CASES
        .into_iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)));
    format!("about 1 of {} cases", nearest.unwrap_or(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_more_precise_than_known() {
        for (share, expected) in [
            (0.0, "fewer than 1 in 100 requests"),
            (0.0119, "about 1 in 100 requests"),
            (0.087, "about 1 in 10 requests"),
            (0.13, "about 1 in 10 requests"),
            (0.3, "about 1 in 3 requests"),
            (0.46, "about half of the requests"),
            (0.61, "about 2 in 3 requests"),
            (0.87, "about 9 in 10 requests"),
            (0.97, "nearly all requests"),
            (1.0, "nearly all requests"),
            (f64::NAN, "some requests"),
        ] {
            assert_eq!(of(share, "requests"), expected, "{share}");
        }
    }

    #[test]
    fn chances_are_cases() {
        for (chance, expected) in [
            (0.004, "about 1 of 250 cases"),
            (0.0042, "about 1 of 250 cases"),
            (0.04, "about 1 of 20 cases"),
            (0.3, "about 1 of 3 cases"),
            (0.9, "most cases"),
            (0.0, "fewer than 1 of 1,000 cases"),
            (f64::NAN, "most cases"),
        ] {
            assert_eq!(cases(chance), expected, "{chance}");
        }
    }
}
