//! The rules of a webhook: the union of what policies match, as few as we can say it with and as the API server takes
//! it. One rule that it refuses would keep all others out, so nothing of what policies say is taken as it is.

use std::collections::BTreeSet;

use crate::policy::api::{NamedRule, Operation, Scope};

/// A rule of a webhook: one match in each of the sets is a match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller::registration) struct WebhookRule {
    pub groups: BTreeSet<String>,
    pub versions: BTreeSet<String>,
    /// As the words of the API.
    pub scope: &'static str,
    pub operations: BTreeSet<&'static str>,
    pub resources: BTreeSet<String>,
}

/// The union of rules. `operations` are those that the webhook can be called for.
pub(in crate::controller::registration) fn union<'r>(
    rules: impl IntoIterator<Item = &'r NamedRule>,
    operations: &[Operation],
) -> Vec<WebhookRule> {
    let mut rules: Vec<WebhookRule> =
        rules.into_iter().filter_map(|rule| WebhookRule::new(rule, operations)).collect();
    // Two rules that differ in one set only are one.
    merge(&mut rules, |rule| &mut rule.resources);
    merge(&mut rules, |rule| &mut rule.operations);
    merge(&mut rules, |rule| &mut rule.versions);
    merge(&mut rules, |rule| &mut rule.groups);
    rules.iter_mut().for_each(WebhookRule::tidy);
    rules.sort();
    rules.dedup();
    rules
}

impl WebhookRule {
    /// None if nothing can match it.
    fn new(rule: &NamedRule, possible: &[Operation]) -> Option<WebhookRule> {
        let all = rule.operations.contains(&Operation::All);
        let covers = |operation: &&Operation| all || rule.operations.contains(operation);
        // An empty word is refused; no version and no resource is called so.
        let words = |words: &[String]| words.iter().filter(|w| !w.is_empty()).cloned().collect();
        let mut made = WebhookRule {
            groups: rule.api_groups.iter().cloned().collect(),
            versions: words(&rule.api_versions),
            scope: match rule.scope {
                Scope::All => "*",
                Scope::Cluster => "Cluster",
                Scope::Namespaced => "Namespaced",
            },
            operations: possible
                .iter()
                .filter(covers)
                .map(|operation| operation.as_str())
                .collect(),
            resources: words(&rule.resources),
        };
        made.tidy();
        let empty = made.groups.is_empty() || made.versions.is_empty();
        (!empty && !made.operations.is_empty() && !made.resources.is_empty()).then_some(made)
    }

    /// Takes out what a star covers already; the API server refuses rules that say both.
    fn tidy(&mut self) {
        for words in [&mut self.groups, &mut self.versions] {
            if words.contains("*") {
                words.retain(|word| word == "*");
            }
        }
        let all = std::mem::take(&mut self.resources);
        let covered = |text: &String| {
            let covers = |star: &str| text != star && all.contains(star);
            match text.split_once('/') {
                Some((resource, subresource)) => {
                    covers("*/*")
                        || covers(&format!("{resource}/*"))
                        || covers(&format!("*/{subresource}"))
                }
                None => covers("*/*") || covers("*") || covers(&format!("{text}/*")),
            }
        };
        self.resources = all.iter().filter(|text| !covered(text)).cloned().collect();
    }

    /// Whether a star lets it match resources that it does not name.
    pub fn is_open(&self) -> bool {
        self.groups.contains("*") || self.resources.iter().any(|r| r.starts_with('*'))
    }

    /// Whether it names this resource itself.
    pub fn names(&self, group: &str, resource: &str) -> bool {
        let is_it = |text: &String| text.split('/').next() == Some(resource);
        (self.groups.contains("*") || self.groups.contains(group))
            && self.resources.iter().any(is_it)
    }
}

