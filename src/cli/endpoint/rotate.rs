//! `postrider endpoint rotate`.

use crate::cli::{Context, Exit, Failure, secret, span};
use crate::endpoint::EndpointName;
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; postrider endpoint rotate shop > shop.secret)   makes a secret, printed this once
  postrider endpoint rotate shop --secret-file new.secret --overlap 7days
  postrider endpoint rotate chain --key-file ethereum.key

The new key signs from now on, also what is owed already. Standard: the old key signs beside it
until the overlap ends, so that the receiver can change in between. Ensuro: the header holds one
signature, so the old key ends at once; have the receiver accept both before.")]
pub struct Arguments {
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    #[command(flatten)]
    keys: secret::Arguments,
    /// How long the old key goes on signing beside the new one, up to 30days
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "24h")]
    overlap: Span,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Failure> {
    let texts = arguments.keys.texts(None)?;
    let endpoint = context.source()?.rotate_keys(&arguments.name, &texts, arguments.overlap)?;
    super::changed(&endpoint, "gave a new key to", context)
}
