//! A `spec.md` as its reader sees it: examples, each a heading, YAML blocks, and the answer that is expected. The format
//! is described in `policies/README.md`. Nothing here evaluates a policy.

use serde_json::{Value, json};

/// One example of a spec.
#[derive(Debug, Default)]
pub struct Example {
    pub title: String,
    /// The line of the heading.
    pub line: usize,
    pub object: Value,
    pub old: Option<Value>,
    pub params: Option<Value>,
    pub namespace: Option<Value>,
    /// Fields of the request that aren't what they usually are.
    pub request: Option<Value>,
    pub expected: Option<Expected>,
}

/// What an example says the answer is.
#[derive(Debug, PartialEq)]
pub enum Expected {
    Allow,
    Deny(String),
    Warn(String),
    /// The part of the object that has changed.
    Patch(Value),
}

/// All examples of a text. Anything that is not understood is an error: an example that is passed over tests nothing.
pub fn examples(text: &str) -> Result<Vec<Example>, String> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            let title = title.to_owned();
            examples.push(Example { title, line: number + 1, ..Example::default() });
            continue;
        }
        let Some(example) = examples.last_mut() else { continue };
        let at = |problem: &str| format!("line {}: {problem}", number + 1);
        if let Some(word) = line.strip_prefix("```") {
            let body: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let block = serde_saphyr::from_str(&body.join("\n")).map_err(|e| at(&e.to_string()))?;
            example.add_block(word, block).map_err(|problem| at(&problem))?;
        } else if let Some(expected) = expected(line)
            && example.expected.replace(expected).is_some()
        {
            return Err(at("a second answer"));
        }
    }
    for example in &examples {
        let missing = if example.object.is_null() { "an object" } else { "an answer" };
        if example.object.is_null() || example.expected.is_none() {
            return Err(format!("line {}: `{}` lacks {missing}", example.line, example.title));
        }
    }
    Ok(examples)
}

fn expected(line: &str) -> Option<Expected> {
    match line.split_once(": ") {
        Some(("Deny", message)) => Some(Expected::Deny(message.to_owned())),
        Some(("Warn", message)) => Some(Expected::Warn(message.to_owned())),
        _ if line == "Allow" => Some(Expected::Allow),
        _ if line == "Patch:" => Some(Expected::Patch(Value::Null)),
        _ => None,
    }
}

impl Example {
    fn add_block(&mut self, word: &str, block: Value) -> Result<(), String> {
        if let Some(Expected::Patch(fragment)) = &mut self.expected
            && fragment.is_null()
        {
            *fragment = block;
            return Ok(());
        }
        let place = match word {
            "yaml" if self.object.is_null() => {
                self.object = block;
                return Ok(());
            }
            "yaml old" => &mut self.old,
            "yaml params" => &mut self.params,
            "yaml namespace" => &mut self.namespace,
            "yaml request" => &mut self.request,
            _ => return Err(format!("`{word}` is no block, or there is one already")),
        };
        if place.replace(block).is_some() {
            return Err(format!("a second `{word}`"));
        }
        Ok(())
    }

    /// The AdmissionReview that the API server would send.
    pub fn review(&self) -> Value {
        let text = |pointer: &str| self.object.pointer(pointer).and_then(Value::as_str);
        let (group, version) = text("/apiVersion")
            .unwrap()
            .rsplit_once('/')
            .unwrap_or(("", text("/apiVersion").unwrap()));
        let kind = json!({"group": group, "version": version, "kind": text("/kind")});
        let plural = format!("{}s", text("/kind").unwrap().to_lowercase());
        let resource = json!({"group": group, "version": version, "resource": plural});
        let namespace = text("/metadata/namespace").unwrap_or("default");
        let placed = |object: &Value| {
            let mut object = object.clone();
            object["metadata"]["namespace"] = json!(namespace);
            object
        };
        let mut request = json!({
            "uid": "00000000-0000-0000-0000-000000000000",
            "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
            "name": text("/metadata/name"), "namespace": namespace,
            "operation": if self.old.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {"username": "jane", "groups": ["developers", "system:authenticated"]},
            "object": placed(&self.object), "oldObject": self.old.as_ref().map(placed),
            "dryRun": false, "options": null,
        });
        let other = self.request.clone().unwrap_or(json!({}));
        for (field, value) in other.as_object().expect("`yaml request` is a mapping") {
            request[field] = value.clone();
        }
        if let Some(subresource) = other.get("subResource") {
            request["requestSubResource"] = subresource.clone();
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    }

    /// The namespace of the request: the one in the example, or one that has no labels but its name.
    pub fn namespace(&self) -> Value {
        let name = self.object["metadata"]["namespace"].as_str().unwrap_or("default");
        let plain = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let mut namespace = self.namespace.clone().unwrap_or(plain);
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        namespace
    }
}

/// `object` with what `fragment` states in place of what was there; lists of the same length item by item.
pub fn merged(object: &Value, fragment: &Value) -> Value {
    match (object, fragment) {
        (Value::Object(old), Value::Object(new)) => {
            let mut both = old.clone();
            for (key, value) in new {
                both.insert(
                    key.clone(),
                    old.get(key).map_or_else(|| value.clone(), |o| merged(o, value)),
                );
            }
            Value::Object(both)
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).map(|(old, new)| merged(old, new)).collect()
        }
        _ => fragment.clone(),
    }
}
