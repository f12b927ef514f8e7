//! `portcullis status`: whether a cluster is guarded, as the cluster itself has it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use crate::cli::reach::Reach;
use crate::cli::{Exit, Failure, runtime};
use crate::controller::now;
use crate::controller::survey::{Survey, survey};
use crate::controller::uninstall::Place;

/// Between two looks, while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The reason of policies that nobody has put in force. That is somebody's choice, and nothing is wrong with it.
const NOT_BOUND: &str = "NotBound";

/// Shows whether a cluster is guarded: who writes, which webhooks are registered, which policies are not in force.
///
/// It ends with 1 if something is not in order.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis status
  portcullis status --wait 1m     # after an installation")]
pub struct StatusArgs {
    /// Looks again until all is in order, for so long
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    wait: SignedDuration,
    /// The namespace of the server
    #[arg(long, default_value = "portcullis-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// The Lease
    #[arg(long, default_value = "portcullis")]
    lease: String,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let client = args.reach.client().await?;
        let place = Place { namespace: args.namespace.clone(), lease: args.lease.clone() };
        let until = Instant::now() + args.wait.unsigned_abs();
        loop {
            let looked = survey(&client, &place, now()).await.map_err(Failure::new);
            let in_order = looked.as_ref().is_ok_and(is_in_order);
            if !in_order && Instant::now() < until {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
            io::stdout().write_all(text(&looked?, &place).as_bytes())?;
            return Ok(if in_order { Exit::Ok } else { Exit::Findings });
        }
    })
}

fn is_in_order(survey: &Survey) -> bool {
    let Survey { holder, validating, mutating, policies } = survey;
    let is_fine = |problem: &Option<(String, String)>| {
        problem.as_ref().is_none_or(|(reason, _)| reason == NOT_BOUND)
    };
    holder.is_some()
        && validating.is_some()
        && mutating.is_some()
        && policies.iter().all(|policy| is_fine(&policy.problem))
}

fn text(survey: &Survey, place: &Place) -> String {
    let Survey { holder, validating, mutating, policies } = survey;
    let Place { namespace, lease } = place;
    let holder = holder.as_ref().map_or("nobody, so that nothing is registered", |name| name);
    let webhooks = |count: &Option<usize>| {
        count.map_or("not registered".to_owned(), |count| format!("{count} registered"))
    };
    let ready = policies.iter().filter(|policy| policy.problem.is_none()).count();
    let mut text = format!(
        "lease {namespace}/{lease}: held by {holder}\n\
         validating webhooks: {}\n\
         mutating webhooks: {}\n\
         policies: {ready} of {} in force\n",
        webhooks(validating),
        webhooks(mutating),
        policies.len()
    );
    for policy in policies {
        if let Some((reason, message)) = &policy.problem {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {} {}: {reason}: {message}", policy.kind, policy.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::cli::status::{is_in_order, text};
    use crate::controller::survey::{Policy, Survey};
    use crate::controller::uninstall::Place;

    fn guarded() -> Survey {
        let policy = |name: &str, problem: Option<(&str, &str)>| Policy {
            kind: "ValidatingPolicy".into(),
            name: name.into(),
            problem: problem.map(|(reason, message)| (reason.into(), message.into())),
        };
        Survey {
            holder: Some("portcullis-0".into()),
            validating: Some(2),
            mutating: Some(0),
            policies: vec![policy("a", None), policy("b", Some(("NotBound", "nothing binds it")))],
        }
    }

    #[test]
    fn a_cluster_is_guarded_when_somebody_writes_and_every_policy_is_as_somebody_wants_it() {
        assert!(is_in_order(&guarded()));
        assert!(!is_in_order(&Survey { holder: None, ..guarded() }));
        assert!(!is_in_order(&Survey { validating: None, ..guarded() }));
        assert!(!is_in_order(&Survey { mutating: None, ..guarded() }));
        let mut broken = guarded();
        broken.policies[0].problem = Some(("DoesNotCompile".into(), "no".into()));
        assert!(!is_in_order(&broken));
    }

    #[test]
    fn the_text_says_what_is_missing() {
        let place = Place { namespace: "ns".into(), lease: "portcullis".into() };
        assert_eq!(
            text(&Survey { mutating: None, ..guarded() }, &place),
            "lease ns/portcullis: held by portcullis-0\n\
             validating webhooks: 2 registered\n\
             mutating webhooks: not registered\n\
             policies: 1 of 2 in force\n  \
             ValidatingPolicy b: NotBound: nothing binds it\n"
        );
    }
}
