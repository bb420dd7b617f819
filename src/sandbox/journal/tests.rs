//! What was accepted is known again, wherever the process died; what is damaged is refused in words.

use std::collections::BTreeMap;

use super::*;
use crate::provider::ensuro::policy::Amount;
use crate::sandbox::ensuro;
use crate::sandbox::ensuro::request::{NewPolicy, Resolve};
use crate::sandbox::octamile;
use crate::sandbox::world::tests::{BEGAN, Story, settings};
use crate::sandbox::world::{Command, Decide, Settings};
use crate::time::Span;

/// A life of both machines, with everything that time does in it.
fn life() -> Vec<Entry> {
    let decide = Decide::ApproveAfter { wait: Span::from_seconds(30) };
    let mut story = Story::new(Settings { decide, ..settings() });
    let register = Command::Octamile(octamile::Command::Register {});
    let consumer = story.at(Span::ZERO, register).unwrap().answer["id"].as_str().unwrap().to_owned();
    let (payout, expiration) = (Amount::parse("100").unwrap(), BEGAN + Span::from_hours(2));
    let wanted = NewPolicy { payout, expiration, data: serde_json::Map::new() };
    let made = |story: &mut Story| {
        let done = story.at(Span::from_seconds(1), Command::Ensuro(ensuro::Command::NewPolicy(wanted.clone())));
        done.unwrap().answer["ensuro_id"].as_str().unwrap().to_owned()
    };
    let (first, _second) = (made(&mut story), made(&mut story));
    story.until(Span::from_seconds(2));
    let insure = octamile::Insure {
        consumer,
        product: "vhcl-tprt-1111".to_owned(),
        id: "order-17".to_owned(),
        web_hook: Some("https://partner.example/hook".to_owned()),
    };
    story.at(Span::from_seconds(3), Command::Octamile(octamile::Command::Insure(insure))).unwrap();
    let resolve = Command::Ensuro(ensuro::Command::Resolve(Resolve { ensuro_id: first, payout }));
    story.at(Span::from_seconds(4), resolve.clone()).unwrap();
    story.at(Span::from_seconds(4), resolve).unwrap();
    story.at(Span::from_seconds(5), Command::Advance { by: Span::from_hours(3) }).unwrap();
    story.until(Span::from_hours(4));
    story.entries
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &tempfile::TempDir) -> Opened {
    Journal::open(&folder.path().join("journal.ndjson")).unwrap()
}

fn shape(world: &World) -> String {
    format!("{world:?}")
}

/// The world after the first so many entries.
fn after(entries: &[Entry]) -> World {
    let mut world = World::default();
    for entry in entries {
        world.apply(entry).unwrap();
    }
    world
}

#[test]
fn what_is_read_back_is_what_was_accepted() {
    let (folder, entries) = (folder(), life());
    let mut opened = open(&folder);
    assert_eq!(shape(&opened.world), shape(&World::default()));
    entries.iter().for_each(|entry| opened.journal.accept(entry).unwrap());
    let wanted = after(&entries);
    assert!(wanted.owed().len() >= 5, "it tells of creations, a resolution, a failure and an approval");
    assert_eq!(shape(&open(&folder).world), shape(&wanted));
    let owed: Vec<String> = wanted.owed().iter().map(|it| it.id.clone()).collect();
    owed.iter().for_each(|id| opened.journal.handed(id).unwrap());
    assert_eq!(open(&folder).world.owed(), []);
}

#[test]
fn a_line_that_was_cut_off_is_dropped_wherever_it_was_cut() {
    let (model, entries) = (folder(), life());
    let mut opened = open(&model);
    entries.iter().for_each(|entry| opened.journal.accept(entry).unwrap());
    let bytes = std::fs::read(model.path().join("journal.ndjson")).unwrap();
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // Within the last two lines everywhere, and before the end of each of the others.
    let cuts = (ends[ends.len() - 3]..bytes.len()).step_by(7).chain(ends.iter().map(|end| end - 1)).chain([0, 1]);
    let folder = folder();
    let path = folder.path().join("journal.ndjson");
    for cut in cuts {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let mut opened = Journal::open(&path).unwrap();
        let kept = ends.get(whole.wrapping_sub(1)).copied().unwrap_or(0);
        assert_eq!(opened.dropped, (cut - kept) as u64, "cut at {cut}");
        let known = whole.saturating_sub(1);
        assert_eq!(shape(&opened.world), shape(&after(&entries[..known])), "cut at {cut}");
        // And it goes on from there.
        entries[known..].iter().for_each(|entry| opened.journal.accept(entry).unwrap());
        assert_eq!(shape(&Journal::open(&path).unwrap().world), shape(&after(&entries)), "cut at {cut}");
    }
}

