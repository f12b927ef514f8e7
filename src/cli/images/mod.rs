//! `portcullis images`: what image policies say to images, with every step. Registries are asked here as the server asks
//! them, and the same rules judge.

mod output;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::cel::Version;
use crate::cli::{Exit, Failure, files, runtime};
use crate::images::Reference;
use crate::images::registry::{Credentials, Options, Registry};
use crate::policy::images::{ImageRules, Judgement, TrustRoots, Verdict, judge};

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

/// How registries are asked.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Credentials for registries of images, as `docker login` writes them
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Certificate authorities of registries, in PEM, beside those of the system
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// A registry that is asked without TLS, such as `localhost:5000`
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
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
    let policies = policies(&args.policy)?;
    let registry = args.registry.client()?;
    let verified = runtime()?.block_on(async {
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

/// The image policies of the files, by name. One that is not in order is a failure: nobody should trust what it says.
fn policies(paths: &[PathBuf]) -> Result<Vec<(String, ImageRules)>, Failure> {
    let definitions = files::definitions(paths)?;
    let roots = definitions.trust_roots.iter().map(|root| (root.name.as_str(), &*root.spec));
    let roots = TrustRoots::new(roots);
    let mut policies = Vec::new();
    for policy in &definitions.images {
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

impl RegistryArgs {
    /// A client of registries that asks like that.
    pub fn client(&self) -> Result<Registry, Failure> {
        let credentials = match &self.registry_config {
            Some(path) => Credentials::from_docker_config(&files::text(path)?)
                .map_err(|why| Failure::file(path, &why))?,
            None => Credentials::default(),
        };
        let authorities_pem =
            self.registry_ca.iter().map(|path| files::text(path)).collect::<Result<_, _>>()?;
        let plain_http: BTreeSet<String> = self.plain_http.iter().cloned().collect();
        Registry::new(Options { credentials, authorities_pem, plain_http }).map_err(Failure::new)
    }
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
        let limit = Duration::from_secs(timeout_s);
        registry.find(image, limit).await
    } else {
        Ok(None)
    };
    #[expect(clippy::disallowed_methods, reason = "the rim owns the clock")]
    let now = Timestamp::now();
    let answer = |(name, rules): &&(String, ImageRules)| Answer {
        policy: name.clone(),
        judgement: judge(rules, image, evidence.as_ref().map(Option::as_ref), now),
    };
    Verified { image: image.to_string(), answers: asked.iter().map(answer).collect() }
}
