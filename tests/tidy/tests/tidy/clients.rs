//! Each page of docs/clients says what a reader who has the client already needs: settings, a backup, a restore, what was
//! tested, and what to expect trouble of.

use std::fs;

use kheeper_tidy::{files, repository, shown};

/// What prints a client's settings, and what runs it with them.
const SETTINGS: [&str; 2] = ["kheeper hosts me --env", "kheeper exec"];

/// Whether a page has it.
type Told = fn(&str) -> bool;

/// What a page must have, and how it is told. What a command is for, if its name does not say it, says a comment.
const WANTED: [(&str, Told); 5] = [
    ("settings: where it gets them from", |page| SETTINGS.iter().any(|command| page.contains(command))),
    ("a backup in a code block", |page| code(page).any(|line| has_word(line, "backup"))),
    ("a restore in a code block", |page| code(page).any(|line| has_word(line, "restore"))),
    ("## Tested, with a version", |page| section(page, "## Tested").is_some_and(has_version)),
    ("## Limits, with one", |page| section(page, "## Limits").is_some_and(|text| !text.trim().is_empty())),
];

#[test]
fn every_page_of_a_client_has_settings_a_backup_a_restore_a_tested_version_and_limits() {
    let folder = repository().join("docs/clients");
    let pages: Vec<_> =
        files().expect("the repository can be read").into_iter().filter(|path| path.starts_with(&folder)).collect();
    assert!(pages.len() >= 13, "docs/clients holds a page for each client");
    let mut missing = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page can be read");
        missing.extend(
            WANTED.iter().filter(|(_, there)| !there(&text)).map(|(what, _)| format!("{}: {what}", shown(&page))),
        );
    }
    assert!(missing.is_empty(), "what is missing from the clients' pages:\n{}", missing.join("\n"));
}

#[test]
fn a_page_that_lacks_one_is_noticed() {
    let page = "```\n$ kheeper hosts me --env=x\n$ x backup\n$ x restore\n```\n## Tested\n\n1.2 (Debian)\n\n## Limits\n\nNone known.\n";
    let lacks = |page: &str| WANTED.iter().filter(|(_, there)| !there(page)).count();
    assert_eq!(lacks(page), 0);
    for (there, gone) in
        [("kheeper hosts", "it"), ("x backup", "x"), ("x restore", "x"), ("1.2", "a recent one"), ("None known.", "")]
    {
        assert_eq!(lacks(&page.replace(there, gone)), 1, "without {there}");
    }
}

/// The lines of the code blocks.
fn code(page: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        inside && !fence
    })
}

/// `backup`, `backup-push` and `barman-cloud-backup`, but no `backup.example.org`.
fn has_word(line: &str, word: &str) -> bool {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '.'));
    words.any(|found| found == word)
}

/// What is below a heading, up to the next one of its kind.
fn section<'p>(page: &'p str, heading: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("\n{heading}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

/// Digits, a dot and digits, or MinIO's dates.
fn has_version(text: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    (1..bytes.len()).any(|at| b".-".contains(&bytes[at]) && is_digit(bytes.get(at - 1)) && is_digit(bytes.get(at + 1)))
}
