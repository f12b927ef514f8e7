//! An ImagePolicy and the trust roots that it names, made ready: globs, keys, patterns, expressions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cel::{CompileError, Env, Program, Type, Version};
use crate::images::{Authority, Digest, ImageGlob, OwnKeys, Reference, TrustError, TrustRoot};
use crate::policy::api::{
    ImageAttestation, ImagePolicySpec, OnUnavailable, PolicyDiagnostic, SecretKeyRef, StaticAnswer,
    TrustRootRef, TrustRootSpec,
};
use crate::policy::images::extract::Extractors;
use crate::policy::images::judge::Verdict;
use crate::policy::images::keys::{Keys, missing};
use crate::policy::images::predicate;
use crate::policy::images::validate::Validations;

/// How many authorities a policy may have: each is tried on each signature.
const AUTHORITIES_MAX: usize = 16;

/// How many attestations a policy may ask for.
const ATTESTATIONS_MAX: usize = 16;

/// The name under which that of the public instance is among the others, where it is kept up to date. No object has it.
pub const PUBLIC_TRUST_ROOT: &str = "";

/// What an ImagePolicy says, ready to judge by.
#[derive(Debug)]
pub struct ImageRules {
    images: Vec<ImageGlob>,
    excluded: Vec<ImageGlob>,
    pub(in crate::policy::images) authorities: Vec<Named>,
    pub(in crate::policy::images) required: usize,
    pub(in crate::policy::images) attestations: Vec<Attestation>,
    requires_digest: bool,
    pins_digests: bool,
    on_unavailable: OnUnavailable,
    pub(in crate::policy) extractors: Extractors,
    pub(in crate::policy) validations: Validations,
    fingerprint: String,
    diagnostics: Vec<PolicyDiagnostic>,
}

/// An authority with its name.
#[derive(Debug)]
pub(in crate::policy::images) struct Named {
    pub name: String,
    pub counts: Counts,
}

/// When an authority counts as having signed.
#[derive(Debug)]
pub(in crate::policy::images) enum Counts {
    /// When it has.
    Signed(Authority),
    /// Always, or never.
    Static(StaticAnswer),
    /// Never: what was written can't be used.
    Broken(String),
    /// Nobody knows: its key is not there yet.
    Missing(String),
}

/// What must be attested.
pub(in crate::policy::images) struct Attestation {
    pub name: String,
    pub predicate_type: String,
    /// The places of the authorities that may attest it.
    pub authorities: Vec<usize>,
    pub env: Env,
    pub rules: Vec<Rule>,
}

/// What must be true of a predicate.
#[derive(Debug)]
pub(in crate::policy::images) struct Rule {
    pub source: String,
    pub program: Result<Program, String>,
    pub message: Option<String>,
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attestation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Trust roots by name, and the public one.
#[derive(Debug, Default)]
pub struct TrustRoots {
    named: HashMap<String, Result<Arc<TrustRoot>, TrustError>>,
    /// Public keys in Secrets.
    keys: Keys,
    fingerprint: String,
    public: std::sync::OnceLock<Result<Arc<TrustRoot>, TrustError>>,
}

impl TrustRoots {
    /// Makes trust roots of what was written.
    pub fn new<'s>(specs: impl IntoIterator<Item = (&'s str, &'s TrustRootSpec)>) -> TrustRoots {
        let specs: Vec<_> = specs.into_iter().collect();
        let fingerprint = serde_json::to_string(&specs).unwrap_or_default();
        let made =
            |(name, spec): (&str, &TrustRootSpec)| (name.to_owned(), root(spec).map(Arc::new));
        TrustRoots {
            named: specs.into_iter().map(made).collect(),
            fingerprint,
            ..TrustRoots::default()
        }
    }

    /// The same, with public keys in Secrets.
    #[must_use]
    pub fn with_keys(self, keys: BTreeMap<SecretKeyRef, Result<String, String>>) -> TrustRoots {
        TrustRoots { keys, ..self }
    }

    /// The trust root of this name, or why there is none.
    pub(in crate::policy::images) fn named(
        &self,
        reference: &TrustRootRef,
    ) -> Result<Arc<TrustRoot>, String> {
        match self.named.get(&reference.name) {
            Some(Ok(root)) => Ok(Arc::clone(root)),
            Some(Err(why)) => Err(format!("the TrustRoot `{}`: {why}", reference.name)),
            None => Err(format!("there is no TrustRoot `{}`", reference.name)),
        }
    }

    /// The public key in a Secret, or why it is not known.
    pub(in crate::policy::images) fn key(&self, reference: &SecretKeyRef) -> Result<&str, String> {
        match self.keys.get(reference) {
            Some(Ok(key)) => Ok(key),
            Some(Err(why)) => Err(why.clone()),
            None => Err(missing(reference)),
        }
    }

