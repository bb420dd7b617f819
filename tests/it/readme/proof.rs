//! The chapter on the fault campaign tells of every row that there is, in its words and order, and of none that does not hold.

use std::fs;
use std::path::Path;

use super::chapter;

/// Name and text of each row, as `tests/proof/main.rs` lists them.
fn rows() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/main.rs");
    let source = fs::read_to_string(file).unwrap();
    let list = source.split("const ROWS").nth(1).expect("the list of rows").split("\n];").next().unwrap();
    let texts = |field: &str| -> Vec<String> {
        let joined = list.replace("\\\n", "\n");
        joined
            .split(&format!("{field}: \""))
            .skip(1)
            .map(|rest| rest.split("\",").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let (names, shown) = (texts("name"), texts("shown"));
    assert_eq!(names.len(), shown.len());
    names.into_iter().zip(shown).collect()
}

#[test]
fn every_row_of_the_fault_campaign_stands_in_the_readme_and_holds() {
    let told: Vec<(String, String)> = chapter("Proof")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert!(cells[3].starts_with("holds"), "{line}");
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    assert!(rows().len() >= 15, "{:?}", rows());
    assert_eq!(told, rows());
}
