//! How values are written in JSON whose own form does not fit: for `#[serde(with = "…")]`.
//!
//! A plain number that crosses a boundary says its unit in its name (`took_ns`), bytes are base64, and whole
//! numbers above 2^53 are text, because other readers of JSON would round them.

#![allow(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "as serde calls it"
)]

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration as whole nanoseconds; beyond 584 years all the same.
pub(super) mod nanos {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn number(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        number(*value).serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

/// The same, where there may be none.
pub(super) mod nanos_option {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Serialize, Serializer, nanos};

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(nanos::number).serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_nanos))
    }
}

/// Named durations.
pub(super) mod nanos_named {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Serializer, nanos};

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &[(String, Duration)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            value
                .iter()
                .map(|(name, time)| (name, nanos::number(*time))),
        )
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Duration)>, D::Error> {
        let named = Vec::<(String, u64)>::deserialize(deserializer)?;
        Ok(named
            .into_iter()
            .map(|(name, ns)| (name, Duration::from_nanos(ns)))
            .collect())
    }
}

/// A fraction; version 1 of the store's documents has it as text.
pub(super) mod fraction {
    use super::{Deserialize, Deserializer, Either, Serialize, Serializer};

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        Either::deserialize(deserializer)?.number()
    }
}

/// The same, where there may be none.
pub(super) mod fraction_option {
    use super::{Deserialize, Deserializer, Either, Serialize, Serializer};

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        let found = Option::<Either>::deserialize(deserializer)?;
        found.map(Either::number).transpose()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Text(String),
}

impl Either {
    fn number<E: serde::de::Error>(self) -> Result<f64, E> {
        let number = match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
        };
        number
            .filter(|n| n.is_finite())
            .ok_or_else(|| E::custom("it is no finite number"))
    }
}

/// Anything that prints and parses, as text.
pub(super) mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error as _;

    pub(in crate::domain) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::domain) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|e| D::Error::custom(format_args!("{text:?}: {e}")))
    }
}

/// Bytes in base64.
pub(super) mod base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;

    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    pub(in crate::domain) fn serialize<S: Serializer>(
        value: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(value))
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD
            .decode(&*text)
            .map(Bytes::from)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::domain::observation::{Body, Observation, Phases};
    use crate::domain::verdict::{Evidence, Kind, Maker, Strength, Verdict};

    /// As long as this compiles, no secret has a form, and so nothing that holds one.
    #[test]
    fn secrets_have_no_form() {
        trait HasNone<Proof> {
            fn proof(&self) {}
        }
        impl<T> HasNone<()> for T {}
        struct Form;
        impl<T: serde::Serialize> HasNone<Form> for T {}
        // Ambiguous, and so no program, the day that a secret can be serialised.
        crate::domain::secret::Secret::new("x").proof();
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let run = json!({
            "cell": {"probe": "p", "egress": "e", "client": "c", "credential": "anonymous"},
            "purpose": "confirm",
            "due_at": "2021-02-28T02:14:00Z",
            "started_at": "2021-02-28T02:14:00.004000001Z",
            "took_ns": 182_000_001,
            "phases": {"dns_ns": 1_500_000},
            "route": {
                "resolved": ["192.0.2.7"], "ttl_ns": 60_000_000_000_u64, "local": null, "remote": "192.0.2.7:443",
                "proxy": null, "failed": [["[2001:db8::1]:443", "no route"]],
            },
            "tls": {"version": "1.3", "alpn": "h2", "cipher": null, "certificate": null},
            "hops": [],
            "answer": {
                "http": "2", "status": 403, "headers": [["server", "cloudflare"]],
                "body": {
                    "base64": "/wAx", "wire_bytes": 3, "truncated": false, "sha256": "ab", "decode_error": null,
                },
            },
            "failure": {"phase": "first_byte", "kind": "closed", "message": "closed"},
        });
        let read: Observation = serde_json::from_value(run.clone()).unwrap();
        let body = &read.answer.as_ref().unwrap().body;
        assert_eq!(body.bytes.as_ref(), [0xff, 0, b'1']);
        assert_eq!(read.phases.dns, Some(Duration::from_micros(1_500)));
        assert_eq!(serde_json::to_value(&read).unwrap(), run);

        let refused = serde_json::from_value::<Body>(json!({"base64": "*"}));
        assert!(refused.unwrap_err().to_string().contains("Invalid"));
        let nothing: Phases = serde_json::from_str("{}").unwrap();
        assert_eq!(nothing, Phases::default());
    }

    #[test]
    fn words_are_the_ones_of_the_lists() {
        let verdict = Verdict {
            retry_after: Some(Duration::from_secs(20)),
            evidence: vec![Evidence {
                strength: Strength::Proof,
                text: "header cf-mitigated: challenge".to_owned(),
            }],
            ..Verdict::new(Kind::EdgeChallenge, Maker::Edge)
        };
        let text = serde_json::to_string(&verdict).unwrap();
        assert!(text.starts_with(r#"{"kind":"edge_challenge","maker":"edge","vendor":"none""#));
        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        let unknown = text.replace("edge_challenge", "a_word_of_tomorrow");
        let error = serde_json::from_str::<Verdict>(&unknown).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(r#""a_word_of_tomorrow" is no word of this version"#)
        );
    }
}
