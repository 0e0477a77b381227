//! What is wrong with the file: where, what, and how to mend it.
//!
//! A finding is written for the one who edits `probes.yaml`. It shows the line it is about, without
//! colour, and never a secret: the reader blanks those before a line gets here.

use std::fmt;

use serde::Serialize;

/// Whether the file can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; this may not be what was meant.
    Warning,
}

/// One thing about the file.
///
/// The serialised form is what `check --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// As the caller named it.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: u32,
    /// For example `probes.gmc-connect.every`; empty for the file as a whole.
    pub path: String,
    /// What is so.
    pub message: String,
    /// How to mend it; empty when the message says it.
    pub hint: String,
    /// The line in the file, secrets and control characters blanked; empty when there is none.
    pub source_line: String,
    /// Where the caret stands below `source_line`, in characters, from 1.
    pub caret: u32,
    /// The file does what it says; only is that hardly what was meant. Told where the file is looked at, not at each use.
    #[serde(skip)]
    pub doubt: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: ", self.file)?;
        } else {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        if self.source_line.is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        write!(f, "\n {number} | {}", self.source_line)?;
        write!(f, "\n {:width$} | ", "", width = number.len())?;
        // Tabs are kept, so that the caret stands below its character whatever a tab's width.
        for c in self
            .source_line
            .chars()
            .take(self.caret.saturating_sub(1) as usize)
        {
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        f.write_str("^")
    }
}

/// All that was found in one reading of the file, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub findings: Vec<Finding>,
    /// How many more there were beyond the bound of what is kept.
    pub omitted: usize,
}

impl Findings {
    /// More than this many are counted, not kept: nobody mends a file by reading a thousand lines.
    pub const KEPT_MAX: usize = 100;

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.omitted == 0
    }

    /// The same without warnings: why a file was not taken.
    #[must_use]
    pub fn errors(&self) -> Self {
        let errors = self
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Error);
        Self {
            findings: errors.cloned().collect(),
            omitted: self.omitted,
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.findings.iter()
    }

    /// Adds a doubt about the surroundings of the file called `file`.
    pub fn doubt(&mut self, file: &str, message: String, hint: String) {
        self.findings.push(Finding {
            severity: Severity::Warning,
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            message,
            hint,
            source_line: String::new(),
            caret: 0,
            doubt: true,
        });
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
