//! What is remembered of fronts and of our own side: one row a host, one for ourselves.
//!
//! A row that a later version can't read is left out: what was normal is then learned anew.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::error::Fault;
use super::{document, outbox};
use crate::domain::surroundings::{KnownFront, Learned, Memory};

/// The row about ourselves; hosts have `front <host>`.
const OURS: &str = "ours";
const FRONT: &str = "front ";
/// By which addresses an egress reached a host.
const WAY: &str = "way ";
/// A host that nothing was learned of for so long is forgotten; each is kept anew every day.
pub(super) const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// Writes what was learned; again, it changes nothing.
pub(super) fn put(
    transaction: &Transaction<'_>,
    learned: &Learned,
    now: Timestamp,
) -> Result<(), Fault> {
    let put = |name: &str, document: String| {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO surroundings (name, at_us, version, document) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![name, now.as_microsecond(), document::VERSION, document])
    };
    for front in &learned.memory.fronts {
        let name = format!("{FRONT}{}", front.host);
        put(&name, document::write(front)?)?;
    }
    for way in &learned.memory.ways {
        let name = format!("{WAY}{} {}", way.egress, way.host);
        put(&name, document::write(way)?)?;
    }
    if let Some(ours) = &learned.memory.ours {
        put(OURS, document::write(ours)?)?;
    }
    for notification in &learned.notifications {
        outbox::put(transaction, notification, "", None)?;
    }
    Ok(())
}

/// What is remembered, and what of it can't be read, for the log.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<(Memory, Vec<String>)> {
    let mut statement = connection
        .prepare_cached("SELECT name, version, document FROM surroundings ORDER BY name")?;
    let mut rows = statement.query([])?;
    let (mut memory, mut warnings) = (Memory::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let (name, document): (String, String) = (row.get(0)?, row.get(2)?);
        if let Err(why) = read(&name, row.get(1)?, &document, &mut memory) {
            warnings.push(format!(
                "what was learned of {name} can't be read and is learned anew: {why}"
            ));
        }
    }
    Ok((memory, warnings))
}

fn read(name: &str, version: i64, text: &str, memory: &mut Memory) -> Result<(), String> {
    if name == OURS {
        memory.ours = Some(document::read(version, text)?);
    } else if name.starts_with(WAY) {
        memory.ways.push(document::read(version, text)?);
    } else if let Some(host) = name.strip_prefix(FRONT) {
        let front: KnownFront = document::read(version, text)?;
        memory.fronts.push(KnownFront {
            host: host.to_owned(),
            ..front
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::fingerprint::{Drift, DriftKind, Fingerprint};
    use crate::domain::surroundings::{
        ClientFace, KnownPrint, OurSide, Own, OwnChange, SeenAddress, SeenStack,
    };
    use crate::domain::ways::{KnownWay, ReachedAddress};

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
            ways: vec![KnownWay {
                egress: "de1".into(),
                host: "api.partner.example:8443".to_owned(),
                addresses: vec![ReachedAddress {
                    address: "192.0.2.41".parse().unwrap(),
                    first_at: moment(4),
                    last_at: moment(5),
                }],
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
                stacks: BTreeMap::from([(
                    "java".into(),
                    SeenStack {
                        ja4: "t13d371200_db35923f8641_7c76daad20ec".to_owned(),
                        version: "17.0.15".to_owned(),
                    },
                )]),
                refused: BTreeMap::from([("java-own".into(), moment(6))]),
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
        assert_eq!(load(&connection).unwrap(), (Memory::default(), vec![]));
        let learned = Learned {
            memory: memory(),
            notifications: Vec::new(),
        };
        for _ in 0..2 {
            let transaction = connection.transaction().unwrap();
            put(&transaction, &learned, moment(9)).unwrap();
            transaction.commit().unwrap();
        }
        assert_eq!(load(&connection).unwrap(), (memory(), vec![]));
        connection
            .execute(
                "UPDATE surroundings SET document = '{' WHERE name = 'ours'",
                [],
            )
            .unwrap();
        connection
            .execute(
                "UPDATE surroundings SET version = 3 WHERE name != 'ours'",
                [],
            )
            .unwrap();
        let (memory, warnings) = load(&connection).unwrap();
        assert_eq!((memory, warnings.len()), (Memory::default(), 3));
        assert!(warnings[0].contains("front api.partner.example:8443 can't be read"));
    }
}
