//! `portcullis uninstall`: nothing of ours stays that could stand in anybody's way.

use std::io::{self, Write};

use clap::Args;

use crate::cli::reach::Reach;
use crate::cli::{Exit, Failure, runtime};
use crate::controller::now;
use crate::controller::uninstall::{Place, holder, remove_crds, remove_state, remove_webhooks};

/// Removes what the server made in a cluster: the webhooks first, then its Secret and Lease.
///
/// Stop the server before, or it registers again. Policies stay, unless --crds is given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis uninstall
  portcullis uninstall --crds     # and every policy with them")]
pub struct UninstallArgs {
    /// Removes the CustomResourceDefinitions too, and with them every policy, binding and BreakGlass
    #[arg(long)]
    crds: bool,
    /// Goes on although a server runs
    #[arg(long)]
    force: bool,
    /// The namespace of the server
    #[arg(long, default_value = "portcullis-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// The Secret that keeps the certificate
    #[arg(long, default_value = "portcullis-tls")]
    certificate_secret: String,
    /// The Lease
    #[arg(long, default_value = "portcullis")]
    lease: String,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub fn run(args: &UninstallArgs) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let client = args.reach.client().await?;
        let place = Place { namespace: args.namespace.clone(), lease: args.lease.clone() };
        let running = holder(&client, &place, now()).await.map_err(Failure::new)?;
        if let Some(holder) = running.filter(|_| !args.force) {
            let lease = format!("{}/{}", place.namespace, place.lease);
            return Err(Failure::new(format!(
                "a server runs (`{holder}` holds the Lease {lease}) and would register again: stop it, or use --force"
            )));
        }
        let mut gone = remove_webhooks(&client).await.map_err(Failure::new)?;
        gone.extend(remove_state(&client, &place, &args.certificate_secret).await.map_err(Failure::new)?);
        if args.crds {
            gone.extend(remove_crds(&client).await.map_err(Failure::new)?);
        }
        let out = &mut io::stdout();
        for name in &gone {
            writeln!(out, "removed {name}")?;
        }
        if gone.is_empty() {
            writeln!(out, "there was nothing to remove")?;
        }
        Ok(Exit::Ok)
    })
}
