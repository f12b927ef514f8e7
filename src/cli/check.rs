//! `portcullis check`: whether policies compile, before anybody applies them.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cel::Version;
use crate::cli::diagnostics::{self, Finding, Level};
use crate::cli::{Exit, Failure, files};
use crate::policy::snapshot::Snapshot;
use crate::schema::Catalog;

/// Checks policies and bindings: says what the API server would, with the line, and shows with a caret what does not
/// compile.
///
/// Warns where an expression asks for something that the objects it is about do not have, as far as their kinds are
/// known: those of Kubernetes, and those of the CustomResourceDefinitions among the files. Ends with 1 if something is
/// wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis check policies/
  portcullis check --strict policies/ crds/
  portcullis check -o json policies/")]
pub struct CheckArgs {
    /// Policies and bindings, ours and native: files or folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The Kubernetes release whose CEL it is
    #[arg(long, default_value = "1.37")]
    version: Version,
    /// End with 1 if there are warnings, too
    #[arg(long)]
    strict: bool,
    /// How it is written
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One array, with the API server's texts in full
    Json,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let (findings, policies) = check(args)?;
    let out = &mut io::stdout().lock();
    match args.output {
        Format::Text => text(out, &findings, policies)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &findings).map_err(Failure::new)?;
            writeln!(out)?;
        }
    }
    Ok(exit(&findings, args.strict))
}

fn exit(findings: &[Finding], strict: bool) -> Exit {
    let counts = |finding: &Finding| finding.level == Level::Error || strict;
    if findings.iter().any(counts) { Exit::Findings } else { Exit::Ok }
}

/// Errors, then warnings; and how many policies there are.
fn check(args: &CheckArgs) -> Result<(Vec<Finding>, usize), Failure> {
    let (definitions, refused) = files::readable(&args.paths)?;
    let mut catalog = Catalog::built_in();
    for object in &definitions.params {
        catalog.add_custom(object);
    }
    let warnings = diagnostics::warnings(&definitions, &catalog, args.version);
    let snapshot = Snapshot::build(definitions, args.version, None);
    let policies = refused.iter().filter(|(_, one)| one.kind.ends_with("Policy")).count();
    let mut findings = diagnostics::refused(&refused);
    findings.extend(diagnostics::of(&snapshot));
    findings.extend(diagnostics::orphans(&snapshot, &refused));
    findings.extend(warnings);
    findings.sort_by_key(Finding::order);
    Ok((findings, snapshot.policies().count() + policies))
}

fn text(out: &mut impl Write, findings: &[Finding], policies: usize) -> io::Result<()> {
    let (mut errors, mut warnings) = (0, 0);
    for finding in findings {
        match finding.level {
            Level::Error => {
                errors += 1;
                writeln!(out, "error: {finding}\n")?;
            }
            Level::Warning => {
                warnings += 1;
                writeln!(out, "warning: {finding}\n")?;
            }
        }
    }
    writeln!(out, "{policies} policies checked, {errors} problems, {warnings} warnings")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}}}}
";

    fn policy(name: &str, rule: &str, expression: &str) -> String {
        format!(
            "apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    resourceRules:
    - {{apiGroups: [example.com], apiVersions: [v1], operations: [{rule}], resources: [widgets]}}
  validations:
  - expression: {expression}
---
"
        )
    }

    /// The lines of what is found that say where, and how the command ends.
    fn lines(name: &str, text: &str, strict: bool) -> (Vec<String>, Exit) {
        let folder = std::env::temp_dir().join(format!("portcullis-check-{name}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.yaml"), text).unwrap();
        fs::write(folder.join("crd.yaml"), CRD).unwrap();
        let version = Version::default();
        let args = CheckArgs { paths: vec![folder.clone()], version, strict, output: Format::Text };
        let (findings, _) = check(&args).unwrap();
        let ended = exit(&findings, strict);
        fs::remove_dir_all(&folder).unwrap();
        let prefix = format!("{}/", folder.display());
        let line =
            |finding: &Finding| finding.to_string().lines().next().map(|l| l.replace(&prefix, ""));
        (findings.iter().filter_map(line).collect(), ended)
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let at = |place: &str, text: &str| format!("a.yaml:{place}: ValidatingPolicy {text}");
        let (said, ended) = lines("errors", &policy("p", "CREATE", "object.size = 1"), false);
        let field = "`p`: spec.validations[0].expression: Invalid value: \"object.size = 1\": ";
        assert!(said.iter().all(|line| line.starts_with(&at("9", field))), "{said:?}");
        assert_eq!(ended, Exit::Findings);
        // One that can't be decoded hides none of the others.
        let two = policy("p", "CRATE", "x") + &policy("q", "CREATE", "size(object)");
        let (said, ended) = lines("refused", &two, false);
        let starts = [
            at(
                "7",
                "`p`: spec.matchConstraints.resourceRules[0].operations[0]: Unsupported value: ",
            ),
            at(
                "9",
                "`p`: spec.validations[0].expression: Invalid value: \"x\": compilation failed: ",
            ),
            at("19", "`q`: spec.validations[0].expression: Invalid value: \"size(object)\": must"),
        ];
        assert_eq!(said.len(), starts.len(), "{said:#?}");
        assert!(said.iter().zip(&starts).all(|(said, start)| said.starts_with(start)), "{said:#?}");
        assert_eq!(ended, Exit::Findings);
    }

    #[test]
    fn types_are_those_of_kubernetes_and_of_the_crds_among_the_files() {
        let good = policy("p", "CREATE", "object.spec.size > 1");
        assert_eq!(lines("good", &good, true), (Vec::new(), Exit::Ok));
        let misspelt = policy("p", "CREATE", "object.spec.sise > 1");
        let warning = "a.yaml:9: ValidatingPolicy `p`: spec.validations[0].expression: \
            for example.com/v1, Kind=Widget: undefined field 'sise'";
        let (said, ended) = lines("lax", &misspelt, false);
        assert_eq!((said, ended), (vec![warning.to_owned()], Exit::Ok));
        let (said, ended) = lines("strict", &misspelt, true);
        assert_eq!((said.len(), ended), (1, Exit::Findings));
    }
}
