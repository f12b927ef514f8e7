//! Image policies in commands that review objects: registries are asked as the server asks them.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::admission::{Facts, Need, NoCluster, Source};
use crate::cli::images::RegistryArgs;
use crate::cli::{Failure, runtime};
use crate::controller::images::WithImages;
use crate::policy::Request;
use crate::telemetry::Metrics;

/// Asks registries, and waits for what they say.
#[derive(Debug)]
pub struct Verifier {
    runtime: Runtime,
    source: WithImages<NoCluster>,
}

impl Verifier {
    /// With the registries as the arguments say.
    pub fn new(args: &RegistryArgs) -> Result<Verifier, Failure> {
        let (runtime, client) = (runtime()?, Arc::new(args.client()?));
        let source = {
            let _entered = runtime.enter();
            WithImages::new(NoCluster, client, Arc::new(Metrics::new())).patient()
        };
        Ok(Verifier { runtime, source })
    }

    /// Adds what a review needs to know of images.
    pub fn verify(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        self.runtime.block_on(self.source.fetch(request, need, facts));
    }
}
