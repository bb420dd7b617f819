//! Row `mutations`: each promise is broken in a copy of the source, and the tests that hold it must go red.
//! A mutation that no test sees, one that does not compile, and one whose place in the source is gone all fail the row. The
//! quick run only looks that each place still stands; the long one builds and tests the copy below `target/mutations`.

mod list;
mod workshop;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::campaign::{Campaign, Figures, Scale};
use list::mutations;
use workshop::{Ended, Workshop};

/// One way to break one promise.
pub struct Mutation {
    pub name: &'static str,
    pub changes: &'static [Change],
    /// Each of these must go red by itself; there is at least one.
    pub caught_by: &'static [Suite],
}

/// `old` stands in `file` exactly once.
pub struct Change {
    pub file: &'static str,
    pub old: &'static str,
    pub new: &'static str,
}

/// One test, by its full name, or a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// Of the library's own.
    Unit(&'static str),
    /// Of `tests/it`.
    It(&'static str),
    /// A row of this campaign, the quick one.
    Row(&'static str),
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::Unit(name) | Suite::It(name) | Suite::Row(name) => name,
        }
    }
}

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chosen = chosen();
    for mutation in &chosen {
        assert!(!mutation.caught_by.is_empty() && !mutation.changes.is_empty(), "{}", mutation.name);
        mutated(root, mutation).unwrap_or_else(|wrong| panic!("{}: {wrong}", mutation.name));
    }
    match campaign.scale {
        Scale::Quick => {
            figures.cycles = chosen.len() as u64;
            figures.note(format!("all {} places stand; only the long campaign breaks them", chosen.len()));
        }
        Scale::Long => break_each(campaign, root, &chosen, &mut figures),
    }
    figures
}

/// All of them, or those whose names hold a text of `POSTRIDER_MUTATION`, which has commas between.
fn chosen() -> Vec<&'static Mutation> {
    let wanted = std::env::var("POSTRIDER_MUTATION").unwrap_or_default();
    let chosen: Vec<&Mutation> =
        mutations().filter(|mutation| wanted.split(',').any(|part| mutation.name.contains(part))).collect();
    assert!(!chosen.is_empty(), "no mutation is named like {wanted:?}");
    chosen
}

/// The files that a mutation changes, as they are then.
fn mutated(root: &Path, mutation: &Mutation) -> Result<Vec<(PathBuf, String)>, String> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for change in mutation.changes {
        let path = PathBuf::from(change.file);
        let place = match files.iter().position(|(known, _)| *known == path) {
            Some(place) => place,
            None => {
                let text =
                    std::fs::read_to_string(root.join(&path)).map_err(|why| format!("{}: {why}", change.file))?;
                files.push((path, text));
                files.len() - 1
            }
        };
        let text = &mut files[place].1;
        match text.matches(change.old).count() {
            1 => *text = text.replacen(change.old, change.new, 1),
            count => return Err(format!("{} has {count} times {:?}, not once", change.file, change.old)),
        }
    }
    Ok(files)
}

fn break_each(campaign: &Campaign, root: &Path, chosen: &[&'static Mutation], figures: &mut Figures) {
    let Some(shop) = Workshop::open(root) else {
        figures.skip("there is no cargo to build mutated sources with");
        return;
    };
    let all: BTreeSet<Suite> = chosen.iter().flat_map(|mutation| mutation.caught_by.iter().copied()).collect();
    let green = shop.test(&all.iter().copied().collect::<Vec<_>>());
    // A test that is red anyway would catch everything.
    assert!(matches!(green, Ended::Green), "without any mutation: {green:?}");
    let mut missed = Vec::new();
    for (done, mutation) in (1..).zip(chosen) {
        campaign.progress(done, chosen.len() as u64, mutation.name);
        shop.write(&mutated(root, mutation).expect("looked at before"));
        match shop.test(mutation.caught_by) {
            Ended::Red(red) => {
                let blind: Vec<&str> =
                    mutation.caught_by.iter().map(|suite| suite.name()).filter(|name| !red.contains(*name)).collect();
                println!(
                    "caught: {}\n        by {}",
                    mutation.name,
                    red.iter().cloned().collect::<Vec<_>>().join(", ")
                );
                if !blind.is_empty() {
                    missed.push(format!("{}: not by {}", mutation.name, blind.join(", ")));
                }
            }
            Ended::Green => missed.push(format!("{}: nothing went red", mutation.name)),
            Ended::Unbuilt(why) => missed.push(format!("{}: it does not compile\n{why}", mutation.name)),
        }
        if let Some(last) = missed.last().filter(|last| last.starts_with(mutation.name)) {
            println!("MISSED: {last}");
        }
        shop.restore(mutation.changes.iter().map(|change| Path::new(change.file)));
        figures.cycles += 1;
    }
    assert!(missed.is_empty(), "{} of {} mutations:\n{}", missed.len(), chosen.len(), missed.join("\n"));
    figures.note(format!("{} mutations, each caught", chosen.len()));
}
