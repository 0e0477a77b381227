//! Reading the file beside a daemon that writes it.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::error::{Fault, StoreError};
use super::incidents::{self, Open, Shown};
use super::one_run::{self, KeptRun};
use super::outbox::{self, Delivery, Progress};
use super::past_look::{self, Thought};
use super::people::{self, Act, Link};
use super::plans::{self, Generation};
use super::runs::Lateness;
use super::upkeep::{self, Soundness};
use super::{open, rollups, runs, silences, surroundings};
use crate::domain::cell::{CellKey, CredentialName, ProbeName, ReceiverName};
use crate::domain::change::VerdictChange;
use crate::domain::incident::{Incident, TimelineEntry};
use crate::domain::moment::later;
use crate::domain::mute::Silence;
use crate::domain::past::PastRun;
use crate::domain::surroundings::Memory;
use crate::domain::tally::Tally;

/// History that lies further ahead is of a clock that was set back since.
const AHEAD: Duration = Duration::from_secs(60);

/// An open file that can't be changed through it; for commands.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open::existing(path, connect)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// Open incidents, those resolved within the last day, and the next free number.
    pub fn load_open(&self) -> Result<Open, StoreError> {
        self.read("read incidents", |c| {
            incidents::load_open(c, &self.path, crate::clock::now())
        })
    }

    /// The newest incidents, newest first.
    pub fn list(&self, limit: usize) -> Result<Vec<Incident>, StoreError> {
        self.read("read incidents", |c| incidents::page(c, None, limit))
    }

    /// Incidents, newest first: those with a number below `below`; `None`: the newest.
    pub fn page(&self, below: Option<u64>, limit: usize) -> Result<Vec<Incident>, StoreError> {
        self.read("read incidents", |c| incidents::page(c, below, limit))
    }

    /// Incidents that were open between two times, newest first.
    pub fn between(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Incident>, StoreError> {
        self.read("read incidents", |c| incidents::between(c, from, until))
    }

    /// One incident with its timeline and what became of its notifications.
    pub fn show(&self, number: u64) -> Result<Option<Shown>, StoreError> {
        self.read("read an incident", |c| incidents::show(c, number))
    }

    /// What was thought of an incident at each time, oldest first.
    pub fn thoughts(&self, incident: u64) -> Result<Vec<Thought>, StoreError> {
        self.read("read an incident", |c| past_look::thoughts(c, incident))
    }

    /// The newest run of each of `cells` between two times, also of those that were kept with an incident alone.
    pub fn latest_then(
        &self,
        incident: u64,
        cells: &[CellKey],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<PastRun>, StoreError> {
        self.read("read the history", |c| {
            let mut found = runs::latest(c, cells, since, until)?;
            if found.len() < cells.len() {
                let known: HashSet<CellKey> = found.iter().map(|run| run.cell.clone()).collect();
                let kept = past_look::latest(c, incident, cells, since, until)?;
                found.extend(kept.into_iter().filter(|run| !known.contains(&run.cell)));
            }
            Ok::<_, rusqlite::Error>(found)
        })
    }

    /// When requests with each credential were made since a time, by the daemon and beside it.
    pub fn spent(&self, since: Timestamp) -> Result<Vec<(CredentialName, Timestamp)>, StoreError> {
        self.read("count requests", |c| silences::spent(c, since, false))
    }

    /// Files that were in force, newest first.
    pub fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        self.read("read what was in force", plans::all)
    }

    /// The text of one of them and of the one before it; `None`: it is not kept.
    pub fn generation(&self, number: u64) -> Result<Option<(String, Option<String>)>, StoreError> {
        self.read("read what was in force", |c| plans::texts(c, number))
    }

    /// What was kept under a name with [`super::Store::keep_note`].
    pub fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read("read the store", |c| {
            c.query_row("SELECT text FROM notes WHERE name = ?", [name], |row| {
                row.get(0)
            })
            .optional()
        })
    }

    /// Every cell that ever ran, as far as history goes back, in the order of tables.
    pub fn cells(&self) -> Result<Vec<CellKey>, StoreError> {
        self.read("read the history", runs::cells)
    }

    /// The newest run of each of `cells` since a time; cells without one are left out.
    pub fn latest(&self, cells: &[CellKey], since: Timestamp) -> Result<Vec<PastRun>, StoreError> {
        // A host of our own may be ahead of another by a little.
        let until = later(crate::clock::now(), AHEAD);
        self.read("read the history", |c| runs::latest(c, cells, since, until))
    }

    /// Hands the runs of `cells` between two times to `seen`, newest first, until it has enough.
    ///
    /// Returns false when the bound on rows looked at was met first.
    pub fn runs(
        &self,
        cells: &[CellKey],
        from: Timestamp,
        until: Timestamp,
        seen: impl FnMut(PastRun) -> ControlFlow<()>,
    ) -> Result<bool, StoreError> {
        self.read("read the history", |c| {
            runs::newest_first(c, cells, from, until, seen)
        })
    }

    /// Runs of a probe by the hour in which they began (hours since 1970, UTC), up to now; kept for 400 days.
    pub fn probe_hours(
        &self,
        probe: &ProbeName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<i64, Tally>, StoreError> {
        self.read("read the history", |c| {
            rollups::probe_hours(c, probe, from, until)
        })
    }

    /// Runs of a cell by hour, those that are over; kept for eight days.
    pub fn cell_hours(
        &self,
        cell: &CellKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<i64, Tally>, StoreError> {
        self.read("read the history", |c| {
            let ids = runs::ids(c, std::slice::from_ref(cell))?;
            let id = ids.keys().next();
            id.map_or(Ok(BTreeMap::new()), |id| {
                rollups::cell_hours(c, *id, from, until)
            })
        })
    }

    /// Runs of a cell by day (days since 1970, UTC), those that are over; kept for 400 days.
    pub fn cell_days(
        &self,
        cell: &CellKey,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<i64, Tally>, StoreError> {
        self.read("read the history", |c| {
            let ids = runs::ids(c, std::slice::from_ref(cell))?;
            let id = ids.keys().next();
            id.map_or(Ok(BTreeMap::new()), |id| {
                rollups::cell_days(c, *id, from, until)
            })
        })
    }

    /// Since when runs of a probe are counted; `None`: none is yet.
    pub fn counted_since(&self, probe: &ProbeName) -> Result<Option<Timestamp>, StoreError> {
        self.read("read the history", |c| rollups::since(c, probe))
    }

    /// How each cell of a probe changed between two times, oldest first, and the last change of each before.
    pub fn changes(
        &self,
        probe: &ProbeName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<CellKey, Vec<VerdictChange>>, StoreError> {
        self.read("read the history", |c| runs::changes(c, probe, from, until))
    }

    /// Every probe that ever ran, by name, in the file or not.
    pub fn probes(&self) -> Result<Vec<ProbeName>, StoreError> {
        self.read("read the history", |c| {
            let probes = rollups::probes(c)?;
            Ok::<_, rusqlite::Error>(probes.iter().map(|name| name.as_str().into()).collect())
        })
    }

    /// The run of a cell that began at this microsecond; `None`: there is none, or it is no longer kept.
    pub fn run(&self, cell: &CellKey, at: Timestamp) -> Result<Option<KeptRun>, StoreError> {
        self.read("read the history", |c| one_run::find(c, cell, at))
    }

    /// The run of another cell about the same time that ended the other way and has most in common.
    pub fn beside(&self, run: &KeptRun) -> Result<Option<KeptRun>, StoreError> {
        self.read("read the history", |c| one_run::beside(c, run))
    }

    /// The kept part of a failure's body, secrets masked.
    pub fn body(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read a body", |c| one_run::body(c, sha256))
    }

    /// Whose session this is the digest of; `None`: nobody's, or it is over.
    pub fn signed_in(&self, session: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.read("read sessions", |c| people::who(c, session, now))
    }

    /// The link of a token's digest; `None`: there is none, it is over, or was withdrawn.
    pub fn shared(&self, sha256: &str, now: Timestamp) -> Result<Option<Link>, StoreError> {
        self.read("read links", |c| people::shared(c, sha256, now))
    }

    /// Links that are good, newest first.
    pub fn links(&self, now: Timestamp) -> Result<Vec<Link>, StoreError> {
        self.read("read links", |c| people::links(c, now))
    }

    /// How late scheduled runs began since a time; `None`: none began.
    pub fn lateness(&self, since: Timestamp) -> Result<Option<Lateness>, StoreError> {
        self.read("read the history", |c| runs::lateness(c, since))
    }

    /// What people did in the pages before a time, newest first.
    pub fn acts(&self, before: Timestamp, limit: usize) -> Result<Vec<Act>, StoreError> {
        self.read("read what was done", |c| people::acts(c, before, limit))
    }

    /// Every silence that is kept, over or in force, by number.
    pub fn silences(&self) -> Result<Vec<Silence>, StoreError> {
        self.read("read silences", silences::all)
    }

    /// Messages, newest first, of one receiver or all, in one state or all.
    pub fn deliveries(
        &self,
        receiver: Option<&ReceiverName>,
        state: Option<Progress>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read("read the outbox", |c| {
            outbox::list(c, receiver, state, skip, limit)
        })
    }

    /// What is remembered of fronts and of our own side; what can't be read is left out.
    pub fn memory(&self) -> Result<Memory, StoreError> {
        self.read("read what was learned", |c| {
            surroundings::load(c).map(|(memory, _)| memory)
        })
    }

    /// What happened to incidents before a time, newest first.
    pub fn happened(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(u64, TimelineEntry)>, StoreError> {
        self.read("read incidents", |c| incidents::happened(c, before, limit))
    }

    /// Changes of verdicts before a time, newest first.
    pub fn changed(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<VerdictChange>, StoreError> {
        self.read("read the history", |c| runs::changed(c, before, limit))
    }

    /// What still has to be sent, and what was given up within the last week.
    pub fn undelivered(&self) -> Result<Vec<Delivery>, StoreError> {
        self.read("read the outbox", |c| {
            outbox::undelivered(c, crate::clock::now())
        })
    }

    fn read<T, E: Into<Fault>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        work(&self.connection).map_err(|fault| StoreError::new(&self.path, doing, fault))
    }
}

impl Reader {
    /// Looks at every page, reference and document; a damaged file is an answer, not an error.
    ///
    /// # Errors
    /// [`StoreError`] when it is too damaged to be looked at.
    pub fn check(&self) -> Result<Soundness, StoreError> {
        self.read("check the store", upkeep::check)
    }

    /// Writes a whole copy to a new file, for this user alone, while a daemon may be writing.
    ///
    /// # Errors
    /// The file is there already, or can't be written; the store can't be read.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |why: String| StoreError::Io {
            path: to.to_owned(),
            doing: "write a copy",
            why,
        };
        let mut options = std::fs::OpenOptions::new();
        let made = options.create_new(true).write(true).mode(0o600).open(to);
        made.map_err(|error| failed(error.to_string()))?;
        let Some(name) = to.to_str() else {
            return Err(failed("its name is not UTF-8".to_owned()));
        };
        self.read("copy the store", |connection| {
            connection.execute("VACUUM INTO ?1", [name]).map(|_| ())
        })
    }
}

pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let error = |e: rusqlite::Error| StoreError::new(path, "read the store", e);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(error)?;
    connection
        .busy_timeout(Duration::from_secs(2))
        .map_err(error)?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(connection),
        // In a folder that this user can't write, the files beside a resting store can't be made; nobody
        // writes it then, so it may be read as it lies.
        Err(_) if !has_journal(path) => {
            let uri = format!(
                "file:{}?immutable=1",
                path.display()
                    .to_string()
                    .replace('%', "%25")
                    .replace('?', "%3f")
                    .replace('#', "%23")
            );
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(error)
        }
        Err(e) => Err(error(e)),
    }
}

fn has_journal(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    Path::new(&name).exists()
}
