//! `portcullis review`: admission reviews through the engine that the server uses, decisions out. Nothing decides here.

mod output;
mod requests;

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::admission::{Facts, NamespaceObject, Need, Phase, Snapshot, review, wire};
use crate::cel::{Answer, Arena, Version};
use crate::cli::images::{RegistryArgs, Verifier};
use crate::cli::review::output::Reviewed;
use crate::cli::review::requests::Asked;
use crate::cli::{Exit, Failure, files};
use crate::controller::now;
use crate::policy::Request;

/// How often one request may ask for facts that files don't have.
const ROUNDS_MAX: usize = 64;

/// Reviews admission requests by policies from files.
///
/// A request is an AdmissionReview, or any object, which is then reviewed as if it were being created. Mutating policies
/// are asked first, and validating policies about what they made of it. Ends with 1 if a request is denied.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis review --policies policies/ pod.yaml
  kubectl get deployment web -o yaml | portcullis review --policies policies/ -
  portcullis review --policies policies/ --with params.yaml -o json reviews.jsonl
  portcullis review --policies images.yaml --verify-images --registry-config ~/.docker/config.json pod.yaml")]
pub struct ReviewArgs {
    /// AdmissionReviews or objects: YAML, JSON or JSON lines; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Policies and bindings, ours and native: files or folders
    #[arg(long, short, required = true, value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Params and namespaces: files or folders
    #[arg(long, value_name = "PATH")]
    with: Vec<PathBuf>,
    /// How decisions are written
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// What the authorizer answers to policies that ask it
    #[arg(long, value_enum, default_value_t = Authorizer::Deny)]
    authorizer: Authorizer,
    /// The Kubernetes release whose CEL it is
    #[arg(long, default_value = "1.37")]
    version: Version,
    /// Asks registries whether images pass. Without it nobody knows, and `failurePolicy` decides
    #[arg(long)]
    verify_images: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One array, with every outcome
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Authorizer {
    /// Everything is allowed
    Allow,
    /// Nothing is allowed
    Deny,
}

/// Runs the command.
pub fn run(args: &ReviewArgs) -> Result<Exit, Failure> {
    let sources: Vec<PathBuf> = args.policies.iter().chain(&args.with).cloned().collect();
    let images = args.verify_images.then(|| Verifier::new(&args.registry)).transpose()?;
    let mut definitions = files::definitions(&sources)?;
    if let Some(images) = &images {
        images.update(&mut definitions);
    }
    let snapshot = Snapshot::build(definitions, args.version, None);
    output::broken(&mut io::stderr().lock(), &snapshot)?;
    let known = Known { images, authorizer: args.authorizer };
    let mut reviewed = Vec::new();
    for file in files::manifests(&args.files)? {
        for asked in requests::read(&file)? {
            reviewed.push(decide(&asked, &snapshot, &known)?);
        }
    }
    let out = &mut io::stdout().lock();
    match args.output {
        Format::Table => output::table(out, &reviewed)?,
        Format::Json => output::json(out, &reviewed)?,
    }
    let denied = reviewed.iter().any(|reviewed| !reviewed.allowed);
    Ok(if denied { Exit::Findings } else { Exit::Ok })
}

/// Both phases, as the API server has them.
fn decide(asked: &Asked, snapshot: &Snapshot, known: &Known) -> Result<Reviewed, Failure> {
    let mut reviewed = Reviewed::new(&asked.source);
    let mut body = asked.review.clone();
    for phase in [Phase::Mutate, Phase::Validate] {
        let bytes = serde_json::to_vec(&body).map_err(Failure::new)?;
        let review = wire::parse(bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", asked.source)))?;
        let request = review.request();
        let mut facts = Facts::new();
        let mut arena = Arena::new();
        for round in 0.. {
            arena.reset();
            match self::review(phase, &request, snapshot, &facts, &arena) {
                Ok(decision) => {
                    reviewed.take(phase, &request, &decision);
                    let place = body.pointer_mut("/request/object");
                    if let (Some(place), Some(object)) = (place, decision.object) {
                        *place = object;
                    }
                    break;
                }
                Err(need) if round < ROUNDS_MAX => known.answer(&request, &need, &mut facts),
                Err(need) => {
                    return Err(Failure::new(format!("{}: {need} is not known", asked.source)));
                }
            }
        }
        if !reviewed.allowed {
            break;
        }
    }
    Ok(reviewed)
}

/// What is known beside the files.
struct Known {
    images: Option<Verifier>,
    authorizer: Authorizer,
}

impl Known {
    fn answer(&self, request: &Request<'_>, need: &Need, facts: &mut Facts) {
        match need {
            Need::Namespace(name) => facts.add_namespace(name, Some(NamespaceObject::named(name))),
            Need::Authorization(check) => {
                let allowed = self.authorizer == Authorizer::Allow;
                facts.add_answer(check.as_ref().clone(), Answer { allowed, ..Answer::default() });
            }
            Need::Images(needed) => match &self.images {
                Some(verifier) => verifier.verify(request, need, facts),
                None => {
                    facts.add_unknown(needed, "no registry is asked here");
                    facts.add_now(now());
                }
            },
        }
    }
}
