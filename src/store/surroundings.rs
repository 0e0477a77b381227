//! What is remembered of fronts and of our own side: one row a host, one for ourselves.
//!
//! A row that a later version can't read is left out: what was normal is then learned anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::outbox;
use crate::domain::cell::{ClientName, EgressName};
use crate::domain::fingerprint::{Drift, DriftKind, Fingerprint};
use crate::domain::surroundings::{
    ClientFace, KnownFront, KnownPrint, Learned, Memory, OurSide, Own, OwnChange, SeenAddress,
};

/// Shape of the documents below.
const VERSION: i64 = 1;
/// The row about ourselves; hosts have `front <host>`.
const OURS: &str = "ours";
const FRONT: &str = "front ";
/// A host that nothing was learned of for so long is forgotten; each is kept anew every day.
pub(super) const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// Writes what was learned; again, it changes nothing.
pub(super) fn put(
    transaction: &Transaction<'_>,
    path: &Path,
    learned: &Learned,
    now: Timestamp,
) -> Result<(), StoreError> {
    let doing = "keep what was learned";
    let put = |name: &str, document: Result<String, serde_json::Error>| {
        let document = document.map_err(|e| StoreError::Io {
            path: path.to_owned(),
            doing,
            why: e.to_string(),
        })?;
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO surroundings (name, at_us, version, document) VALUES (?, ?, ?, ?)",
            )
            .and_then(|mut statement| {
                statement.execute(params![name, now.as_microsecond(), VERSION, document])
            })
            .map(drop)
            .map_err(|e| StoreError::from_sqlite(path, doing, &e))
    };
    for front in &learned.memory.fronts {
        let name = format!("{FRONT}{}", front.host);
        put(&name, serde_json::to_string(&FrontDoc::from(front)))?;
    }
    if let Some(ours) = &learned.memory.ours {
        put(OURS, serde_json::to_string(&OursDoc::from(ours)))?;
    }
    for notification in &learned.notifications {
        outbox::put(transaction, path, notification, "", None)?;
    }
    Ok(())
}

/// What is remembered, and what of it can't be read, for the log.
pub(super) fn load(
    connection: &Connection,
    path: &Path,
) -> Result<(Memory, Vec<String>), StoreError> {
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, "read what was learned", &e);
    let mut statement = connection
        .prepare_cached("SELECT name, version, document FROM surroundings ORDER BY name")
        .map_err(error)?;
    let rows = statement
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(error)?;
    let (mut memory, mut warnings) = (Memory::default(), Vec::new());
    for row in rows {
        let (name, version, document) = row.map_err(error)?;
        if let Err(why) = read(&name, version, &document, &mut memory) {
            warnings.push(format!(
                "what was learned of {name} can't be read and is learned anew: {why}"
            ));
        }
    }
    Ok((memory, warnings))
}

fn read(name: &str, version: i64, document: &str, memory: &mut Memory) -> Result<(), String> {
    if version != VERSION {
        return Err(format!(
            "it has shape {version}, this edgewatch knows {VERSION}"
        ));
    }
    let text = |e: serde_json::Error| e.to_string();
    if name == OURS {
        let doc: OursDoc = serde_json::from_str(document).map_err(text)?;
        memory.ours = Some(doc.try_into()?);
    } else if let Some(host) = name.strip_prefix(FRONT) {
        let doc: FrontDoc = serde_json::from_str(document).map_err(text)?;
        memory.fronts.push(doc.known(host)?);
    }
    Ok(())
}

/// Seconds as text: JSON numbers lose the last digit on the way.
fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    number
        .is_finite()
        .then_some(number)
        .ok_or_else(|| format!("{text:?} is no number"))
}

fn at(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|e| format!("{text:?} is no instant: {e}"))
}

#[derive(Serialize, Deserialize)]
struct FrontDoc {
    rules: u32,
    saved_at: String,
    began: String,
    /// `(print, last, current)`.
    prints: Vec<(String, String, bool)>,
    askers: Vec<u32>,
    drifts: Vec<DriftDoc>,
    earlier: u32,
}

#[derive(Serialize, Deserialize)]
struct DriftDoc {
    at: String,
    noticed_at: String,
    kind: String,
    old: String,
    new: String,
    told: bool,
}

