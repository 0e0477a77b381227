//! Where a run lies: in the table of its day, by its time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bits of a row's number that tell rows of one millisecond apart.
const PLACE_BITS: u32 = 20;
pub(super) const PLACE_MAX: u32 = (1 << PLACE_BITS) - 1;

/// The number of a row: its millisecond, then its place among the rows of that.
pub(super) fn row(at: Timestamp, place: u32) -> i64 {
    // Up to the year 2248; what is later, by whatever clock, lies together at the end.
    let millisecond = at.as_millisecond().clamp(0, i64::MAX >> PLACE_BITS);
    millisecond << PLACE_BITS | i64::from(place & PLACE_MAX)
}

/// `observations_20261122`.
pub(super) fn table(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("observations_%Y%m%d")
        .to_string()
}
