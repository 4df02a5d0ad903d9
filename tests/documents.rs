//! The transcripts in the documents are true.

use crate::support::transcript;

/// What the README shows happens.
#[test]
fn readme() {
    transcript::run("README.md");
}

/// What the command reference shows happens.
#[test]
fn commands() {
    transcript::run("docs/commands.md");
}

/// What the page on scaling shows happens.
#[test]
fn scaling() {
    transcript::run("docs/scaling.md");
}
