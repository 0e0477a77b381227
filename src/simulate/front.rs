//! What stands in front of the partner, and how it shows on answers that it merely relays.
//!
//! These signs are on every answer of a site, so they tell that a CDN is there, never that it refused
//! anything. They are what changes when a partner moves behind one.

use super::ids::Id;
use super::pages::azure_ref;
use super::request::Reply;
use jiff::Timestamp;

/// Who relays what the partner answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Front {
    /// Nobody: the partner's own web server answers.
    #[default]
    Direct,
    /// With the data centre it answers from ("LHR").
    Cloudflare {
        colo: String,
    },
    CloudFront {
        colo: String,
    },
    Akamai,
    Imperva,
    AzureFrontDoor,
    /// A BIG-IP in the partner's own network.
    F5,
}

impl Front {
    /// Cloudflare in London.
    #[must_use]
    pub fn cloudflare() -> Self {
        Self::Cloudflare { colo: "LHR".into() }
    }

    pub(super) fn colo(&self) -> &str {
        match self {
            Self::Cloudflare { colo } | Self::CloudFront { colo } => colo,
            _ => "LHR",
        }
    }

    /// Makes the partner's answer look relayed.
    pub(super) fn dress(&self, mut reply: Reply, id: Id, now: Timestamp) -> Reply {
        match self {
            Self::Direct => {}
            Self::Cloudflare { colo } => {
                let ray = id.hex16();
                // Replaces the partner's own; the cache stage was reached, which tells that the
                // partner was asked.
                reply.set("server", "cloudflare");
                reply.set("cf-ray", format!("{ray}-{colo}"));
                reply.set("cf-cache-status", "DYNAMIC");
                reply.set(
                    "nel",
                    r#"{"success_fraction":0,"report_to":"cf-nel","max_age":604800}"#,
                );
                reply.reference_id = Some(ray);
            }
            Self::CloudFront { colo } => {
                let error = reply.status >= 400;
                // "Error" is set for every error of the origin too.
                let cache = if error { "Error" } else { "Miss" };
                reply.set("x-cache", format!("{cache} from cloudfront"));
                reply.set(
                    "via",
                    format!("1.1 {}.cloudfront.net (CloudFront)", id.hex32()),
                );
                reply.set("x-amz-cf-pop", format!("{colo}61-P3"));
                reply.set("x-amz-cf-id", id.base64());
                reply.reference_id = Some(id.base64());
            }
            Self::Akamai => {
                let grn = format!("0.{}.{}.{}", id.hex8(), now.as_second(), &id.hex16()[..8]);
                reply.set("akamai-grn", grn.as_str());
                reply.reference_id = Some(grn);
            }
            Self::Imperva => {
                let digits = id.digits();
                let connection = &digits[..8];
                // NNNN with CT(..): connected to the origin.
                reply.set(
                    "x-iinfo",
                    format!(
                        "10-{connection}-{connection} NNNN CT(34 109 0) RT({} 68) q(0 0 2 0) r(2 2) U6",
                        now.as_millisecond()
                    ),
                );
                reply.set("x-cdn", "Imperva");
                reply.set(
                    "set-cookie",
                    format!(
                        "visid_incap_3187083={}; HttpOnly; path=/; Secure",
                        id.hex16()
                    ),
                );
            }
            Self::AzureFrontDoor => {
                let reference = azure_ref(id, now);
                reply.set("x-azure-ref", reference.as_str());
                reply.set("x-cache", "CONFIG_NOCACHE");
                reply.reference_id = Some(reference);
            }
            Self::F5 => {
                reply.set(
                    "set-cookie",
                    format!("TS01{}={}; Path=/", &id.hex8()[..6], id.hex32()),
                );
            }
        }
        reply
    }
}
