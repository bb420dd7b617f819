//! `postrider serve`: the daemon in the foreground, with its log on stderr.

use super::{Context, Exit, Failure, output};
use crate::api;
use crate::daemon::{self, Ended};
use crate::log::{Format, Level};
use crate::observe::{self, Notice};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider serve
  postrider serve --log-format json --log-level warn 2>> postrider.log
  postrider --config /etc/postrider/config.toml serve

One daemon serves a store; a second one ends with status 75. Other processes may enqueue meanwhile.
SIGTERM and Ctrl-C drain: no new attempts, those in flight end and are recorded, status 0. A second
one stops at once, status 1; what was in flight is then tried again by the next start.")]
pub struct Arguments {
    /// What log lines look like: text or json, instead of the setting log.format
    #[arg(long, value_name = "FORMAT", value_parser = Format::parse)]
    log_format: Option<Format>,
    /// The least grave lines to write: error, warn, info, debug or trace, instead of the setting log.level
    #[arg(long, value_name = "LEVEL", value_parser = Level::parse)]
    log_level: Option<Level>,
}

impl Arguments {
    /// The settings that flags gave, by key.
    pub fn flags(&self) -> Vec<(String, String)> {
        let format = self.log_format.map(|format| ("log.format".to_owned(), format.to_string()));
        let level = self.log_level.map(|level| ("log.level".to_owned(), level.to_string()));
        format.into_iter().chain(level).collect()
    }
}

pub fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let loaded = &context.loaded;
    observe::start(loaded.config.log.format, loaded.config.log.level);
    for warning in &loaded.warnings {
        observe::tell(&Notice::Warning { text: warning });
    }
    match daemon::run(&loaded.config, api::entrance()) {
        Ok(Ended::Drained) => Ok(Exit::Done),
        Ok(Ended::AtOnce) => {
            output::note("stopped at once; what was in flight is tried again by the next start");
            Ok(Exit::No)
        }
        Err(failed) => Err(failed.into()),
    }
}