impl From<&KnownFront> for FrontDoc {
    fn from(front: &KnownFront) -> Self {
        let prints = front.prints.iter();
        let drifts = front.drifts.iter().map(|drift| DriftDoc {
            at: drift.at.to_string(),
            noticed_at: drift.noticed_at.to_string(),
            kind: drift.kind.as_str().to_owned(),
            old: drift.old.to_text(),
            new: drift.new.to_text(),
            told: drift.told,
        });
        Self {
            rules: front.rules,
            saved_at: front.saved_at.to_string(),
            began: front.began.to_string(),
            prints: prints
                .map(|p| (p.print.clone(), p.last.to_string(), p.current))
                .collect(),
            askers: front.askers.clone(),
            drifts: drifts.collect(),
            earlier: front.earlier,
        }
    }
}

impl FrontDoc {
    fn known(self, host: &str) -> Result<KnownFront, String> {
        let prints = self.prints.into_iter().map(|(print, last, current)| {
            let last = number(&last)?;
            Ok(KnownPrint {
                print,
                last,
                current,
            })
        });
        let drifts = self.drifts.into_iter().map(|drift| {
            let kind = DriftKind::from_word(&drift.kind)
                .ok_or_else(|| format!("{:?} is no change of this version", drift.kind))?;
            Ok(Drift {
                at: number(&drift.at)?,
                noticed_at: number(&drift.noticed_at)?,
                kind,
                old: Fingerprint::from_text(&drift.old),
                new: Fingerprint::from_text(&drift.new),
                told: drift.told,
            })
        });
        Ok(KnownFront {
            host: host.to_owned(),
            rules: self.rules,
            saved_at: at(&self.saved_at)?,
            began: number(&self.began)?,
            prints: prints.collect::<Result<_, String>>()?,
            askers: self.askers,
            drifts: drifts.collect::<Result<_, String>>()?,
            earlier: self.earlier,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct OursDoc {
    began: Option<String>,
    addresses: BTreeMap<String, Vec<AddressDoc>>,
    /// `(configured, seen)` by egress.
    told: BTreeMap<String, Vec<(String, String)>>,
    /// `(user agent, digest of the rest)`; the digest as text, it has more digits than a JSON number keeps.
    clients: BTreeMap<String, (String, String)>,
    ways: BTreeMap<String, String>,
    changes: Vec<ChangeDoc>,
}

#[derive(Serialize, Deserialize)]
struct AddressDoc {
    address: String,
    first_at: String,
    last_at: String,
    current: bool,
}

#[derive(Serialize, Deserialize)]
struct ChangeDoc {
    at: String,
    client: Option<String>,
    egress: Option<String>,
    text: String,
}

impl From<&OurSide> for OursDoc {
    fn from(ours: &OurSide) -> Self {
        let address = |seen: &SeenAddress| AddressDoc {
            address: seen.address.to_string(),
            first_at: seen.first_at.to_string(),
            last_at: seen.last_at.to_string(),
            current: seen.current,
        };
        let addresses = ours.addresses.iter();
        let told = ours.told.iter().map(|(egress, told)| {
            let told = told.iter().map(|(a, b)| (a.to_string(), b.to_string()));
            (egress.to_string(), told.collect())
        });
        let clients = ours.clients.iter();
        let ways = ours.ways.iter();
        let changes = ours.changes.iter().map(|change| {
            let (client, egress) = match &change.what {
                Own::Client(name) => (Some(name.to_string()), None),
                Own::Egress(name) => (None, Some(name.to_string())),
            };
            ChangeDoc {
                at: change.at.to_string(),
                client,
                egress,
                text: change.text.clone(),
            }
        });
        Self {
            began: ours.began.map(|at| at.to_string()),
            addresses: addresses
                .map(|(egress, seen)| (egress.to_string(), seen.iter().map(address).collect()))
                .collect(),
            told: told.collect(),
            clients: clients
                .map(|(name, face)| {
                    let face = (face.user_agent.clone(), face.rest.to_string());
                    (name.to_string(), face)
                })
                .collect(),
            ways: ways
                .map(|(egress, way)| (egress.to_string(), way.clone()))
                .collect(),
            changes: changes.collect(),
        }
    }
}

impl TryFrom<OursDoc> for OurSide {
    type Error = String;

    fn try_from(doc: OursDoc) -> Result<Self, String> {
        let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is no address"));
        let mut ours = Self {
            began: doc.began.as_deref().map(at).transpose()?,
            ways: doc
                .ways
                .into_iter()
                .map(|(egress, way)| (EgressName::new(&egress), way))
                .collect(),
            ..Self::default()
        };
        for (egress, seen) in doc.addresses {
            let seen = seen.into_iter().map(|doc| {
                Ok(SeenAddress {
                    address: address(&doc.address)?,
                    first_at: at(&doc.first_at)?,
                    last_at: at(&doc.last_at)?,
                    current: doc.current,
                })
            });
            let seen = seen.collect::<Result<_, String>>()?;
            ours.addresses.insert(EgressName::new(&egress), seen);
        }
        for (egress, told) in doc.told {
            let told = told
                .into_iter()
                .map(|(wanted, seen)| Ok((address(&wanted)?, address(&seen)?)));
            let told = told.collect::<Result<_, String>>()?;
            ours.told.insert(EgressName::new(&egress), told);
        }
        for (name, (user_agent, rest)) in doc.clients {
            let rest = rest.parse().map_err(|_| format!("{rest:?} is no digest"))?;
            let face = ClientFace { user_agent, rest };
            ours.clients.insert(ClientName::new(&name), face);
        }
        for change in doc.changes {
            let what = match (change.client, change.egress) {
                (Some(name), _) => Own::Client(ClientName::new(&name)),
                (None, Some(name)) => Own::Egress(EgressName::new(&name)),
                (None, None) => return Err("a change is of nothing".to_owned()),
            };
            ours.changes.push(OwnChange {
                at: at(&change.at)?,
                what,
                text: change.text,
            });
        }
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn memory() -> Memory {
        let print = |text: &str| Fingerprint::from_text(text);
        Memory {
            fronts: vec![KnownFront {
                host: "api.partner.example:8443".to_owned(),
                rules: 1,
                saved_at: moment(1_700_000_000),
                began: 1_600_000_000.123_456,
                prints: vec![KnownPrint {
                    print: "server nginx\nheader x-a".to_owned(),
                    last: 1_699_999_999.999_999,
                    current: true,
                }],
                askers: vec![1, u32::MAX],
                drifts: vec![Drift {
                    at: 0.1 + 0.2,
                    noticed_at: 7.0,
                    kind: DriftKind::EdgeAppeared,
                    old: print("server nginx"),
                    new: print("marker cloudflare"),
                    told: true,
                }],
                earlier: 3,
            }],
            ours: Some(OurSide {
                began: Some(moment(1)),
                addresses: BTreeMap::from([(
                    "de1".into(),
                    vec![SeenAddress {
                        address: "2001:db8::1".parse().unwrap(),
                        first_at: moment(2),
                        last_at: moment(3),
                        current: true,
                    }],
                )]),
                told: BTreeMap::from([(
                    "de1".into(),
                    vec![(
                        "203.0.113.1".parse().unwrap(),
                        "203.0.113.2".parse().unwrap(),
                    )],
                )]),
                clients: BTreeMap::from([(
                    "java".into(),
                    ClientFace {
                        user_agent: "Java/1.8".to_owned(),
                        rest: u64::MAX,
                    },
                )]),
                ways: BTreeMap::from([("de1".into(), "interface ens6".to_owned())]),
                changes: vec![
                    OwnChange {
                        at: moment(4),
                        what: Own::Client("java".into()),
                        text: "edited".to_owned(),
                    },
                    OwnChange {
                        at: moment(5),
                        what: Own::Egress("de1".into()),
                        text: "moved".to_owned(),
                    },
                ],
            }),
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection).unwrap();
        let path = Path::new("x");
        assert_eq!(
            load(&connection, path).unwrap(),
            (Memory::default(), vec![])
        );
        let learned = Learned {
            memory: memory(),
            notifications: Vec::new(),
        };
        for _ in 0..2 {
            let transaction = connection.transaction().unwrap();
            put(&transaction, path, &learned, moment(9)).unwrap();
            transaction.commit().unwrap();
        }
        assert_eq!(load(&connection, path).unwrap(), (memory(), vec![]));
        connection
            .execute(
                "UPDATE surroundings SET document = '{' WHERE name = 'ours'",
                [],
            )
            .unwrap();
        connection
            .execute(
                "UPDATE surroundings SET version = 2 WHERE name != 'ours'",
                [],
            )
            .unwrap();
        let (memory, warnings) = load(&connection, path).unwrap();
        assert_eq!((memory, warnings.len()), (Memory::default(), 2));
        assert!(warnings[0].contains("front api.partner.example:8443 can't be read"));
    }
}
