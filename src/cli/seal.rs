//! `postrider seal`: the secrets of a store under the master key of the configuration, or under none.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Context, Exit, Failure, output, shown};
use crate::daemon;
use crate::store::StoreError;
use crate::store::sqlite::{MasterKey, lock, reseal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  (umask 077; openssl rand -hex 32 > master.key)    then in config.toml: store.master_key_file
  postrider seal                                    seals the store as it is
  postrider seal --was old.key                      from another master key to that of config.toml

Signing keys and the values of extra headers are sealed; tokens are hashes anyway, and bodies, URLs
and answers are not touched. The daemon must not run. The file is written anew, so that nothing of
what it held stays behind: there must be room for it twice. Older backups hold the secrets still.
A store that is made while store.master_key_file is set is sealed from its beginning. Without that
setting, --was takes the seal away. Keep the master key apart from the store and its backups, and do
not lose it: nobody can unseal without it.")]
pub struct Arguments {
    /// The master key that the store is sealed with so far, if it is sealed
    #[arg(long, value_name = "FILE")]
    was: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Failure> {
    let path = context.store_path();
    if !path.exists() {
        return Err(Failure::new(Exit::NotFound, format!("there is no store {} yet", shown(path))));
    }
    let read = |file: Option<&PathBuf>| file.map(|file| MasterKey::read(file)).transpose();
    let wanted = &context.loaded.config.store.master_key_file;
    if wanted.is_none() && arguments.was.is_none() {
        let text = "store.master_key_file names no master key to seal with; --help says how to make one";
        return Err(Failure::new(Exit::Config, text));
    }
    let (from, to) = (read(arguments.was.as_ref()), read(wanted.as_ref()));
    let keys = from.and_then(|from| to.map(|to| (from, to)));
    let (from, to) = keys.map_err(|what| Failure::from(StoreError::Sealed(what)))?;
    let _lock = lock(path).map_err(|error| Failure::from(daemon::locked(path, error)))?;
    let changed = reseal(path, from.as_ref(), to.as_ref())?;
    let (place, how) = (shown(path), if to.is_some() { "sealed" } else { "not sealed" });
    match (context.json, changed) {
        (true, _) => output::json(&json!({"sealed": to.is_some(), "secrets": changed}))?,
        (false, Some(secrets)) => output::line(&format!("{place} is {how} now: {secrets} secrets"))?,
        (false, None) => output::line(&format!("{place} was {how} already"))?,
    }
    Ok(Exit::Done)
}
