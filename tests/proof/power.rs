//! Power cuts on a real file system. An image with XFS on a loop device holds an image with ext4, which is mounted again and
//! holds the store. A cut is a reflink of the inner image, made in one moment while the daemon works: it has what was given
//! to the disk, and nothing of what stood in the memory of the inner file system only. What was mounted before is thrown
//! away, and the next daemon goes on from the image.
//!
//! That this can tell is shown each time: the same harness, with every sync made an empty word, must find events lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider::event::EventId;
use postrider::store::{NewEndpoint, Store};

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, LENIENT, endpoint, overrides, program, wait_for};
use crate::load::{Load, event_of};
use crate::mounts::{self, Mount, image, tool};
use crate::preload::{NO_SYNC, compile};
use crate::receivers::{Answer, Receiver};

/// `delivery.concurrency_per_endpoint`.
const IN_FLIGHT: usize = 8;

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { worst_of: "from start to ready".to_owned(), ..Figures::default() };
    if let Some(why) = mounts::cannot() {
        figures.skip(why);
        return figures;
    }
    let cuts = campaign.pick(6, 60);
    let mut stand = match Stand::new(None) {
        Ok(stand) => stand,
        Err(why) => {
            figures.skip(format!("no power cuts can be made here: {why}"));
            return figures;
        }
    };
    let mut dice = campaign.dice(1);
    for cut in 1..=cuts {
        let lost = stand.cut(Duration::from_millis(400 + dice.below(1300)), &mut figures);
        assert!(lost.is_empty(), "cut {cut}: acknowledged and gone: {lost:?}");
        campaign.progress(cut, cuts, "cut");
    }
    figures.events = Some(stand.acknowledged.len() as u64);
    figures.lost = Some(0);
    figures.duplicated = Some(stand.settle());
    let controls = campaign.pick(2, 6);
    let mut control = Stand::new(Some(NO_SYNC)).expect("it was possible before");
    let mut unnoticed = Figures::default();
    let mut lost = 0;
    for _ in 0..controls {
        lost += control.cut(Duration::from_millis(500 + dice.below(1000)), &mut unnoticed).len();
    }
    assert!(lost > 0, "without any sync nothing was lost: this harness cannot tell");
    figures.note(format!(
        "the control, {controls} cuts with every sync made an empty word, lost {lost} of {}",
        control.acknowledged.len() + lost
    ));
    figures
}

/// A disk, the store on it, and whom its events are for. The fields are dropped in this order.
struct Stand {
    disk: Option<Mount>,
    outer: Mount,
    home: Home,
    receiver: Receiver,
    shim: Option<PathBuf>,
    acknowledged: BTreeSet<String>,
    cuts: usize,
    /// Requests that came between a cut and the end of the daemon, which could not know of it.
    late: usize,
}

impl Stand {
    fn new(shim: Option<&str>) -> Result<Self, String> {
        let mut home = Home::new();
        home.reconfigure(&format!("{LENIENT}[store]\npath = \"disk/postrider.db\"\n"));
        let outer_image = home.path().join("outer.img");
        image(&outer_image, 1024, &["mkfs.xfs", "-q", "-m", "reflink=1"])?;
        let outer = Mount::new(&home.path().join("outer"), &["-o", "loop", outer_image.to_str().unwrap()])?;
        let inner = outer.at().join("disk-0.img");
        image(&inner, 96, &["mkfs.ext4", "-q"])?;
        let shim = shim.map(|source| compile(source, home.path(), "shim"));
        let receiver = Receiver::start(|_| Answer::status(200));
        let disk = Some(insert(&home, &inner));
        let stand = Stand { disk, outer, home, receiver, shim, acknowledged: BTreeSet::new(), cuts: 0, late: 0 };
        stand.home.add(NewEndpoint { overrides: overrides(&[20; 100]), ..endpoint("acme", &stand.receiver.url()) });
        // The endpoint is there whatever the shim does.
        tool("sync", &[]).unwrap();
        Ok(stand)
    }

    fn start(&self) -> Daemon {
        let mut command = program(&self.home);
        command.arg("serve");
        if let Some(shim) = &self.shim {
            command.env("LD_PRELOAD", shim);
        }
        let daemon = Daemon::spawn(command);
        daemon.wait_for_line("started");
        daemon
    }

    /// Works for a while, and loses its power; the next start is on what the disk had. Answers what was acknowledged, in this
    /// while, and is not there any more.
    fn cut(&mut self, after: Duration, figures: &mut Figures) -> BTreeSet<String> {
        let daemon = self.start();
        let load = Load::start(&format!("cut-{}", self.cuts), 4, Duration::from_millis(3), 200);
        load.aim(&daemon);
        std::thread::sleep(after);
        let (acknowledged, recorded) = (load.acknowledged(), self.home.counts().delivered);
        let arrived = self.receiver.requests().len();
        let (before, next) = (self.image(self.cuts), self.image(self.cuts + 1));
        tool("cp", &["--reflink=always", before.to_str().unwrap(), next.to_str().unwrap()]).unwrap();
        daemon.kill9();
        self.late += self.receiver.requests().len() - arrived;
        drop(load.stop());
        assert!(acknowledged.len() > 20, "{} events in {after:?} are no load", acknowledged.len());
        drop(self.disk.take());
        std::fs::remove_file(before).unwrap();
        self.disk = Some(insert(&self.home, &next));
        self.cuts += 1;
        figures.cycles += 1;

        self.home.check_integrity();
        let mut store = self.home.store();
        let gone = |id: &&String| store.event(&EventId::parse(id).unwrap()).unwrap().is_none();
        let lost: BTreeSet<String> = acknowledged.iter().filter(gone).cloned().collect();
        drop(store);
        let kept = self.home.counts().delivered;
        assert!(self.shim.is_some() || kept >= recorded, "{recorded} were recorded as delivered, {kept} are");
        self.acknowledged.extend(acknowledged.difference(&lost).cloned());
        let begun = std::time::Instant::now();
        let daemon = self.start();
        figures.worse(begun.elapsed());
        daemon.stop();
        lost
    }

    fn image(&self, number: usize) -> PathBuf {
        self.outer.at().join(format!("disk-{number}.img"))
    }

    /// Everything acknowledged before a cut arrives; how many came twice.
    fn settle(&mut self) -> u64 {
        let daemon = self.start();
        self.home.hurry();
        let patience = Duration::from_secs(120);
        wait_for("nothing pending", patience, || Some(self.home.counts()).filter(|counts| counts.pending == 0));
        daemon.stop();
        self.home.check_integrity();
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for request in self.receiver.requests() {
            *arrived.entry(event_of(&request, 200)).or_default() += 1;
        }
        for id in &self.acknowledged {
            assert!(arrived.contains_key(id), "{id} was acknowledged before a cut, and never arrived");
        }
        let duplicated: usize = arrived.values().map(|times| times - 1).sum();
        assert!(duplicated <= self.cuts * IN_FLIGHT * 2 + self.late, "{duplicated} doubled in {} cuts", self.cuts);
        duplicated as u64
    }
}

/// The inner image, as the folder in which the store lives. Its journal is written when something is synced, and not by the
/// clock.
fn insert(home: &Home, image: &Path) -> Mount {
    Mount::new(&home.path().join("disk"), &["-o", "loop,commit=600", image.to_str().unwrap()]).unwrap()
}
