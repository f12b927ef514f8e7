//! `portcullis break-glass`: enforcement off, for a while and for a reason, also when the server is down.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp, Unit};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep};

use crate::cli::reach::Reach;
use crate::cli::{Exit, Failure, runtime};
use crate::controller::break_glass::{Begun, begin, end, list};
use crate::controller::limits::BREAK_GLASS_MAX;
use crate::controller::now;
use crate::policy::api::{BreakGlass, BreakGlassSpec};

/// How long to wait for a server to say that it has heard.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// Between two looks.
const HEARD_INTERVAL: Duration = Duration::from_millis(100);

/// Suspends enforcement: what would be denied is admitted, with a warning and an audit annotation.
///
/// It works when the server is down: the webhooks are made to fail open by this command itself. It ends by itself, and
/// everybody can see it: `kubectl get breakglasses`, the status of the policies, Events, metrics and the log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis break-glass --reason 'incident 4711: rollouts are denied' --for 30m
  portcullis break-glass --reason 'denies a hotfix' --policy required-labels
  portcullis break-glass --list
  portcullis break-glass --end")]
pub struct BreakGlassArgs {
    /// Why. It is kept with the BreakGlass, and everybody can read it
    #[arg(long, required_unless_present_any = ["end", "list"])]
    reason: Option<String>,
    /// Only the policy of this name, of any kind; may be repeated. By default all
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// For how long, as in `30m` or `1h30m`; at most 24 hours
    #[arg(long = "for", value_name = "DURATION", default_value = "1h")]
    duration: SignedDuration,
    /// Ends all that there are: policies are enforced again
    #[arg(long, conflicts_with_all = ["reason", "policy", "list"])]
    end: bool,
    /// Shows all that there are
    #[arg(long, conflicts_with_all = ["reason", "policy"])]
    list: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub fn run(args: &BreakGlassArgs) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let client = args.reach.client().await?;
        let out = &mut io::stdout();
        if args.list {
            for glass in list(&client).await.map_err(Failure::new)? {
                writeln!(out, "{}", line(&glass))?;
            }
            return Ok(Exit::Ok);
        }
        if args.end {
            return ended(&client, out).await;
        }
        let max = SignedDuration::try_from(BREAK_GLASS_MAX).unwrap_or(SignedDuration::MAX);
        if args.duration <= SignedDuration::ZERO || args.duration > max {
            let hours = BREAK_GLASS_MAX.as_secs() / 3600;
            return Err(Failure::new(format!("--for is between a second and {hours} hours")));
        }
        let spec = BreakGlassSpec {
            reason: args.reason.clone().unwrap_or_default(),
            until: until(args.duration),
            policies: args.policy.clone(),
            by: None,
        };
        begun(&client, begin(&client, spec).await, out).await
    })
}

/// So long from now, to the second.
fn until(duration: SignedDuration) -> Timestamp {
    let end = now().saturating_add(duration).unwrap_or(Timestamp::MAX);
    end.round(Unit::Second).unwrap_or(end)
}

async fn begun(client: &Client, begun: Begun, out: &mut impl Write) -> Result<Exit, Failure> {
    let Begun { made, opened } = begun;
    let mut exit = Exit::Ok;
    match &opened {
        Some(Ok(0)) => writeln!(out, "no webhook is registered, so nothing is kept out")?,
        Some(Ok(count)) => writeln!(out, "{count} webhooks fail open now")?,
        Some(Err(error)) => {
            eprintln!("error: the webhooks can't be opened: {error}");
            exit = Exit::Usage;
        }
        None => {}
    }
    let glass = match made {
        Ok(glass) => glass,
        Err(error) => {
            eprintln!("error: the BreakGlass can't be made: {error}");
            eprintln!(
                "A server that runs goes on to deny, and registers as before within a minute."
            );
            return Ok(Exit::Usage);
        }
    };
    writeln!(out, "{}", line(&glass))?;
    if is_heard(client, &glass).await {
        writeln!(out, "The server says so too: what would be denied is admitted with a warning.")?;
    } else if opened.is_some() {
        writeln!(out, "No server says so yet. If one runs, it does within seconds.")?;
    } else {
        eprintln!(
            "error: no server says so. If none runs, a single policy can't be suspended: its webhook is also that of \
             others. Without --policy all are."
        );
        exit = Exit::Findings;
    }
    writeln!(out, "End it with: portcullis break-glass --end")?;
    Ok(exit)
}

async fn ended(client: &Client, out: &mut impl Write) -> Result<Exit, Failure> {
    let ended = end(client).await.map_err(Failure::new)?;
    for glass in &ended {
        writeln!(out, "ended: {}", line(glass))?;
    }
    match ended.len() {
        0 => writeln!(out, "there is none")?,
        _ => writeln!(out, "The server enforces again within a second, or as soon as one runs.")?,
    }
    Ok(Exit::Ok)
}

/// Whether a server writes that it is active.
async fn is_heard(client: &Client, glass: &BreakGlass) -> bool {
    let until = Instant::now() + HEARD_WITHIN;
    let name = glass.name_any();
    while Instant::now() < until {
        let says = |found: &BreakGlass| {
            found.name_any() == name && found.status.as_ref().is_some_and(|status| status.active)
        };
        if list(client).await.is_ok_and(|all| all.iter().any(says)) {
            return true;
        }
        sleep(HEARD_INTERVAL).await;
    }
    false
}

fn line(glass: &BreakGlass) -> String {
    let BreakGlassSpec { reason, until, policies, by } = &glass.spec;
    let what = if policies.is_empty() { "all policies".into() } else { policies.join(", ") };
    let by = by.as_deref().unwrap_or("nobody knows who");
    format!("{}: {what} until {until}, by {by}: {reason}", glass.name_any())
}