    /// That of the public instance.
    pub(in crate::policy::images) fn public(&self) -> Result<Arc<TrustRoot>, String> {
        if let Some(updated) = self.named.get(PUBLIC_TRUST_ROOT) {
            return updated.clone().map_err(|why| why.to_string());
        }
        let public = self.public.get_or_init(|| TrustRoot::public().map(Arc::new));
        public.clone().map_err(|why| why.to_string())
    }
}

fn root(spec: &TrustRootSpec) -> Result<TrustRoot, TrustError> {
    match (&spec.trusted_root, &spec.keys) {
        (Some(json), None) => TrustRoot::from_json(json),
        (None, Some(keys)) => {
            let [authorities, logs, certificate_logs, timestamps] = [
                &keys.certificate_authorities,
                &keys.transparency_logs,
                &keys.certificate_logs,
                &keys.timestamp_authorities,
            ]
            .map(|list| list.iter().map(String::as_str).collect());
            TrustRoot::from_keys(&OwnKeys {
                certificate_authorities: authorities,
                transparency_logs: logs,
                certificate_logs,
                timestamp_authorities: timestamps,
            })
        }
        _ => Err(TrustError::Root("exactly one of trustedRoot and keys is required".to_owned())),
    }
}

impl ImageRules {
    /// Makes a policy ready. What is wrong with it is told, and makes it stricter, never more lenient.
    pub fn compile(spec: &ImagePolicySpec, roots: &TrustRoots, version: Version) -> ImageRules {
        let mut compiler = Compiler { roots, version, diagnostics: Vec::new() };
        let images = compiler.globs("spec.images", &spec.images);
        let excluded = compiler.globs("spec.excludeImages", &spec.exclude_images);
        if spec.images.is_empty() {
            compiler.tell("spec.images", "at least one image is required");
        }
        if spec.authorities.is_empty() || spec.authorities.len() > AUTHORITIES_MAX {
            let why = format!("1 to {AUTHORITIES_MAX} authorities are required");
            compiler.tell("spec.authorities", &why);
        }
        let authorities: Vec<Named> = (spec.authorities.iter().take(AUTHORITIES_MAX).enumerate())
            .map(|(place, authority)| compiler.authority(place, authority))
            .collect();
        compiler.unique("spec.authorities", spec.authorities.iter().map(|one| &one.name));
        compiler.unique("spec.attestations", spec.attestations.iter().map(|one| &one.name));
        if spec.attestations.len() > ATTESTATIONS_MAX {
            let why = format!("at most {ATTESTATIONS_MAX} attestations can be asked for");
            compiler.tell("spec.attestations", &why);
        }
        let attestations = (spec.attestations.iter().take(ATTESTATIONS_MAX).enumerate())
            .map(|(place, attestation)| compiler.attestation(place, attestation, &authorities))
            .collect();
        let required = usize::try_from(spec.required.unwrap_or(1)).unwrap_or(usize::MAX);
        if required > authorities.len() {
            compiler.tell("spec.required", "there are fewer authorities than are required");
        }
        if required == 0 && spec.attestations.is_empty() {
            let why = "without a required authority there must be an attestation";
            compiler.tell("spec.required", why);
        }
        if spec.mutate_digest && !spec.extractors.is_empty() {
            let why = "can't be combined with extractors: what an expression gives has no place that could be changed";
            compiler.tell("spec.mutateDigest", why);
        }
        if spec.match_constraints.is_none() && !spec.extractors.is_empty() {
            let why = "needs matchConstraints that are about the objects that it looks at";
            compiler.tell("spec.extractors", why);
        }
        compiler.unique("spec.extractors", spec.extractors.iter().map(|one| &one.name));
        let mut refusals = Vec::new();
        let extractors = Extractors::compile(&spec.extractors, version, &mut refusals);
        let validations =
            Validations::compile(&spec.variables, &spec.validations, version, &mut refusals);
        for (field, error) in &refusals {
            compiler.refuse(field.clone(), error);
        }
        let diagnostics = compiler.diagnostics;
        // What asks for nothing must not let everything pass.
        let required = if spec.attestations.is_empty() { required.max(1) } else { required };
        let written = serde_json::to_vec(spec).unwrap_or_default();
        let keys: Vec<_> = spec.secret_keys().into_iter().map(|key| roots.keys.get(key)).collect();
        let keys = serde_json::to_vec(&keys).unwrap_or_default();
        let everything = [&written, roots.fingerprint.as_bytes(), &keys].concat();
        ImageRules {
            images,
            excluded,
            authorities,
            required,
            attestations,
            requires_digest: spec.require_digest,
            pins_digests: spec.mutate_digest,
            on_unavailable: spec.on_unavailable,
            extractors,
            validations,
            fingerprint: Digest::of(&everything).to_string(),
            diagnostics,
        }
    }

