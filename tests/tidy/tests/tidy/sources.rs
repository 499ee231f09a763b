//! What source files are called, how long they get, and what never stands in them.

use std::fs;
use std::path::Path;

use kheeper_tidy::{files, repository, shown};

/// A file longer than this holds two nouns.
const LINES_MAX: usize = 600;

/// Names that say nothing about what a file does.
const NAMELESS: [&str; 6] = ["util.rs", "utils.rs", "common.rs", "helpers.rs", "misc.rs", "imp.rs"];

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let mut long = Vec::new();
    for path in sources("rs") {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            long.push(format!("{} has {lines} lines", shown(&path)));
        }
    }
    assert!(long.is_empty(), "find the second noun in:\n{}", long.join("\n"));
}

#[test]
fn files_are_named_for_what_they_do() {
    let nameless: Vec<String> = sources("rs")
        .filter(|path| path.file_name().is_some_and(|name| NAMELESS.contains(&name.to_string_lossy().as_ref())))
        .map(|path| shown(&path))
        .collect();
    assert!(nameless.is_empty(), "these names say nothing: {nameless:?}");
}

#[test]
fn every_crate_begins_by_saying_what_it_is() {
    let silent: Vec<String> = sources("rs")
        .filter(|path| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs"))
        .filter(|path| !read(path).starts_with("//! "))
        .map(|path| shown(&path))
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of: {silent:?}");
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let root = repository();
    let Some(parent) = root.parent().filter(|parent| parent.components().count() > 1) else { return };
    let machine = format!("{}/", parent.display());
    // A checkout directly below a folder that programs live in proves nothing.
    if ["/tmp/", "/usr/", "/var/", "/opt/", "/home/", "/srv/", "/root/"].contains(&machine.as_str()) {
        return;
    }
    let named: Vec<String> = files()
        .expect("the repository can be read")
        .iter()
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(&machine)))
        .map(|path| shown(path))
        .collect();
    assert!(named.is_empty(), "{machine} stands in: {named:?}");
}

fn sources(extension: &'static str) -> impl Iterator<Item = std::path::PathBuf> {
    let files = files().expect("the repository can be read");
    files.into_iter().filter(move |path| path.extension().is_some_and(|found| found == extension))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}