/// Makes one of rules that are the same but for one set.
fn merge<T: Ord>(rules: &mut Vec<WebhookRule>, set: fn(&mut WebhookRule) -> &mut BTreeSet<T>) {
    let mut merged: Vec<(WebhookRule, BTreeSet<T>)> = Vec::new();
    for mut rule in std::mem::take(rules) {
        let part = std::mem::take(set(&mut rule));
        match merged.iter_mut().find(|(rest, _)| *rest == rule) {
            Some((_, parts)) => parts.extend(part),
            None => merged.push((rule, part)),
        }
    }
    *rules = merged
        .into_iter()
        .map(|(mut rule, part)| {
            *set(&mut rule) = part;
            rule
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use crate::controller::registration::rules::union;
    use crate::policy::api::{NamedRule, Operation, Scope};

    const ALL: [Operation; 4] =
        [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];

    /// `CREATE,UPDATE apps v1 deployments,deployments/scale`
    fn rule(text: &str) -> NamedRule {
        let words: Vec<Vec<String>> = text
            .split(' ')
            .map(|words| words.split(',').map(|word| word.replace("''", "")).collect())
            .collect();
        let operation = |word: &String| match word.as_str() {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            _ => Operation::All,
        };
        NamedRule {
            resource_names: vec!["x".into()],
            operations: words[0].iter().map(operation).collect(),
            api_groups: words[1].clone(),
            api_versions: words[2].clone(),
            resources: words[3].clone(),
            scope: Scope::All,
        }
    }

    #[test]
    fn a_union_says_the_same_in_as_few_rules_and_is_valid() {
        let check = |rules: &[&str], expect: &[&str]| {
            let rules: Vec<NamedRule> = rules.iter().map(|text| rule(text)).collect();
            let union: Vec<String> = union(&rules, &ALL)
                .iter()
                .map(|rule| {
                    let join = |words: Vec<&str>| words.join(",");
                    format!(
                        "{} {} {} {}",
                        join(rule.operations.iter().copied().collect()),
                        join(rule.groups.iter().map(String::as_str).collect()),
                        join(rule.versions.iter().map(String::as_str).collect()),
                        join(rule.resources.iter().map(String::as_str).collect()),
                    )
                })
                .collect();
            assert_eq!(union, expect, "{rules:?}");
        };
        check(&[], &[]);
        check(&["CREATE apps v1 a", "CREATE apps v1 a"], &["CREATE apps v1 a"]);
        check(&["CREATE apps v1 a", "CREATE apps v1 b"], &["CREATE apps v1 a,b"]);
        check(&["CREATE apps v1 a", "UPDATE apps v1 a"], &["CREATE,UPDATE apps v1 a"]);
        check(
            &["CREATE apps v1 a,b", "UPDATE apps v1 b", "UPDATE apps v1 a"],
            &["CREATE,UPDATE apps v1 a,b"],
        );
        check(
            &["CREATE apps v1 a", "UPDATE batch v1 b"],
            &["CREATE apps v1 a", "UPDATE batch v1 b"],
        );
        check(&["CREATE '' v1 pods,*"], &["CREATE  v1 *"]);
        check(&["CREATE '' v1 pods,pods/log,pods/*"], &["CREATE  v1 pods/*"]);
        check(&["CREATE '' v1 pods,*/*"], &["CREATE  v1 */*"]);
        check(&["CREATE '' v1 pods/status", "CREATE '' v1 */status"], &["CREATE  v1 */status"]);
        check(&["CREATE *,apps v1,* a"], &["CREATE * * a"]);
        check(&["* apps v1 a"], &["CONNECT,CREATE,DELETE,UPDATE apps v1 a"]);
        check(&["CREATE apps '' a", "CREATE apps v1 ''"], &[]);
    }

    #[test]
    fn a_mutating_webhook_is_not_called_for_what_it_can_not_change() {
        let all = rule("* apps v1 a");
        let possible = [Operation::Create, Operation::Update, Operation::Connect];
        let union = union([&all], &possible);
        assert!(union[0].operations.iter().all(|operation| *operation != "DELETE"));
    }
}
