//! `portcullis audit`: what policies say about objects that exist: in files, in saved dumps, in a cluster. Nothing decides
//! here; objects go through the engine that the webhook uses, and findings come out in the shape that is asked for.
//!
//! # Flow
//! [`survey`] (namespaces, params and definitions among the objects) -> snapshot -> [`work`] (pieces of files on all cores,
//! results in order) -> [`tally`] (counts, and the findings that are kept) -> [`output`].
//!
//! # Guarantees
//! - Memory does not grow with the files: what is on its way is bounded, and findings are kept up to a limit that is told.
//! - A file that can't be read is told with its line, and the command ends with 2: no object is passed over silently.

mod baseline;
mod compare;
mod kinds;
mod output;
mod places;
mod progress;
mod sources;
mod survey;
mod tally;
mod work;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::audit::plan::{Plan, plan};
use crate::cel::Version;
use crate::cli::audit::baseline::Baseline;
use crate::cli::audit::output::Format;
use crate::cli::audit::sources::Source;
use crate::cli::audit::survey::Survey;
use crate::cli::audit::tally::{Grave, Tally};
use crate::cli::audit::work::Means;
use crate::cli::cluster::Cluster;
use crate::cli::images::{RegistryArgs, Verifier};
use crate::cli::reach::Reach;
use crate::cli::{Exit, Failure, diagnostics, files};
use crate::controller::audit::is_outside;
use crate::policy::Definitions;
use crate::policy::api::Severity;
use crate::policy::snapshot::Snapshot;

/// Asks policies about objects that exist, in files, folders, saved dumps or standard input.
///
/// Objects are YAML, JSON or JSON lines, of any size; Lists are their items. Namespaces, params and CustomResourceDefinitions
/// among them count, so that a dump of a cluster is audited as the cluster would be. Ends with 0 if there is nothing to
/// complain of, with 1 if there are findings, with 2 if something can't be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis audit --policies policies/ manifests/
  helm template web charts/web | portcullis audit --policies policies/ -
  kubectl get pods,deployments -A -o yaml > dump.yaml && portcullis audit --policies policies/ dump.yaml
  portcullis audit --policies policies/ -o html --output-file audit.html dump.yaml
  portcullis audit --policies policies/ -o sarif --output-file audit.sarif --fail-on high manifests/
  portcullis audit --policies policies/ --write-baseline known.json manifests/    # what is wrong today
  portcullis audit --policies policies/ --baseline known.json manifests/          # only what is new fails
  portcullis audit --cluster --policies-from-cluster -o html --output-file audit.html
  portcullis audit --compare old-policies/ new-policies/ dump.yaml                # before it is applied")]
pub struct AuditArgs {
    /// Objects: files and folders; `-` is standard input
    #[arg(required_unless_present = "cluster")]
    files: Vec<PathBuf>,
    /// Objects of a cluster: all that policies are about, page by page
    #[arg(long, conflicts_with = "files")]
    cluster: bool,
    /// Policies and bindings, ours and native: files or folders
    #[arg(long, short, value_name = "PATH", required_unless_present_any = ["compare", "policies_from_cluster"])]
    policies: Vec<PathBuf>,
    /// Policies and bindings of a cluster, with their params and its namespaces
    #[arg(long)]
    policies_from_cluster: bool,
    /// Params, namespaces and CustomResourceDefinitions that are not among the objects: files or folders
    #[arg(long, value_name = "PATH")]
    with: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Where they are written, instead of standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Ends with 1 only for findings of at least this severity. A policy that says none has medium
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Findings that are in this file are known, and only others count
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Writes all findings to this file, to be a baseline, and ends with 0
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "compare"])]
    write_baseline: Option<PathBuf>,
    /// Two sets of policies: which objects newly fail, and newly pass, if the second replaces the first
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["policies", "baseline", "fail_on"])]
    compare: Vec<PathBuf>,
    /// How many threads work; as many as there are cores, if nothing is said
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The Kubernetes release whose CEL it is
    #[arg(long, default_value = "1.37")]
    version: Version,
    #[command(flatten)]
    reach: Reach,
    /// Asks registries whether images pass. Without it, image policies are not asked
    #[arg(long)]
    verify_images: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// From which severity on a finding makes the command fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Everything
    Info,
    /// And worse
    Low,
    /// And worse
    Medium,
    /// And worse
    High,
    /// The worst
    Critical,
    /// Nothing
    Never,
}

impl FailOn {
    fn grave(self) -> Grave {
        Grave::From(match self {
            FailOn::Info => Severity::Info,
            FailOn::Low => Severity::Low,
            FailOn::Medium => Severity::Medium,
            FailOn::High => Severity::High,
            FailOn::Critical => Severity::Critical,
            FailOn::Never => return Grave::Nothing,
        })
    }
}

