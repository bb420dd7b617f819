//! Libraries in C that stand between the daemon and the kernel, compiled where they are used.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes every sync of a file an empty word: what an application has that lowers `synchronous`.
pub const NO_SYNC: &str = include_str!("preload/no_sync.c");

/// Fails one call that changes or syncs a file of the store, or all from one on; see its own words.
pub const FAILING: &str = include_str!("preload/failing.c");

/// For `LD_PRELOAD`.
pub fn compile(source: &str, into: &Path, name: &str) -> PathBuf {
    let (text, library) = (into.join(format!("{name}.c")), into.join(format!("{name}.so")));
    std::fs::write(&text, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&text).arg("-ldl");
    let output = compiler.output().expect("a C compiler, which building needs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
