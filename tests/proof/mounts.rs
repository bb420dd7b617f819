//! File systems made for a fault: images on loop devices and small ones in memory, gone again with the value that stands for
//! them. All of it needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Why nothing can be mounted here, if so.
pub fn cannot() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("file systems can only be mounted by root".to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disk.img");
    let tried = Mount::new(&folder.path().join("memory"), &["-t", "tmpfs", "-o", "size=1m", "none"])
        .and_then(|_| image(&file, 8, &["mkfs.ext4", "-q"]))
        .and_then(|()| Mount::new(&folder.path().join("loop"), &["-o", "loop", file.to_str().unwrap()]));
    tried.err().map(|why| format!("file systems cannot be mounted here: {why}"))
}

/// What a command is put behind to have mounts of its own, and with `net` a network of its own; or why that cannot be.
pub fn unshare(net: bool) -> Result<Vec<&'static str>, String> {
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let net: &[&str] = if net { &["--net"] } else { &[] };
    let all = [&["unshare"], user, net, &["--mount"]].concat();
    let tried = [&all[1..], &["true"]].concat();
    tool("unshare", &tried).map(|_| all).map_err(|why| format!("no namespace of one's own can be made: {why}"))
}

/// Runs a program of the system to its end.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A mounted file system.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// An image or a kind of file system at a folder, which is made if need be.
    pub fn new(at: &Path, arguments: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let mut all = arguments.to_vec();
        all.push(at.to_str().expect("a path in plain text"));
        tool("mount", &all)?;
        Ok(Mount { at: at.to_owned() })
    }

    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap();
        if let Err(held) = tool("umount", &[at]) {
            // Somebody has a file open there still; it goes with them.
            eprintln!("{held}");
            let _ = tool("umount", &["-l", at]);
        }
    }
}

/// An image of so many megabytes that holds an empty file system, as `mkfs.KIND` makes it.
pub fn image(file: &Path, megabytes: u64, mkfs: &[&str]) -> Result<(), String> {
    let made = std::fs::File::create(file).and_then(|made| made.set_len(megabytes << 20));
    made.map_err(|error| format!("{}: {error}", file.display()))?;
    let mut all = mkfs[1..].to_vec();
    all.push(file.to_str().expect("a path in plain text"));
    tool(mkfs[0], &all).map(drop)
}
