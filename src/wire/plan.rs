//! The plan of one site, as the hub hands it out.

use prost::Message as _;

use super::{Unreadable, VERSION, check, deflate, inflate};
use crate::domain::cell::CellKey;

/// What a site is to do: a file in the grammar of `probes.yaml`, and the numbers of its cells.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SitePlan {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Grows by one with each other plan of this site.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// The file: it holds references to secrets, never one itself.
    #[prost(string, tag = "3")]
    pub file: String,
    /// Every cell of the site; runs name them by their place here.
    #[prost(message, repeated, tag = "4")]
    pub cells: Vec<Cell>,
    /// Version of the program that made it.
    #[prost(string, tag = "5")]
    pub program: String,
    /// Texts that the file refers to: bodies, further roots. None of them holds a secret.
    #[prost(message, repeated, tag = "6")]
    pub files: Vec<File>,
    /// What this site may ask of hosts that others ask too.
    #[prost(message, repeated, tag = "7")]
    pub shares: Vec<Share>,
}

/// A text that the file refers to.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct File {
    /// As it is written in the file.
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub text: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Share {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(uint32, tag = "2")]
    pub requests_per_minute: u32,
    #[prost(uint64, tag = "3")]
    pub gap_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Cell {
    #[prost(string, tag = "1")]
    pub probe: String,
    #[prost(string, tag = "2")]
    pub egress: String,
    #[prost(string, tag = "3")]
    pub client: String,
    #[prost(string, tag = "4")]
    pub credential: String,
}

impl From<&CellKey> for Cell {
    fn from(key: &CellKey) -> Self {
        Self {
            probe: key.probe.to_string(),
            egress: key.egress.to_string(),
            client: key.client.to_string(),
            credential: key.credential.to_string(),
        }
    }
}

impl SitePlan {
    /// The cells by their numbers.
    #[must_use]
    pub fn table(&self) -> Vec<CellKey> {
        let cells = self.cells.iter();
        cells
            .map(|cell| CellKey {
                probe: cell.probe.as_str().into(),
                egress: cell.egress.as_str().into(),
                client: cell.client.as_str().into(),
                credential: cell.credential.as_str().into(),
            })
            .collect()
    }

    /// Whether it asks for the same as another, whatever their generations.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        (&self.file, &self.cells, &self.files, &self.shares)
            == (&other.file, &other.cells, &other.files, &other.shares)
    }

    /// As it travels.
    #[must_use]
    pub fn packed(&self) -> Vec<u8> {
        let message = Self {
            version: VERSION,
            ..self.clone()
        };
        deflate(&message.encode_to_vec())
    }

    /// # Errors
    /// [`Unreadable`]: it is none, or of a version that this program does not read.
    pub fn read(message: &[u8]) -> Result<Self, Unreadable> {
        let read = Self::decode(inflate(message)?.as_slice())?;
        check(read.version)?;
        Ok(read)
    }
}