/// Runs the command.
pub fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let can_compare = matches!(args.output, Format::Table | Format::Json);
    if !args.compare.is_empty() && !can_compare {
        return Err(Failure::new("--compare writes -o table or -o json"));
    }
    let images = args.verify_images.then(|| Verifier::new(&args.registry)).transpose()?;
    let means = Means { threads: args.threads, images: images.as_ref() };
    let prepared = prepare(args, images.as_ref())?;
    let Prepared { sources, survey, snapshots } = &prepared;
    if let [old, new] = snapshots.as_slice() {
        let both = [(&old.snapshot, &old.plan), (&new.snapshot, &new.plan)];
        let compared = compare::compare(sources, survey, both, means)?;
        write(args, |out| compare::write(out, args.output, &compared, is_terminal(args)))?;
        return Ok(compared.exit());
    }
    let [Set { snapshot, definitions, plan }, ..] = snapshots.as_slice() else {
        return Err(Failure::new("there are no policies"));
    };
    // Whoever names the wrong folder has to hear of it.
    if snapshot.policies().next().is_none() {
        return Err(Failure::new("there are no policies"));
    }
    let baseline = match &args.baseline {
        Some(file) => Baseline::read(file)?,
        None => Baseline::default(),
    };
    let grave = args.fail_on.map_or(Grave::Failures, FailOn::grave);
    let mut tally = Tally::new(snapshot, baseline, grave, args.write_baseline.is_some());
    let progress = progress::Progress::new(survey.bytes);
    work::audit(sources, survey, (snapshot, plan), means, |done| {
        progress.add(done.bytes);
        tally.add(done)
    })?;
    progress.finish();
    let report = tally.finish(places::Places::new(definitions));
    write(args, |out| output::write(out, args.output, &report, is_terminal(args)))?;
    if report.objects == 0 && report.unreadable.is_empty() && !args.cluster {
        return Err(Failure::new("there are no objects"));
    }
    if let Some(file) = &args.write_baseline {
        report.write_baseline(file)?;
        let known = report.identities.len();
        eprintln!("{known} findings are in {} now", file.display());
        return Ok(if report.unreadable.is_empty() { Exit::Ok } else { Exit::Usage });
    }
    Ok(report.exit())
}

/// What an audit begins with.
struct Prepared {
    sources: Vec<Source>,
    survey: Survey,
    /// One, or two that are compared.
    snapshots: Vec<Set>,
}

/// Policies that are asked.
struct Set {
    snapshot: Snapshot,
    /// What it was made of.
    definitions: Definitions,
    /// Which of them are asked about what of a cluster.
    plan: Plan,
}

fn prepare(args: &AuditArgs, images: Option<&Verifier>) -> Result<Prepared, Failure> {
    let mut sets: Vec<Definitions> = match args.compare.as_slice() {
        [] => vec![definitions(args, &args.policies)?],
        both => {
            let of_one = |path| definitions(args, std::slice::from_ref(path));
            both.iter().map(of_one).collect::<Result<_, _>>()?
        }
    };
    let mut sources = sources::open(&args.files)?;
    let mut cluster = None;
    if args.cluster || args.policies_from_cluster {
        let connected = Cluster::connect(&args.reach)?;
        let served = connected.served()?;
        for set in &mut sets {
            if args.policies_from_cluster {
                let found = connected.policies()?;
                set.validating.extend(found.validating);
                set.mutating.extend(found.mutating);
                set.images.extend(found.images);
                set.trust_roots.extend(found.trust_roots);
                set.bindings.extend(found.bindings);
            }
            connected.add_facts(set, &served)?;
        }
        cluster = Some((Arc::new(connected), served));
    }
    let mut survey = survey::survey(&sources, &sets);
    let mut snapshots = Vec::with_capacity(sets.len());
    for mut definitions in sets {
        survey.add_to(&mut definitions);
        definitions.audits_images = images.is_some();
        if let Some(images) = images {
            images.update(&mut definitions);
        }
        let snapshot = Snapshot::build(definitions.clone(), args.version, None);
        snapshots.push(Set { snapshot, definitions, plan: Plan::new() });
    }
    if let Some((cluster, served)) = cluster {
        served.kinds.iter().for_each(|kind| survey.kinds.add_served(kind));
        if args.cluster {
            for set in &mut snapshots {
                set.plan = plan(set.snapshot.policies(), &served.kinds, is_outside);
            }
            let kinds = snapshots.iter().flat_map(|set| set.plan.keys().cloned());
            sources = Source::of_cluster(&cluster, kinds.collect::<BTreeSet<_>>());
        }
    }
    for Set { snapshot, .. } in &snapshots {
        for finding in diagnostics::of(snapshot).iter().chain(&diagnostics::orphans(snapshot, &[]))
        {
            eprintln!("warning: {finding}");
        }
    }
    Ok(Prepared { sources, survey, snapshots })
}

/// Policies, with what is said beside the objects.
fn definitions(args: &AuditArgs, policies: &[PathBuf]) -> Result<Definitions, Failure> {
    let paths: Vec<PathBuf> = policies.iter().chain(&args.with).cloned().collect();
    files::definitions(&paths)
}

/// Whether a person reads it.
fn is_terminal(args: &AuditArgs) -> bool {
    args.output_file.is_none() && io::IsTerminal::is_terminal(&io::stdout())
}

fn write(
    args: &AuditArgs,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    match &args.output_file {
        None => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            write(&mut out)?;
            out.flush()?;
        }
        Some(path) => {
            let failed = |error: io::Error| Failure::file(path, &error);
            let mut out = io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
            write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        }
    }
    Ok(())
}
