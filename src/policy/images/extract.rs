//! Images that expressions find in objects of kinds that nobody here knows.

use crate::cel::{Env, Evaluation, NoAnswers, Type, Value, Version};
use crate::json::Node;
use crate::policy::api::ImageExtractor;
use crate::policy::budget::{POLICY_COST_MAX, Runner, Stop};
use crate::policy::compile::Expression;
use crate::policy::facts::NamespaceObject;
use crate::policy::images::Refusals;
use crate::policy::invocation::{Halt, Invocation};
use crate::schema;

/// How many extractors a policy may have.
const EXTRACTORS_MAX: usize = 16;

/// The extractors of a policy, compiled.
pub(in crate::policy) struct Extractors {
    env: Env,
    each: Vec<Extractor>,
}

#[derive(Debug)]
struct Extractor {
    name: String,
    expression: Expression,
}

impl std::fmt::Debug for Extractors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.each).finish()
    }
}

/// An image that an expression found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Extracted<'r> {
    /// What it says.
    pub image: String,
    /// The name of the extractor.
    pub by: &'r str,
}

/// What expressions see of a request, in this order.
pub(in crate::policy::images) fn env(version: Version) -> Env {
    Env::kubernetes(version)
        .declare("object", Type::Dyn)
        .declare("oldObject", Type::Dyn)
        .declare("namespaceObject", schema::namespace())
        .declare("request", schema::request())
}

impl Extractors {
    /// Compiles what was written. What does not compile is told, and fails when it is asked.
    pub fn compile(
        written: &[ImageExtractor],
        version: Version,
        refusals: &mut Refusals,
    ) -> Extractors {
        // Of a field that no schema describes nobody knows the type before it is there.
        let types = [Type::String, Type::list(Type::String), Type::Dyn, Type::list(Type::Dyn)];
        let env = env(version);
        let mut each = Vec::new();
        for (place, extractor) in written.iter().take(EXTRACTORS_MAX).enumerate() {
            let source = extractor.expression.as_str();
            let program = env.compile(source, &types);
            let program = program.map_err(|error| {
                let detail = error.detail();
                refusals.push((format!("spec.extractors[{place}].expression"), error));
                detail
            });
            let expression = Expression { source: source.to_owned(), program };
            each.push(Extractor { name: extractor.name.clone(), expression });
        }
        Extractors { env, each }
    }

    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.each.iter().map(|extractor| extractor.expression.source.trim())
    }
}

impl<'s: 'q, 'q> Invocation<'s, 'q> {
    /// What extractors find in an object, and what went wrong.
    pub(in crate::policy::images) fn extracted<'r>(
        &self,
        extractors: &'r Extractors,
        object: Node<'_>,
        old_object: Node<'_>,
    ) -> Result<(Vec<Extracted<'r>>, Vec<String>), Halt> {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        if extractors.is_empty() || object.is_null() {
            return Ok((found, errors));
        }
        let roots = self.seen(object, old_object);
        let evaluation = Evaluation::new(self.question.arena, &extractors.env, &roots, &NoAnswers);
        let mut runner = Runner::new(evaluation, POLICY_COST_MAX);
        for Extractor { name, expression } in &extractors.each {
            let told = |why: String| format!("extractor `{name}`: {why}");
            let mut add = |image: &str| {
                if !image.is_empty() {
                    found.push(Extracted { image: image.to_owned(), by: name });
                }
            };
            match runner.run(expression) {
                Ok(Value::String(image)) => add(image),
                Ok(Value::List(list)) => {
                    for element in list.iter() {
                        match element.as_str() {
                            Some(image) => add(image),
                            None => {
                                let what = element.type_name();
                                errors.push(told(format!(
                                    "{what} is no image: a string is expected"
                                )));
                            }
                        }
                    }
                }
                Ok(other) => {
                    let what = other.type_name();
                    let why = format!("it gives {what}: a string or a list of strings is expected");
                    errors.push(told(why));
                }
                Err(Stop::Halt(halt)) => return Err(halt),
                Err(stop) => errors.push(told(stop.message()?)),
            }
        }
        Ok((found, errors))
    }

    /// The values of [`env`].
    pub(in crate::policy::images) fn seen<'a>(
        &self,
        object: Node<'a>,
        old_object: Node<'a>,
    ) -> [Value<'a>; 4]
    where
        'q: 'a,
    {
        let namespace = self.namespace.map_or(Node::null(), NamespaceObject::shown);
        [object, old_object, namespace, self.question.request.attributes].map(Value::from_json)
    }
}
