//! What the YAML parser says, in our words and with the mend for the usual slips.

use serde_yaml::granit_parser::{ErrorKind, Marker, ScanError};

/// The deepest nesting that is read.
pub(super) const DEPTH_MAX: usize = 32;

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Mark {
    /// Which of the texts: 0 is the main file.
    pub(super) file: u16,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
}

impl Mark {
    pub(super) fn of(marker: Marker) -> Self {
        Self {
            file: 0,
            line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
            column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
        }
    }
}

/// Why the text is no tree.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) mark: Mark,
    pub(super) message: String,
    pub(super) hint: String,
    /// What the parser may have run into long after it began.
    pub(super) slip: Option<Slip>,
}

/// Errors that come later than the slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slip {
    /// Something behind a closing quote.
    Trailing,
    /// No comma or bracket where one should be.
    Flow,
    /// A colon that can't be.
    Colon,
    /// A line that is out of step.
    Step,
    /// A sign that may not stand behind a backslash.
    Escape,
    /// A comment within a text of several lines.
    Comment,
    /// Something behind what was taken for the whole.
    Behind,
    /// The name of an anchor where hardly anybody meant one.
    Anchor,
}

impl Broken {
    /// The same in another of the texts.
    pub(super) fn in_file(mut self, file: u16) -> Self {
        self.mark.file = file;
        self
    }

    pub(super) fn at(mark: Mark, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            mark,
            message: message.into(),
            hint: hint.into(),
            slip: None,
        }
    }
}

/// The parser's error in our words, with the mend for the usual ones.
pub(super) fn explain(error: &ScanError) -> Broken {
    use ErrorKind as K;
    let mark = Mark::of(*error.marker());
    let (message, hint): (String, &str) = match error.kind() {
        K::TabNotAllowed | K::TabInBlockIndentation | K::TabInIndentation => {
            ("a tab can't indent".into(), "use spaces")
        }
        K::UnclosedQuotedScalar => ("this quote is never closed".into(), "add the closing quote"),
        K::UnclosedFlowCollection { open } => (
            format!("this \"{open}\" is never closed"),
            "add the closing bracket",
        ),
        K::UnexpectedEofFlowSequence => ("a \"[\" is never closed".into(), "add the \"]\""),
        K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping => {
            ("a \"{\" is never closed".into(), "add the \"}\"")
        }
        K::MismatchedFlowCollectionEnd { open, close } => {
            let hint = if *open == '[' {
                "add the \"]\" before it"
            } else {
                "add the \"}\" before it, or the \"[\" that it closes"
            };
            (format!("\"{open}\" is closed by \"{close}\""), hint)
        }
        K::MisplacedFlowCollectionEnd => ("a bracket is closed that was never opened".into(), ""),
        K::ExpectedFlowMappingSeparator => (
            "a \",\" or \"}\" is missing before this".into(),
            "quote texts that hold \",\", \":\" or a bracket",
        ),
        K::ExpectedFlowSequenceSeparator => (
            "a \",\" or \"]\" is missing before this".into(),
            "quote texts that hold \",\", \":\" or a bracket",
        ),
        K::ExpectedBlockMappingKey | K::InvalidIndentation => (
            "this line is indented differently from the ones before it".into(),
            "keys of one mapping start in one column",
        ),
        K::ExpectedBlockSequenceEntry => (
            "a \"-\" is expected here".into(),
            "items of one list start in one column",
        ),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::MappingKeyNotAllowed => (
            "a \":\" can't stand here".into(),
            "quote the text if the colon belongs to it, or mend the indentation",
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey => (
            "a \":\" is missing after this key".into(),
            "write \"key: value\", with a space after the colon",
        ),
        K::InvalidTrailingDoubleQuotedScalar | K::InvalidTrailingSingleQuotedScalar => (
            "something follows the closing quote".into(),
            "put all of the text between the quotes",
        ),
        K::UnknownQuotedScalarEscape => (
            "this escape is not known between double quotes".into(),
            "use single quotes, where a backslash is a backslash",
        ),
        K::UnexpectedCharacter { character } => (
            format!(
                "\"{}\" can't begin an unquoted text",
                character.escape_debug()
            ),
            "quote it",
        ),
        K::FlowMappingValueAdjacentCollection => (
            "no space stands behind this colon".into(),
            "write \"key: value\"",
        ),
        K::BlockEntryInFlowCollection => (
            "a list of lines can't stand within brackets".into(),
            "close the bracket that was opened before it, or write [a, b]",
        ),
        K::CommentInterceptedScalar => (
            "the line after this comment goes on with the text before it".into(),
            "mend its indentation, or write \"key: value\", with a colon",
        ),
        K::ExpectedDocumentStart => (
            "this does not belong to what stands before it".into(),
            "keys of one mapping start in one column",
        ),
        K::UnknownAnchor => (
            "no anchor of this name stands before here".into(),
            "quote the text if it begins with \"*\"",
        ),
        K::MissingAnchorOrAliasName => (
            "a \"*\" or \"&\" begins the name of an anchor, and here is none".into(),
            "quote the text if it begins with \"*\" or \"&\"",
        ),
        K::RecursionLimitExceeded => (
            format!("nested more than {DEPTH_MAX} deep"),
            "no key of this file needs that",
        ),
        kind => (kind.to_string(), ""),
    };
    let slip = match error.kind() {
        K::InvalidTrailingDoubleQuotedScalar | K::InvalidTrailingSingleQuotedScalar => {
            Some(Slip::Trailing)
        }
        K::ExpectedFlowMappingSeparator
        | K::ExpectedFlowSequenceSeparator
        | K::BlockEntryInFlowCollection => Some(Slip::Flow),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::MappingKeyNotAllowed => {
            Some(Slip::Colon)
        }
        K::ExpectedBlockMappingKey | K::InvalidIndentation => Some(Slip::Step),
        K::UnknownQuotedScalarEscape => Some(Slip::Escape),
        K::CommentInterceptedScalar => Some(Slip::Comment),
        K::ExpectedDocumentStart => Some(Slip::Behind),
        K::UnknownAnchor => Some(Slip::Anchor),
        _ => None,
    };
    Broken {
        slip,
        ..Broken::at(mark, format!("not YAML: {message}"), hint)
    }
}
