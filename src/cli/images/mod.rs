//! `portcullis images`: what image policies say to images, with every step. Registries are asked here as the server asks
//! them, and the same rules judge.

mod output;
mod registry;
mod verifier;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::cel::Version;
use crate::cli::{Exit, Failure, files, runtime};
use crate::controller::now;
use crate::controller::trust::{Asked, Repositories, Trust};
use crate::images::Reference;
use crate::images::registry::{Inquiry, Keyring, Registry, Trail};
use crate::policy::Definitions;
use crate::policy::images::{ImageRules, Judgement, TrustRoots, Verdict, judge};

pub use registry::RegistryArgs;
pub use verifier::Verifier;

/// Looks at images by image policies
#[derive(Debug, Args)]
pub struct ImagesArgs {
    #[command(subcommand)]
    command: Images,
}

#[derive(Debug, Subcommand)]
enum Images {
    Verify(VerifyArgs),
}

/// Verifies images by image policies, and says what was found, what was checked, and why that is enough or is not.
///
/// Every ImagePolicy that is about the image is asked. Ends with 1 if one of them does not pass it, or none is about it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis images verify ghcr.io/team/app:1.2 --policy images.yaml
  portcullis images verify -o json --registry-config ~/.docker/config.json --policy policies/ app@sha256:..")]
struct VerifyArgs {
    /// Images, as in a Pod
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// ImagePolicies and TrustRoots: files or folders
    #[arg(long, short, required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// How the answer is written
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    registry: RegistryArgs,
    /// How long one image may take, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One array, with every attempt
    Json,
}

/// What one policy said to one image.
struct Answer {
    policy: String,
    judgement: Judgement,
}

/// What became of one image.
struct Verified {
    image: String,
    /// None if no policy is about it.
    answers: Vec<Answer>,
}

/// Runs the command.
pub fn run(args: &ImagesArgs) -> Result<Exit, Failure> {
    let Images::Verify(args) = &args.command;
    let images: Vec<Reference> = args
        .images
        .iter()
        .map(|text| Reference::parse(text).map_err(|why| Failure::new(format!("{text}: {why}"))))
        .collect::<Result<_, _>>()?;
    let registry = Arc::new(args.registry.client()?);
    let runtime = runtime()?;
    let mut definitions = files::definitions(&args.policy)?;
    runtime.block_on(updated(&mut definitions, &args.registry.trust()?, &registry));
    let policies = policies(&definitions)?;
    let verified = runtime.block_on(async {
        let mut verified = Vec::new();
        for image in &images {
            verified.push(verify(image, &policies, &registry, args.timeout).await);
        }
        verified
    });
    match args.output {
        Format::Text => output::text(&mut io::stdout().lock(), &verified)?,
        Format::Json => output::json(&mut io::stdout().lock(), &verified)?,
    }
    let passed = |answer: &Answer| answer.judgement.verdict == Verdict::Passed;
    let good = |one: &Verified| !one.answers.is_empty() && one.answers.iter().all(passed);
    Ok(if verified.iter().all(good) { Exit::Ok } else { Exit::Findings })
}

/// Brings trust roots up to date that are to be. Where that can't be done, what was written counts, and that is told.
async fn updated(definitions: &mut Definitions, trust: &Trust, registry: &Arc<Registry>) {
    trust.apply(definitions);
    let mut repositories = Repositories::new(Arc::clone(registry));
    for Asked { url, problem } in trust.update(&mut repositories, now()).await {
        if let Some(problem) = problem {
            eprintln!("warning: the trust root is as it was written: {url}: {problem}");
        }
    }
    trust.apply(definitions);
}

/// The image policies of the files, by name. One that is not in order is a failure: nobody should trust what it says.
fn policies(definitions: &Definitions) -> Result<Vec<(String, ImageRules)>, Failure> {
    let roots = definitions.trust_roots.iter().map(|root| (root.name.as_str(), &*root.spec));
    let mut roots = TrustRoots::new(roots);
    let mut policies = Vec::new();
    for policy in &definitions.images {
        roots = roots.with_keys(definitions.keys_for(&policy.spec));
        let rules = ImageRules::compile(&policy.spec, &roots, Version::default());
        if let Some(first) = rules.diagnostics().first() {
            let (source, name, field) = (&policy.source, &policy.name, &first.field);
            let message = &first.message;
            return Err(Failure::new(format!(
                "{source}: ImagePolicy `{name}`: {field}: {message}"
            )));
        }
        policies.push((policy.name.clone(), rules));
    }
    if policies.is_empty() {
        return Err(Failure::new("there is no ImagePolicy in the files"));
    }
    Ok(policies)
}

async fn verify(
    image: &Reference,
    policies: &[(String, ImageRules)],
    registry: &Registry,
    timeout_s: u64,
) -> Verified {
    let asked: Vec<_> = policies.iter().filter(|(_, rules)| rules.is_about(image)).collect();
    // Where every answer is fixed, no registry is asked.
    let needs_registry = asked.iter().any(|(_, rules)| rules.fixed().is_none());
    let evidence = if needs_registry {
        let (keyring, trail) = (Keyring::default(), Trail::default());
        let limit = Duration::from_secs(timeout_s);
        registry.find(image, Inquiry { keyring: &keyring, limit, trail: &trail }).await
    } else {
        Ok(None)
    };
    let now = now();
    let answer = |(name, rules): &&(String, ImageRules)| Answer {
        policy: name.clone(),
        judgement: judge(rules, image, evidence.as_ref().map(Option::as_ref), now),
    };
    Verified { image: image.to_string(), answers: asked.iter().map(answer).collect() }
}
