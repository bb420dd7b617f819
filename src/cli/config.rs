//! `postrider config`: whether the configuration holds, and where each value comes from.

use std::path::Path;

use serde_json::{Value, json};

use super::output::{self, Table};
use super::{Context, Exit, Failure, shown};
use crate::config::{Loaded, Setting};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider config check
  postrider --config new.toml config show")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check the configuration: every problem at once, each with its place
    #[command(after_help = "Example:\n  postrider --config new.toml config check && systemctl restart postrider")]
    Check,
    /// Show every setting with its value and who had the last word on it
    #[command(after_help = "Example:\n  postrider config show --json")]
    Show,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    // A configuration that does not hold has ended the run before.
    let loaded = &context.loaded;
    match arguments.verb {
        Verb::Check => check(loaded, context.json)?,
        Verb::Show => show(loaded, context.json)?,
    }
    Ok(Exit::Done)
}

fn check(loaded: &Loaded, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&json!({"file": file(loaded), "warnings": loaded.warnings}));
    }
    for warning in &loaded.warnings {
        output::note(&format!("warning: {warning}"));
    }
    match &loaded.file {
        Some(path) => output::line(&format!("{} holds", shown(path))),
        None => output::line("no configuration file was found; the defaults hold"),
    }
}

fn show(loaded: &Loaded, json: bool) -> Result<(), Failure> {
    if json {
        let setting = |setting: &Setting| json!({"key": setting.key, "value": value(&setting.value), "origin": setting.origin.to_string()});
        let settings: Vec<Value> = loaded.settings.iter().map(setting).collect();
        return output::json(&json!({"file": file(loaded), "settings": settings}));
    }
    let mut table = Table::new(&["setting", "value", "from"]);
    for setting in &loaded.settings {
        table.row(vec![setting.key.to_owned(), setting.value.clone(), setting.origin.to_string()]);
    }
    table.print()
}

fn file(loaded: &Loaded) -> Option<String> {
    loaded.file.as_deref().map(Path::to_string_lossy).map(String::from)
}

/// As a number, flag, text or list: what TOML writes for those is JSON too, but for some escapes.
fn value(toml: &str) -> Value {
    serde_json::from_str(toml).unwrap_or_else(|_| Value::from(toml))
}
