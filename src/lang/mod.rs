//! Small languages: what operators write (cron, `XPath`, templates) and what headers say. Each is read once and then evaluated within bounds.

pub mod cron;
pub mod entities;
pub mod jsonpath;
pub mod retry_after;
pub mod template;
pub mod xpath;
