//! Makes what differs small: pieces of the expression are taken away for as long as the answers still differ in the same way.

use serde_json::Value as Json;

use crate::case::{Case, difference, ours};
use crate::oracle::Oracle;
use crate::tree::Node;

/// How often something is taken away. Each time all simpler expressions are asked at once.
const ROUNDS_MAX: usize = 80;

/// How many simpler expressions are tried at once; the simplest come first.
const TRIED_MAX: usize = 400;

/// How often the oracle is asked the same, to see whether it always answers the same: Go goes over maps in random order.
const ASKED_AGAIN: usize = 40;

/// Whether the oracle itself gives different answers to the question: then there is nothing to agree with.
pub fn is_random(oracle: &mut Oracle, question: &Json) -> bool {
    let answers = oracle.ask(&vec![question.clone(); ASKED_AGAIN]);
    answers.windows(2).any(|pair| pair[0] != pair[1])
}

/// The smallest case found that still differs as this one does.
pub fn shrink(oracle: &mut Oracle, case: Case, how: &str) -> Case {
    let mut smallest = case;
    for _ in 0..ROUNDS_MAX {
        let trees =
            smallest.expr.simpler().into_iter().map(|expr| Case { expr, ..smallest.clone() });
        let found = first_that_differs(oracle, trees.take(TRIED_MAX).collect(), how)
            .or_else(|| first_that_differs(oracle, texts(&smallest), how))
            .or_else(|| first_that_differs(oracle, inputs(&smallest), how));
        let Some(found) = found else { break };
        smallest = found;
    }
    smallest
}

fn first_that_differs(oracle: &mut Oracle, cases: Vec<Case>, how: &str) -> Option<Case> {
    let questions: Vec<Json> = cases.iter().map(Case::question).collect();
    let answers = oracle.ask(&questions);
    let differs = questions
        .iter()
        .zip(&answers)
        .position(|(question, theirs)| difference(&ours(question), theirs) == Some(how))?;
    if is_random(oracle, &questions[differs]) {
        return None;
    }
    cases.into_iter().nth(differs)
}

/// The expression with a run of characters taken out.
fn texts(case: &Case) -> Vec<Case> {
    let text: Vec<char> = case.expr.to_string().chars().collect();
    let mut shorter = Vec::new();
    let mut size = text.len() / 2;
    while size > 0 && shorter.len() < TRIED_MAX {
        for start in (0..text.len()).step_by(size) {
            let kept =
                text[..start].iter().chain(text.iter().skip(start + size)).collect::<String>();
            let expr = Node::text(case.expr.ty.clone(), kept);
            shorter.push(Case { expr, inputs: case.inputs.clone() });
        }
        size /= 2;
    }
    // Only a few of the last size, which takes single characters.
    shorter.truncate(TRIED_MAX);
    shorter
}

/// The case with something less to evaluate over.
fn inputs(case: &Case) -> Vec<Case> {
    let mut simpler = Vec::new();
    let mut without = |change: &dyn Fn(&mut Json)| {
        let mut other = case.clone();
        change(&mut other.inputs);
        if other.inputs != case.inputs {
            simpler.push(other);
        }
    };
    for key in
        ["variables", "oldObject", "params", "namespaceObject", "request", "authz", "version"]
    {
        without(&|inputs| drop(inputs.as_object_mut().unwrap().remove(key)));
    }
    for place in 0..2 {
        without(&|inputs| {
            if let Some(variables) = inputs.get_mut("variables").and_then(Json::as_array_mut) {
                variables.drain(place.min(variables.len())..(place + 1).min(variables.len()));
            }
        });
    }
    let vars = case.inputs["vars"].as_object().into_iter().flatten();
    for (name, value) in vars {
        without(&|inputs| {
            for part in ["vars", "var_types"] {
                inputs[part].as_object_mut().unwrap().remove(name);
            }
        });
        for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
            without(&|inputs| drop(inputs["vars"][name].as_object_mut().unwrap().remove(key)));
        }
    }
    for key in case.inputs["object"].as_object().into_iter().flatten().map(|(key, _)| key) {
        without(&|inputs| drop(inputs["object"].as_object_mut().unwrap().remove(key)));
    }
    simpler
}
