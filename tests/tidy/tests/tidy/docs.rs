//! Links in the documentation lead somewhere, and what users see change is written down.

use std::fs;
use std::path::{Path, PathBuf};

use kheeper_tidy::{files, repository, shown};

#[test]
fn every_relative_link_in_the_documentation_leads_to_a_file() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        let folder = page.parent().expect("a file lies in a folder");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            if !target.exists() {
                broken.push(format!("{}: {link}", shown(&page)));
            } else if !anchor.is_empty() && is_page(&target) && !anchors(&target).contains(&anchor.to_owned()) {
                broken.push(format!("{}: {link} (no such heading)", shown(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_of_docs_is_reachable_from_its_index() {
    let docs = repository().join("docs");
    let index = fs::read_to_string(docs.join("README.md")).expect("docs/README.md is the index");
    let listed: Vec<PathBuf> = links(&index).map(|link| docs.join(link)).collect();
    let lost: Vec<String> = pages()
        .filter(|page| page.starts_with(&docs) && *page != docs.join("README.md"))
        .filter(|page| !listed.contains(page))
        .map(|page| shown(&page))
        .collect();
    assert!(lost.is_empty(), "docs/README.md does not link to {lost:?}");
}

#[test]
fn the_readme_begins_with_what_kheeper_is_and_two_commands() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let top: String = readme.lines().take(20).collect::<Vec<_>>().join("\n");
    for command in ["./demo", "./test"] {
        assert!(top.contains(command), "the first 20 lines of README.md do not name {command}");
        assert!(repository().join(command).is_file(), "{command} does not exist");
    }
}

fn pages() -> impl Iterator<Item = PathBuf> {
    files().expect("the repository can be read").into_iter().filter(|path| is_page(path))
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The targets of `[text](target)` outside code blocks.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()))
}

/// What a heading's anchor is called: lower case, letters, digits, `-` and `_`, blanks as `-`.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page can be read");
    let headings = prose(&text).filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            return false;
        }
        !in_code
    })
}

#[test]
fn a_heading_becomes_the_anchor_that_readers_link_to() {
    assert_eq!(slug("Restore: onto `web-02`, as owner"), "restore-onto-web-02-as-owner");
}

#[test]
fn every_claim_of_the_threat_model_names_a_test_that_exists() {
    let page = fs::read_to_string(repository().join("docs/threat-model.md")).expect("there is a threat model");
    let wrong = unproven(&page);
    assert!(wrong.is_empty(), "docs/threat-model.md:\n{}", wrong.join("\n"));
}

#[test]
fn no_page_puts_a_token_on_a_command_line() {
    // Every local user can read the arguments of a program while it runs.
    let shows = |line: &str| line.contains("hosts join kjt1") || line.contains("Bearer $(");
    let wrong: Vec<String> = pages()
        .flat_map(|page| {
            let text = fs::read_to_string(&page).expect("a page can be read");
            let lines = text.lines().filter(|line| shows(line)).map(|line| format!("{}: {line}", shown(&page)));
            lines.collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "a token goes through standard input:\n{}", wrong.join("\n"));
}

/// Tests that are named and are not there, and claims (rows of a table that ends with `Proven by`) without one.
fn unproven(page: &str) -> Vec<String> {
    let mut wrong: Vec<String> = quoted(page).filter_map(missing).collect();
    let mut claims = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let proof = cells.last().copied().unwrap_or_default();
        if !line.starts_with('|') {
            claims = false;
        } else if proof == "Proven by" {
            claims = true;
        } else if claims && !proof.starts_with("---") {
            let named = quoted(proof).any(|name| name.contains(".rs"));
            if !named && !proof.starts_with("no test") {
                wrong.push(format!("no test stands behind: {}", cells[0]));
            }
        }
    }
    wrong
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Why `path/of.rs::name`, or `path/of.rs`, names no test; none for anything else.
fn missing(named: &str) -> Option<String> {
    let (path, test) = named.split_once("::").unwrap_or((named, ""));
    // `control/caller.rs`, in the middle of a sentence, is a place in the code.
    if !path.ends_with(".rs") || !(path.starts_with("tests/") || path.starts_with("crates/")) {
        return None;
    }
    let Ok(source) = fs::read_to_string(repository().join(path)) else {
        return Some(format!("there is no {path}"));
    };
    if test.is_empty() {
        return Some(format!("{path} is a file, and no test"));
    }
    (!is_test(&source, test)).then(|| format!("{path} has no test {test}"))
}

/// Whether a source has a function of that name, marked as a test.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let signature = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let marks = lines[..at].iter().rev().take_while(|above| above.starts_with("#["));
        line.contains(&signature) && marks.into_iter().any(|mark| mark.ends_with("test]") || mark.contains("test("))
    })
}

#[test]
fn a_claim_without_a_test_or_with_one_that_is_gone_is_found() {
    let here = "tests/tidy/tests/tidy/docs.rs::a_claim_without_a_test_or_with_one_that_is_gone_is_found";
    let page = format!(
        "| Cannot | Proven by |\n|---|---|\n| a | `{here}` |\n| b | no test: why |\n| c | trust us |\n| d | `{here}_now` |\n\
         | e | `tests/tidy/tests/tidy/docs.rs` |\n| f | `tests/tidy/tests/tidy/docs.rs::is_test` |\n"
    );
    let wrong = unproven(&page);
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    assert!(wrong[0].contains("is_found_now") && wrong[3].ends_with(": c"), "{wrong:?}");
    assert!(wrong[1].ends_with("is a file, and no test") && wrong[2].ends_with("has no test is_test"), "{wrong:?}");
}