#[test]
fn damage_is_told_with_its_line() {
    let (folder, entries) = (folder(), life());
    let path = folder.path().join("journal.ndjson");
    let mut opened = open(&folder);
    entries.iter().for_each(|entry| opened.journal.accept(entry).unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Journal::open(&path).map(|_| ()).unwrap_err()
    };
    let mut lines: Vec<&str> = text.lines().collect();
    let spoiled = lines[3].replace("100.000000", "a hundred");
    assert_ne!(spoiled, lines[3]);
    lines[3] = &spoiled;
    let said = told(&(lines.join("\n") + "\n"));
    assert!(said.contains("is damaged at line 4") && said.contains("an amount is a decimal"), "{said}");
    // A line that is missing: what follows from it cannot follow.
    let missing: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| line).collect();
    let said = told(&(missing.join("\n") + "\n"));
    assert!(said.contains("is damaged at line") && said.contains("ticket"), "{said}");
    assert!(told("{\"event\": 1}\n").contains("is no journal of a sandbox"));
    assert!(told("hello\n").contains("is no journal of a sandbox"));
    assert!(told("{\"sandbox_journal\":2}\n").contains("is of version 2"));
    assert!(told("{\"sandbox_journal\":1}\n{\"sandbox_journal\":1}\n").contains("a journal begins once"));
}

/// The daemon's store, as far as ids go: what it has once, it has as it is.
#[derive(Default)]
struct Daemon(BTreeMap<String, Vec<u8>>);

impl Daemon {
    fn enqueue(&mut self, id: &str, body: &[u8]) {
        let known = self.0.entry(id.to_owned()).or_insert_with(|| body.to_vec());
        assert_eq!(known, body, "the same id is the same notification");
    }
}

/// One after another, the way of each entry: journal, world, daemon, and the note that the daemon has it.
struct Life<'a> {
    entries: &'a [Entry],
    daemon: &'a mut Daemon,
    steps: usize,
}

impl Life<'_> {
    /// Whether there is a step left before the kill.
    fn step(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        Some(())
    }

    /// `None`: it was killed.
    fn live(&mut self, path: &Path) -> Option<()> {
        let Opened { mut journal, mut world, .. } = Journal::open(path).unwrap();
        for notification in world.owed().to_vec() {
            self.step()?;
            self.daemon.enqueue(&notification.id, &notification.body);
            self.step()?;
            journal.handed(&notification.id).unwrap();
            world.handed(&notification.id);
        }
        let known = std::fs::read_to_string(path).unwrap().matches("\"accepted\"").count();
        for entry in &self.entries[known..] {
            self.step()?;
            journal.accept(entry).unwrap();
            self.step()?;
            let Some(notification) = world.apply(entry).unwrap().notification else { continue };
            self.step()?;
            self.daemon.enqueue(&notification.id, &notification.body);
            self.step()?;
            journal.handed(&notification.id).unwrap();
            world.handed(&notification.id);
        }
        Some(())
    }
}

#[test]
fn a_kill_between_any_two_steps_loses_nothing_and_doubles_nothing() {
    let entries = life();
    let wanted: BTreeMap<String, Vec<u8>> =
        after(&entries).owed().iter().map(|it| (it.id.clone(), it.body.clone())).collect();
    for steps in 0..entries.len() * 4 {
        let folder = folder();
        let path = folder.path().join("journal.ndjson");
        let mut daemon = Daemon::default();
        let killed = Life { entries: &entries, daemon: &mut daemon, steps }.live(&path).is_none();
        Life { entries: &entries, daemon: &mut daemon, steps: usize::MAX }.live(&path).unwrap();
        assert_eq!(daemon.0, wanted, "killed after {steps} steps");
        assert_eq!(open(&folder).world.owed(), []);
        if !killed {
            return;
        }
    }
    panic!("it was killed at every step, and never lived through");
}
