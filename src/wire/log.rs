//! The log of the hub that leads: what it decided, in entries that others take in their order.
//!
//! A decision that is too large for one entry is several, and counts once the last of them is there: one whose hub lost the
//! lead in between is none, and whatever comes next begins anew. What a row is the store knows.

use super::{Unreadable, deflate, inflate};

/// Text of rows in one entry; a larger row has an entry of its own.
const TEXT_MAX: usize = 256 << 10;

/// One entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Of the meaning.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Of the hub that leads: one more with each that does.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(string, tag = "3")]
    pub hub: String,
    #[prost(int64, tag = "4")]
    pub at_us: i64,
    /// Its place among the entries of one decision, from 0, and whether more of them follow.
    #[prost(uint32, tag = "5")]
    pub part: u32,
    #[prost(bool, tag = "6")]
    pub more: bool,
    /// Format of the store that the rows are of.
    #[prost(int64, tag = "7")]
    pub format: i64,
    /// The rows are all that there is.
    #[prost(bool, tag = "8")]
    pub whole: bool,
    /// A hub begins to lead here.
    #[prost(bool, tag = "9")]
    pub took_over: bool,
    /// Logs that this one was begun in place of, where somebody wished it.
    #[prost(string, repeated, tag = "10")]
    pub replaces: Vec<String>,
    /// A line each, deflated.
    #[prost(bytes = "vec", tag = "11")]
    pub rows: Vec<u8>,
}

super::message!(Entry);

impl Entry {
    /// The rows in it.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn lines(&self) -> Result<Vec<String>, Unreadable> {
        let text = String::from_utf8(inflate(&self.rows)?);
        let text = text.map_err(|e| Unreadable::Broken(e.to_string()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// One decision in as many entries as it needs, each as `like` besides; JSON has no bare line breaks.
#[must_use]
pub fn entries(like: &Entry, rows: &[String]) -> Vec<Entry> {
    let mut texts = vec![String::new()];
    for row in rows {
        if texts
            .last()
            .is_some_and(|text| !text.is_empty() && text.len() + row.len() > TEXT_MAX)
        {
            texts.push(String::new());
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(row);
            text.push('\n');
        }
    }
    let last = texts.len() - 1;
    let packed = texts.iter().enumerate().map(|(part, text)| Entry {
        part: part as u32,
        more: part < last,
        rows: deflate(text.as_bytes()),
        ..like.clone()
    });
    packed.collect()
}

/// Puts entries together to decisions again.
#[derive(Debug, Default)]
pub struct Gathered(Vec<Entry>);

impl Gathered {
    /// Takes the next entry of the log; returns the decision that it completes.
    pub fn take(&mut self, entry: Entry) -> Option<Vec<Entry>> {
        if entry.part as usize != self.0.len() {
            // Of the one before the rest never came.
            self.0.clear();
        }
        if entry.part as usize != self.0.len() {
            return None;
        }
        let more = entry.more;
        self.0.push(entry);
        (!more).then(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like() -> Entry {
        Entry {
            epoch: 3,
            hub: "berlin".to_owned(),
            at_us: 1_795_000_000_000_000,
            format: 14,
            ..Entry::default()
        }
    }

    #[test]
    fn a_large_decision_counts_once_its_last_entry_is_there() {
        let rows: Vec<String> = (0..40)
            .map(|n| format!("[{n},\"{}\"]", "x".repeat(20_000)))
            .collect();
        let all = entries(&like(), &rows);
        assert!(all.len() > 2);
        let small = entries(&like(), &rows[..1]).remove(0);
        let mut gathered = Gathered::default();
        // A hub that lost the lead in between, then another one's.
        assert_eq!(gathered.take(all[0].clone()), None);
        assert_eq!(gathered.take(all[1].clone()), None);
        assert_eq!(gathered.take(small.clone()), Some(vec![small.clone()]));
        // What has no beginning is nothing.
        assert_eq!(gathered.take(all[1].clone()), None);
        let whole = all.iter().find_map(|entry| {
            let read = Entry::read(&entry.clone().packed()).unwrap();
            gathered.take(read)
        });
        let lines: Vec<String> = whole
            .unwrap()
            .iter()
            .flat_map(|it| it.lines().unwrap())
            .collect();
        assert_eq!(lines, rows);
        assert_eq!(gathered.take(small.clone()), Some(vec![small]));
    }

    /// As `main` wrote it first; read for ever.
    #[test]
    fn an_entry_of_the_first_version_is_read() {
        let bytes: Vec<u8> = (0..FIRST.len() / 2)
            .map(|at| u8::from_str_radix(&FIRST[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let read = Entry::read(&bytes).unwrap();
        assert_eq!(
            (read.epoch, read.hub.as_str(), read.format),
            (3, "berlin", 14)
        );
        assert_eq!(
            read.lines().unwrap(),
            [r#"["marks",0,{"receiver":"a","what":"b"}]"#]
        );
    }

    const FIRST: &str = "080110031a066265726c696e2080e0fc8ab0919803380e48015a2d012800d7ff5b226d61726b73222c302c7b227265636569766572223a2261222c2277686174223a2262227d5d0a";
}
