//! The cluster that a command speaks to.

use std::path::PathBuf;

use clap::Args;
use kube::Client;

use crate::cli::Failure;
use crate::controller::connect;

/// How a cluster is reached: as `kubectl` would, if nothing is said.
#[derive(Debug, Args)]
pub struct Reach {
    /// The kubeconfig of the cluster
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long)]
    context: Option<String>,
}

impl Reach {
    /// A client of that cluster.
    pub async fn client(&self) -> Result<Client, Failure> {
        connect(self.kubeconfig.clone(), self.context.clone()).await.map_err(Failure::new)
    }
}
