//! The metrics as text, in the format that the one who asks can read.
//!
//! The registry writes `OpenMetrics` 1.0. Those who don't ask for it (`curl`, agents that know only the older
//! format) get the same lines as Prometheus text 0.0.4, which differs in the comments: a counter is named
//! there with its `_total`, an info is a gauge, and there is no unit and no end mark.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> (read 2026-11-22)

use std::fmt::Write as _;

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether an `Accept` header asks for `OpenMetrics`.
pub(super) fn wants_open_metrics(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .any(|one| one.trim().starts_with("application/openmetrics-text"))
    })
}

/// `OpenMetrics` text as Prometheus text 0.0.4.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help: Option<&str> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Writing to a string can't fail.
            if let Some((_, words)) = help.take().and_then(|help| help.split_once(' ')) {
                let _ = writeln!(plain, "# HELP {name}{ending} {words}");
            }
            let _ = writeln!(plain, "# TYPE {name}{ending} {kind}");
        } else if !line.starts_with('#') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_it_gets_the_newer_format() {
        // As Prometheus 2.53 asks.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (Some(prometheus), true),
            (Some("*/*"), false),
            (Some("text/html, application/openmetrics-text"), true),
            (Some("text/plain"), false),
            (None, false),
        ] {
            assert_eq!(wants_open_metrics(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_older_format_has_other_comments_and_the_same_values() {
        let newer = "\
# HELP a_b Some words.
# TYPE a_b counter
a_b_total{x=\"y\"} 3
# HELP c_seconds More # words.
# TYPE c_seconds histogram
# UNIT c_seconds seconds
c_seconds_sum 1.5
c_seconds_count 1
c_seconds_bucket{le=\"+Inf\"} 1
# HELP d Build.
# TYPE d info
d_info{version=\"1\"} 1
# EOF
";
        let older = "\
# HELP a_b_total Some words.
# TYPE a_b_total counter
a_b_total{x=\"y\"} 3
# HELP c_seconds More # words.
# TYPE c_seconds histogram
c_seconds_sum 1.5
c_seconds_count 1
c_seconds_bucket{le=\"+Inf\"} 1
# HELP d_info Build.
# TYPE d_info gauge
d_info{version=\"1\"} 1
";
        assert_eq!(plain(newer), older);
    }
}
