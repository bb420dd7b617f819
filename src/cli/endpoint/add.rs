//! `postrider endpoint add`.

use super::terms::Terms;
use crate::cli::{Context, Exit, Failure, secret};
use crate::endpoint::{EndpointName, ProfileName};
use crate::event::Subscription;
use crate::operations;
use crate::store::NewEndpoint;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  openssl rand -hex 32 > acme.secret && chmod 600 acme.secret
  postrider endpoint add acme https://acme.example/hook --profile ensuro --secret-file acme.secret
  postrider endpoint add chain https://acme.example/hook --profile ensuro --key-file ethereum.key
  (umask 077; postrider endpoint add acme https://acme.example/hook --profile ensuro \\
      --generate-secret > acme.secret)
  postrider endpoint add broker https://broker.example/certificates --profile octamile
  pass show hooks/shop | postrider endpoint add shop https://shop.example/hook --profile standard \\
      --secret-file - --subscribe 'order/*' --timeout 20s --schedule 5s,5min,30min,2h --success 2xx")]
pub struct Arguments {
    /// What to call it: 1 to 64 characters out of A-Z a-z 0-9 _ -
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    /// Where to POST to
    #[arg(value_name = "URL")]
    url: String,
    /// Whose promises it is served by: ensuro, octamile or standard
    #[arg(long, value_name = "PROFILE", value_parser = ProfileName::parse)]
    profile: ProfileName,
    #[command(flatten)]
    keys: secret::Arguments,
    /// Make a shared secret, and print it this once instead of the endpoint
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env", "key_file"])]
    generate_secret: bool,
    /// An event type (policy/creation) or a family (policy/*) that it wants; all of the profile's, if none is given
    #[arg(long, value_name = "TYPE", value_parser = Subscription::parse)]
    subscribe: Vec<Subscription>,
    #[command(flatten)]
    terms: Terms,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let profile = arguments.profile;
    let texts = match arguments.generate_secret {
        true => {
            // The profiles that are not signed say so.
            operations::scheme_of(profile, false).map_err(|text| Failure::new(Exit::Data, text))?;
            secret::Texts::default()
        }
        false => arguments.keys.needed_texts(profile).map_err(|failure| match arguments.keys.is_empty() {
            true => Failure::new(failure.exit, format!("{}; --generate-secret makes a secret", failure.message)),
            false => failure,
        })?,
    };
    let endpoint = NewEndpoint {
        name: arguments.name,
        url: arguments.url,
        profile,
        subscriptions: arguments.subscribe,
        overrides: arguments.terms.overrides()?,
        keys: vec![],
    };
    let endpoint = context.source()?.add_endpoint(endpoint, &texts)?;
    super::changed(&endpoint, "added", context)
}
