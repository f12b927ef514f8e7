//! Image policies in commands that review objects: registries are asked as the server asks them.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::admission::{Facts, Need, NoCluster, Source};
use crate::cli::images::{RegistryArgs, updated};
use crate::cli::{Failure, runtime};
use crate::controller::images::WithImages;
use crate::controller::trust::Trust;
use crate::images::registry::Registry;
use crate::policy::{Definitions, Request};
use crate::telemetry::Metrics;

/// Asks registries, and waits for what they say.
#[derive(Debug)]
pub struct Verifier {
    runtime: Runtime,
    registry: Arc<Registry>,
    trust: Trust,
    source: WithImages<NoCluster>,
}

impl Verifier {
    /// With the registries as the arguments say.
    pub fn new(args: &RegistryArgs) -> Result<Verifier, Failure> {
        let (runtime, registry) = (runtime()?, Arc::new(args.client()?));
        let source = {
            let _entered = runtime.enter();
            WithImages::new(NoCluster, registry.clone(), Arc::new(Metrics::new())).patient()
        };
        Ok(Verifier { runtime, registry, trust: args.trust()?, source })
    }

    /// Brings trust roots up to date that are to be.
    pub fn update(&self, definitions: &mut Definitions) {
        self.runtime.block_on(updated(definitions, &self.trust, &self.registry));
    }

    /// Adds what a review needs to know of images.
    pub fn verify(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        self.runtime.block_on(self.source.fetch(request, need, facts));
    }
}
