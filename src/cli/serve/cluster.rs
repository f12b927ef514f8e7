//! Serving the policies of a cluster.

use std::path::PathBuf;

use clap::Args;

use crate::cli::serve::ServeArgs;
use crate::cli::{Exit, Failure};

/// How the cluster is reached, and how it reaches the webhook.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The kubeconfig of the cluster; in a Pod, the cluster it runs in
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    kubeconfig: Option<PathBuf>,
}

/// Serves until told to stop.
pub async fn run(_args: &ServeArgs) -> Result<Exit, Failure> {
    Err(Failure::new("name policies with --policies"))
}