    /// The same for the same answers.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether an image must be named by its digest.
    pub fn requires_digest(&self) -> bool {
        self.requires_digest
    }

    /// Whether an image that is named by a tag is pinned to the digest that was verified.
    pub fn pins_digests(&self) -> bool {
        self.pins_digests
    }

    /// Whether what was verified of an image before counts while its registry does not answer. What a tag named then counts
    /// only where the image is pinned to that.
    pub fn trusts_what_was_verified(&self, image: &Reference) -> bool {
        self.on_unavailable == OnUnavailable::AllowVerified
            && (self.pins_digests || image.digest().is_some())
    }

    /// What is wrong with it.
    pub fn diagnostics(&self) -> &[PolicyDiagnostic] {
        &self.diagnostics
    }

    /// Whether the policy is about this image.
    pub fn is_about(&self, image: &Reference) -> bool {
        let any = |globs: &[ImageGlob]| globs.iter().any(|glob| glob.matches(image));
        any(&self.images) && !any(&self.excluded)
    }

    /// What it answers to every image that it is about, if no registry need be asked for that.
    pub fn fixed(&self) -> Option<Verdict> {
        let count = |is: fn(&Counts) -> bool| {
            self.authorities.iter().filter(|named| is(&named.counts)).count()
        };
        let passing = count(|counts| matches!(counts, Counts::Static(StaticAnswer::Pass)));
        let can_sign = passing + count(|counts| matches!(counts, Counts::Signed(_)));
        let possible = can_sign + count(|counts| matches!(counts, Counts::Missing(_)));
        match () {
            () if possible < self.required => Some(Verdict::Failed),
            () if can_sign < self.required => Some(Verdict::Unknown),
            () if passing >= self.required && self.attestations.is_empty() => Some(Verdict::Passed),
            () => None,
        }
    }

    /// The expressions that a verdict hangs on.
    pub(in crate::policy) fn deciding(&self) -> impl Iterator<Item = &str> {
        self.extractors.sources().chain(self.validations.sources())
    }

    /// Whether there is an authority of which nobody knows whether it signed.
    pub(in crate::policy::images) fn misses_a_key(&self) -> bool {
        self.authorities.iter().any(|named| matches!(named.counts, Counts::Missing(_)))
    }
}

pub(in crate::policy::images) struct Compiler<'r> {
    pub roots: &'r TrustRoots,
    version: Version,
    diagnostics: Vec<PolicyDiagnostic>,
}

impl Compiler<'_> {
    pub fn tell(&mut self, field: &str, message: &str) {
        let (field, message) = (field.to_owned(), message.to_owned());
        self.diagnostics.push(PolicyDiagnostic { field, message, excerpt: None });
    }

    fn globs(&mut self, field: &str, texts: &[String]) -> Vec<ImageGlob> {
        let mut globs = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            match ImageGlob::parse(text) {
                Ok(glob) => globs.push(glob),
                Err(why) => self.tell(&format!("{field}[{place}]"), &why.to_string()),
            }
        }
        globs
    }

    fn unique<'n>(&mut self, field: &str, names: impl Iterator<Item = &'n String>) {
        let mut seen = std::collections::HashSet::new();
        for (place, name) in names.enumerate() {
            if !seen.insert(name) {
                self.tell(&format!("{field}[{place}].name"), "another one has the same name");
            }
        }
    }

    fn attestation(
        &mut self,
        place: usize,
        attestation: &ImageAttestation,
        authorities: &[Named],
    ) -> Attestation {
        let field = format!("spec.attestations[{place}]");
        let mut places = Vec::new();
        for name in &attestation.authorities {
            match authorities.iter().position(|authority| authority.name == *name) {
                Some(place) => places.push(place),
                None => {
                    let why = format!("there is no authority `{name}` in the policy");
                    self.tell(&format!("{field}.authorities"), &why);
                }
            }
        }
        if attestation.authorities.is_empty() {
            places.extend(0..authorities.len());
        }
        let env = predicate::env(self.version);
        let mut rules = Vec::new();
        for (place, validation) in attestation.validations.iter().enumerate() {
            let program = env.compile(&validation.expression, &[Type::Bool]);
            if let Err(error) = &program {
                let field = format!("{field}.validations[{place}].expression");
                self.refuse(field, error);
            }
            rules.push(Rule {
                source: validation.expression.clone(),
                program: program.map_err(|error| error.detail()),
                message: validation.message.clone(),
            });
        }
        Attestation {
            name: attestation.name.clone(),
            predicate_type: attestation.predicate_type.clone(),
            authorities: places,
            env,
            rules,
        }
    }

    fn refuse(&mut self, field: String, error: &CompileError) {
        let excerpt = Some(error.render());
        self.diagnostics.push(PolicyDiagnostic { field, message: error.detail(), excerpt });
    }
}
