//! Disks that do not take what is written: full, limited, read-only, without permission. Intake refuses in words, nothing is
//! acknowledged that is not kept, and all goes on by itself when there is room.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postrider::store::NewEndpoint;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::campaign::{Campaign, Figures};
use crate::client::Api;
use crate::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides, program, wait_for};
use crate::load::{Load, address, event_of};
use crate::mounts::{self, Mount};
use crate::receivers::{Answer, Receiver};

const PADDING: usize = 2_000;
/// Less is left there than what a daemon wants free, by default, to call itself ready.
const ON_DISK: &str = "[store]\npath = \"disk/postrider.db\"\n[api]\nmin_free_disk_bytes = 0\n";
/// Lines of log above debug that one trouble may make.
const CALM: usize = 60;

pub fn run(campaign: &Campaign) -> Figures {
    let worst_of = "from room to the next acknowledgement".to_owned();
    let mut figures = Figures { worst_of, events: Some(0), lost: Some(0), duplicated: Some(0), ..Figures::default() };
    let rounds = campaign.pick(2, 8);
    let limited = Stand::new(None);
    limited.suffer(rounds, &mut figures, &mut Limit);
    verbs_without_room(&mut figures);
    if let Some(why) = mounts::cannot() {
        figures.skip(why);
        return figures;
    }
    Stand::new(Some(48)).suffer(rounds, &mut figures, &mut Filler);
    for _ in 0..campaign.pick(1, 5) {
        turned_read_only(&mut figures);
    }
    figures
}

/// A way in which a disk stops to take what is written.
trait Trouble {
    fn begin(&mut self, stand: &Stand);
    fn end(&mut self, stand: &Stand);
    fn name(&self) -> &'static str;
}

/// A limit on the size of files, beyond which a write raises SIGXFSZ.
struct Limit;

impl Trouble for Limit {
    fn begin(&mut self, stand: &Stand) {
        limit_files(&stand.daemon, Some(4096));
    }

    fn end(&mut self, stand: &Stand) {
        limit_files(&stand.daemon, None);
    }

    fn name(&self) -> &'static str {
        "a limit on file sizes"
    }
}

fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    prlimit(Some(daemon.handle()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Another file that takes all there is.
struct Filler;

impl Trouble for Filler {
    fn begin(&mut self, stand: &Stand) {
        let filled = std::fs::write(stand.disk().join("filler"), vec![1; 64 << 20]);
        assert!(filled.is_err(), "the disk is larger than it should be");
    }

    fn end(&mut self, stand: &Stand) {
        std::fs::remove_file(stand.disk().join("filler")).unwrap();
    }

    fn name(&self) -> &'static str {
        "a full disk"
    }
}

/// A daemon under load, on a disk of its own if it has a size. The fields are dropped in this order.
struct Stand {
    load: Load,
    daemon: Daemon,
    receiver: Receiver,
    mount: Option<Mount>,
    home: Home,
}

impl Stand {
    fn new(megabytes: Option<u64>) -> Self {
        let mut home = Home::new();
        let mount = megabytes.map(|megabytes| {
            let size = format!("size={megabytes}m");
            Mount::new(&home.path().join("disk"), &["-t", "tmpfs", "-o", &size, "none"]).unwrap()
        });
        if mount.is_some() {
            home.reconfigure(&format!("{LENIENT}{ON_DISK}"));
        }
        let receiver = Receiver::start(|request| Answer::status(if request.number % 5 == 0 { 500 } else { 200 }));
        home.add(NewEndpoint { overrides: overrides(&[20; 100]), ..endpoint("acme", &receiver.url()) });
        let daemon = Daemon::start(&home);
        let load = Load::start("load", 3, Duration::from_millis(40), PADDING);
        load.aim(&daemon);
        Stand { load, daemon, receiver, mount, home }
    }

    fn disk(&self) -> std::path::PathBuf {
        self.mount.as_ref().expect("a disk of its own").at().to_owned()
    }

    fn suffer(mut self, rounds: u64, figures: &mut Figures, trouble: &mut dyn Trouble) {
        let api = Api::at(&address(&self.daemon));
        for _ in 0..rounds {
            self.wait_for_more(10);
            trouble.begin(&self);
            let refused = self.load.refused();
            let wanted = format!("a refusal under {}", trouble.name());
            wait_for(&wanted, PATIENCE, || (self.load.refused() > refused + 5).then_some(()));
            let ready = api.get("/readyz");
            assert_eq!(ready.status, 503, "{}", ready.text());
            assert!(ready.text().contains("postrider.db"), "it does not say why: {}", ready.text());
            let before = self.load.count();
            std::thread::sleep(Duration::from_millis(300));
            assert!(self.daemon.runs(), "under {}: {:#?}", trouble.name(), self.daemon.lines().last());
            trouble.end(&self);
            let freed = Instant::now();
            wait_for("an acknowledgement", PATIENCE, || (self.load.count() > before).then_some(()));
            figures.worse(freed.elapsed());
            wait_for("ready again", PATIENCE, || (api.get("/readyz").status == 200).then_some(()));
            figures.cycles += 1;
        }
        let refused = self.load.refused();
        let acknowledged = self.load.stop();
        self.home.hurry();
        self.home.wait_until_settled();
        let lines = self.daemon.stop();
        self.home.check_integrity();
        let telling = lines.iter().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
        let telling = telling.filter(|line| line.contains("store")).count();
        assert!(telling < CALM * rounds as usize, "{telling} lines about {rounds} troubles");
        assert!(!lines.iter().any(|line| line.contains("panicked")));
        let accepted = self.receiver.requests().into_iter().filter(|request| request.number % 5 != 0);
        let arrived: Vec<String> = accepted.map(|request| event_of(&request, PADDING)).collect();
        let different: BTreeSet<&String> = arrived.iter().collect();
        let lost = acknowledged.iter().filter(|id| !different.contains(id)).count();
        assert_eq!(lost, 0, "of {} acknowledged under {}", acknowledged.len(), trouble.name());
        assert_eq!(arrived.len(), different.len(), "an outcome that is known is kept until it can be written");
        *figures.events.as_mut().unwrap() += acknowledged.len() as u64;
        figures.note(format!("{}: {refused} refused", trouble.name()));
    }

    fn wait_for_more(&self, more: usize) {
        let before = self.load.count();
        wait_for("more acknowledged", PATIENCE, || (self.load.count() >= before + more).then_some(()));
    }
}

/// The kernel turns a file system read-only when it finds an error in it, whoever has files open there. The daemon refuses or
/// ends, in words; mounted anew, everything is there.
fn turned_read_only(figures: &mut Figures) {
    let mut home = Home::new();
    let image = home.path().join("disk.img");
    mounts::image(&image, 64, &["mkfs.ext4", "-q"]).unwrap();
    let insert = |home: &Home| {
        let options = ["-o", "loop,errors=remount-ro", image.to_str().unwrap()];
        Mount::new(&home.path().join("disk"), &options).unwrap()
    };
    let mount = insert(&home);
    home.reconfigure(&format!("{LENIENT}{ON_DISK}"));
    let receiver = Receiver::start(|_| Answer::status(200));
    home.add(NewEndpoint { overrides: overrides(&[20; 100]), ..endpoint("acme", &receiver.url()) });
    let mut daemon = Daemon::start(&home);
    let load = Load::start("load", 3, Duration::from_millis(10), PADDING);
    load.aim(&daemon);
    wait_for("some acknowledged", PATIENCE, || (load.count() > 50).then_some(()));
    let device = mounts::tool("findmnt", &["-n", "-o", "SOURCE", mount.at().to_str().unwrap()]).unwrap();
    let device = device.trim().rsplit('/').next().unwrap().to_owned();
    std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    assert!(std::fs::write(mount.at().join("more"), "1").is_err(), "{device} still takes files");
    let refused = load.refused();
    wait_for("a refusal or an end", PATIENCE, || (load.refused() > refused + 5 || !daemon.runs()).then_some(()));
    let before = load.count();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(load.count(), before, "acknowledged on a read-only disk");
    let lines = match daemon.runs() {
        true => daemon.lines(),
        false => {
            let status = daemon.wait();
            assert!([Some(70), Some(74)].contains(&status.code()), "{status}");
            daemon.lines()
        }
    };
    assert!(lines.iter().any(|line| line.contains("disk") && line.contains("postrider.db")), "{:?}", lines.last());
    assert!(!lines.iter().any(|line| line.contains("panicked")));
    daemon.kill9();
    drop(mount);
    let _mount = insert(&home);
    let daemon = Daemon::start(&home);
    load.aim(&daemon);
    wait_for("more acknowledged", PATIENCE, || (load.count() > before + 50).then_some(()));
    let acknowledged = load.stop();
    home.hurry();
    home.wait_until_settled();
    daemon.stop();
    home.check_integrity();
    let arrived: Vec<String> = receiver.requests().iter().map(|request| event_of(request, PADDING)).collect();
    let different: BTreeSet<&String> = arrived.iter().collect();
    let lost = acknowledged.iter().filter(|id| !different.contains(id)).count();
    assert_eq!(lost, 0, "of {} acknowledged, on a disk that turned read-only", acknowledged.len());
    *figures.events.as_mut().unwrap() += acknowledged.len() as u64;
    *figures.duplicated.as_mut().unwrap() += (arrived.len() - different.len()) as u64;
    figures.cycles += 1;
}

/// What each verb that writes does under a limit of nothing: words and a status.
fn verbs_without_room(figures: &mut Figures) {
    let verbs: [&[&str]; 5] = [
        &["serve"],
        &["enqueue", "--endpoint", "acme", "--type", "thing.happened", "body.json"],
        &["endpoint", "pause", "acme"],
        &["endpoint", "remove", "acme", "--yes"],
        &["token", "add", "shop", "--scope", "read"],
    ];
    for verb in verbs {
        let home = Home::new();
        home.add(endpoint("acme", "http://127.0.0.1:9/hook"));
        std::fs::write(home.path().join("body.json"), "{}").unwrap();
        let inner = program(&home);
        let mut limited = Command::new("timeout");
        limited.args(["20", "sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"]);
        limited.arg(inner.get_program()).args(inner.get_args()).args(verb).current_dir(home.path());
        let output = limited.stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{verb:?}: {}: {words}", output.status);
        let last = words.lines().last().unwrap_or_default();
        assert!(last.len() > 30 && !words.contains("panicked"), "{verb:?}: {words}");
        home.check_integrity();
        figures.cycles += 1;
    }
}
