//! What kind of failure an observation is, and how such failures come about by themselves.
//!
//! The verdicts are folded into ten classes, because the statistics can't tell more apart. Each class
//! has a tier: a signed block page hardly ever appears by chance, a timeout does all day. The rates are
//! those of the evaluation in `tests/scenarios`: failures per request without any fault, the chance
//! that a request shortly after a failed one fails for the same reason, and how fast that fades.

use std::time::Duration;

use crate::domain::verdict::Kind;

/// The class of an outcome; `Pass` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    Pass = 0,
    EdgeBlock,
    EdgeChallenge,
    RateLimited,
    OriginDenied,
    OriginError,
    TlsError,
    ConnectError,
    Timeout,
    DnsError,
    LocalError,
}

/// No burst is certain to last.
pub(super) const FAILS_AT_MOST: f64 = 0.95;

/// Number of classes, `Pass` included.
pub const CLASSES: usize = 11;

/// How much one failure says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    Weak,
    Medium,
    Strong,
}

/// Which mechanism a failure points at; one cause shows one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    Edge,
    Denied,
    Origin,
    Tls,
    Network,
}

/// Failures without a fault: independent rate per request, persistence of a burst, its time constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Per request.
    pub rate: f64,
    /// Chance that the request right after a failed one fails too.
    pub persistence: f64,
    /// Seconds after which that chance has fallen to 1/e.
    pub fades_s: f64,
}

impl Class {
    pub const FAILURES: [Self; 10] = [
        Self::EdgeBlock,
        Self::EdgeChallenge,
        Self::RateLimited,
        Self::OriginDenied,
        Self::OriginError,
        Self::TlsError,
        Self::ConnectError,
        Self::Timeout,
        Self::DnsError,
        Self::LocalError,
    ];

    /// Folds a verdict. An answer that only looks wrong is no stronger sign than an origin error.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Pass | Kind::Warning => Self::Pass,
            Kind::EdgeBlock => Self::EdgeBlock,
            Kind::EdgeChallenge | Kind::SoftBlock => Self::EdgeChallenge,
            Kind::RateLimited => Self::RateLimited,
            Kind::OriginDenied => Self::OriginDenied,
            Kind::EdgeError | Kind::OriginError | Kind::Unexpected => Self::OriginError,
            Kind::TlsError => Self::TlsError,
            Kind::ConnectError => Self::ConnectError,
            Kind::Timeout => Self::Timeout,
            Kind::DnsError => Self::DnsError,
            Kind::LocalError => Self::LocalError,
        }
    }

    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    #[must_use]
    pub fn failed(self) -> bool {
        self != Self::Pass
    }

    /// The tier of a failure; a pass counts as weak.
    #[must_use]
    pub fn tier(self) -> Tier {
        match self {
            Self::EdgeBlock | Self::OriginDenied => Tier::Strong,
            Self::EdgeChallenge | Self::RateLimited | Self::TlsError => Tier::Medium,
            _ => Tier::Weak,
        }
    }

    #[must_use]
    pub fn is_weak(self) -> bool {
        self.failed() && self.tier() == Tier::Weak
    }

    /// Whether somebody answered, and refused.
    #[must_use]
    pub fn is_signed(self) -> bool {
        matches!(self.mechanism(), Mechanism::Edge | Mechanism::Denied)
    }

    /// Whether two failures look like the same trouble; weak ones are not told apart.
    #[must_use]
    pub fn is_like(self, other: Self) -> bool {
        self == other || (self.is_weak() && other.is_weak())
    }

    #[must_use]
    pub fn mechanism(self) -> Mechanism {
        match self {
            Self::EdgeBlock | Self::EdgeChallenge | Self::RateLimited => Mechanism::Edge,
            Self::OriginDenied => Mechanism::Denied,
            Self::OriginError => Mechanism::Origin,
            Self::TlsError => Mechanism::Tls,
            _ => Mechanism::Network,
        }
    }

    #[must_use]
    pub fn noise(self) -> Noise {
        let (rate, persistence, fades_s) = match self {
            Self::Pass => (0.0, 0.0, 1.0),
            Self::EdgeBlock => (2e-5, 0.5, 8.0),
            Self::OriginDenied => (4e-5, 0.5, 8.0),
            Self::EdgeChallenge => (1.5e-4, 0.5, 20.0),
            Self::RateLimited => (1.5e-4, 0.6, 30.0),
            Self::TlsError => (1e-4, 0.6, 25.0),
            Self::OriginError => (1e-3, 0.75, 20.0),
            Self::ConnectError => (6e-4, 0.75, 20.0),
            Self::Timeout => (1.6e-3, 0.75, 20.0),
            Self::DnsError | Self::LocalError => (3e-4, 0.75, 20.0),
        };
        Noise {
            rate,
            persistence,
            fades_s,
        }
    }

    /// Chance that a request fails by mere noise, `gap` seconds after one that did.
    #[must_use]
    pub fn persists(self, gap: f64, rate: f64) -> f64 {
        let noise = self.noise();
        let rate = if self.is_weak() {
            noise.rate.max(rate)
        } else {
            noise.rate
        };
        FAILS_AT_MOST.min(noise.persistence * (-gap / noise.fades_s).exp() + rate)
    }

    /// Seconds after which the trigger of a suspicion is asked again, one entry a time; the last repeats.
    ///
    /// A late repeat says more than an early one, because a burst has had time to end: few and widely
    /// spaced ones confirm as fast as many. Refused credentials get the fewest, so that no account locks.
    #[must_use]
    pub fn gaps_s(self) -> [f64; 5] {
        match self {
            Self::OriginDenied => [12.0, 27.0, 45.0, 60.0, 60.0],
            Self::EdgeBlock => [2.0, 5.0, 8.0, 11.0, 24.0],
            Self::EdgeChallenge | Self::TlsError => [10.0, 28.0, 45.0, 50.0, 60.0],
            Self::RateLimited => [15.0, 40.0, 70.0, 70.0, 70.0],
            _ => [25.0, 45.0, 52.0, 56.0, 60.0],
        }
    }

    /// The share of this class among the failures of a burst of weak failures.
    #[must_use]
    pub fn burst_share(self) -> f64 {
        match self {
            Self::Timeout => 0.45,
            Self::ConnectError => 0.25,
            Self::OriginError => 0.18,
            Self::DnsError => 0.09,
            Self::LocalError => 0.03,
            _ => 0.0,
        }
    }
}

impl Tier {
    /// Shortest time from first to last failure of something that is no burst, seconds.
    #[must_use]
    pub fn span_s(self) -> f64 {
        match self {
            Self::Strong => 20.0,
            Self::Medium => 45.0,
            Self::Weak => 100.0,
        }
    }

    /// From the first pass to the last, before a fault may be called over.
    #[must_use]
    pub fn recovery_span(self) -> Duration {
        Duration::from_secs(match self {
            Self::Strong => 20,
            Self::Medium => 45,
            Self::Weak => 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_a_class_and_only_what_works_passes() {
        for kind in Kind::ALL {
            assert_eq!(Class::of(*kind).failed(), !kind.works(), "{kind}");
        }
    }

    #[test]
    fn the_shares_of_a_burst_add_up() {
        let sum: f64 = Class::FAILURES.iter().map(|c| c.burst_share()).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}
