//! An audit as GitHub workflow commands, which annotate the lines of a pull request. Source: GitHub's "Workflow commands",
//! and the escapes of `@actions/core`.

use std::io::{self, Write};

use crate::audit::Verdict;
use crate::audit::report::word;
use crate::cli::audit::output::severity;
use crate::cli::audit::tally::Report;

/// The findings that are new.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for found in report.new_ones() {
        let finding = &found.finding;
        let command = if finding.verdict == Verdict::Warn { "warning" } else { "error" };
        let title = format!("{} ({})", finding.policy.name, word(severity(found)));
        write!(out, "::{command} ")?;
        if !found.file.is_empty() {
            write!(out, "file={},line={},", property(&found.file), found.line.max(1))?;
        }
        let message = format!("{}: {}", finding.object, finding.message);
        writeln!(out, "title={}::{}", property(&title), data(&message))?;
    }
    Ok(())
}

/// What stands behind the colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What stands before them.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_is_taken_for_a_command() {
        assert_eq!(data("100 %\r\n::error::x"), "100 %25%0D%0A::error::x");
        assert_eq!(property("a,b:c\nd"), "a%2Cb%3Ac%0Ad");
    }
}
