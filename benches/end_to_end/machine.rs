//! What the machine says: time of processors, memory, bytes written, and how long its disk takes to sync.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A process, as `/proc` knows it.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    fn read(self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }

    /// Time of processors that all its threads used.
    pub fn processor(self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        // In nanoseconds, where /proc/PID/stat has hundredths of a second; of threads that are gone it tells nothing.
        let of_task = |path: std::path::PathBuf| -> u64 {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
        };
        Duration::from_nanos(tasks.map(|task| of_task(task.path())).sum())
    }

    /// What it has in memory now, and had at most, in bytes.
    pub fn memory(self) -> (u64, u64) {
        let status = self.read("status");
        (field(&status, "VmRSS:") << 10, field(&status, "VmHWM:") << 10)
    }

    /// Only for root: what it has at most begins anew.
    pub fn forget_peak(self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    /// Bytes that it caused to be written to a disk.
    pub fn written(self) -> u64 {
        field(&self.read("io"), "write_bytes:")
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How long an append of 4 KiB with fdatasync takes in this folder: half of them, and 99 of 100.
pub fn sync_of(folder: &Path) -> (Duration, Duration) {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&vec![1; 4 << 20]).expect("room");
    file.sync_all().expect("a disk");
    let mut took: Vec<Duration> = (0..1000)
        .map(|number| {
            let begun = Instant::now();
            file.write_all_at(&[2; 4096], number * 4096).expect("room");
            file.sync_data().expect("a disk");
            begun.elapsed()
        })
        .collect();
    took.sort();
    let _ = std::fs::remove_file(path);
    (took[500], took[990])
}

/// All that stands in a folder, in bytes.
pub fn size_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|found| found.len()).sum()
}
