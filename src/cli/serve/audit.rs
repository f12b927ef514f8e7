//! What is said on the command line about the audit of what exists.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::admission::NoCluster;
use crate::audit::report::Flavor;
use crate::controller::audit::Options;
use crate::controller::images::WithImages;

/// Whether and how the cluster is audited.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct AuditArgs {
    /// Leaves out the audit of what exists
    #[arg(long)]
    no_audit: bool,
    /// In which shape the audit writes reports to the cluster
    #[arg(long, value_enum, default_value_t = Reports::Openreports, conflicts_with = "no_audit")]
    reports: Reports,
    /// Lists what passes in reports too, beside what fails
    #[arg(long, conflicts_with = "no_audit")]
    report_passes: bool,
    /// Writes an Event on each object that newly fails a policy, as far as there are not too many
    #[arg(long, conflicts_with = "no_audit")]
    audit_events: bool,
    /// Asks image policies too about what exists, and so registries: once for each image, and again when a policy, a trust
    /// root or a key changes
    #[arg(long, conflicts_with = "no_audit")]
    audit_images: bool,
}

/// In which shape reports are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reports {
    /// Report and ClusterReport of openreports.io
    Openreports,
    /// PolicyReport and ClusterPolicyReport of wgpolicyk8s.io
    Policyreports,
    /// None: findings are only counted
    None,
}

impl AuditArgs {
    /// How to audit, if at all. Our own policies are not about these namespaces.
    pub fn options(
        &self,
        excluded_namespaces: &[String],
        images: impl FnOnce() -> WithImages<NoCluster>,
    ) -> Option<Options> {
        (!self.no_audit).then(|| Options {
            reports: match self.reports {
                Reports::Openreports => Some(Flavor::OpenReports),
                Reports::Policyreports => Some(Flavor::PolicyReport),
                Reports::None => None,
            },
            lists_passes: self.report_passes,
            events: self.audit_events,
            images: self.audit_images.then(|| Arc::new(images())),
            excluded_namespaces: excluded_namespaces.to_vec(),
        })
    }
}
