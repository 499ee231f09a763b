//! `docs/s3-compatibility.md` says what the code does: every operation, header and parameter of the lists is on the page.

use std::collections::BTreeSet;

use kheeper_s3::OperationKind;
use kheeper_s3::header::{HEADER_POLICY, Policy, QUERY_POLICY};

const PAGE: &str = include_str!("../../../docs/s3-compatibility.md");

/// What stands between backticks in a part of the page.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn section(title: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    after.split_once("\n## ").map_or(after, |(section, _)| section)
}

#[test]
fn every_operation_is_in_the_table_of_operations() {
    let words: BTreeSet<&str> = section("Operations")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split([',', ' ', '(', ')']))
        .collect();
    for kind in OperationKind::ALL {
        assert!(words.contains(kind.name()), "{kind} is not in the table");
    }
}

#[test]
fn every_parameter_is_on_the_page_and_the_refused_ones_are_called_so() {
    let parameters = section("Sub-resources and query parameters");
    let (accepted, refused) = parameters.split_once("Always refused").expect("the list of what is refused");
    for (name, policy) in QUERY_POLICY {
        let part = if *policy == Policy::Refuse { refused } else { accepted };
        assert!(quoted(part).contains(name), "{name}: {policy:?}");
    }
    for name in quoted(refused) {
        let listed = QUERY_POLICY.iter().any(|(known, policy)| *known == name && *policy == Policy::Refuse);
        assert!(listed, "the page says that {name} is refused");
    }
}

#[test]
fn every_header_is_in_the_table_of_headers() {
    let names = quoted(section("Request headers"));
    for (name, policy) in HEADER_POLICY {
        assert!(names.contains(name), "{name}: {policy:?}");
        if let Policy::Values(values) = policy {
            for value in values.iter() {
                assert!(names.contains(value), "{name}: {value}");
            }
        }
    }
}

#[test]
fn every_row_says_what_there_is_here_and_what_in_aws() {
    let (mut columns, mut rows) = (0, 0);
    for line in PAGE.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
            // The line below a table's head, or the end of the table.
            columns = if line.starts_with("|---") { columns } else { 0 };
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if columns == 0 {
            columns = cells.len();
            continue;
        }
        assert_eq!(cells.len(), columns, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
        rows += 1;
    }
    assert!(rows > 70, "only {rows} rows were found");
    for table in ["Operations", "Request headers", "Errors"] {
        assert!(section(table).contains("| Here | In AWS |"), "{table} has another head");
    }
}
