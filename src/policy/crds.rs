//! The CustomResourceDefinitions, made from the Rust types. What the API server needs to hear differently from what
//! schemars says is said here.

use kube::CustomResourceExt;
use serde_json::Value;

use crate::policy::api::{
    BreakGlass, ImagePolicy, MutatingPolicy, PolicyBinding, TrustRoot, ValidatingPolicy,
};

/// File names in `crds/`, and their content in YAML.
pub fn crds() -> Vec<(String, String)> {
    let all = [
        ValidatingPolicy::crd(),
        MutatingPolicy::crd(),
        ImagePolicy::crd(),
        TrustRoot::crd(),
        PolicyBinding::crd(),
        BreakGlass::crd(),
    ];
    all.iter()
        .map(|crd| {
            let mut value = serde_json::to_value(crd).unwrap_or_default();
            tidy(&mut value);
            (format!("{}.yaml", crd.spec.names.plural), yaml(&value))
        })
        .collect()
}

fn yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

/// Structural schemas know no `additionalProperties: false` (the API server prunes what it doesn't know), and an absent
/// field is enough: with `nullable` a rule would have to think of null as well. Descriptions wrap where the reader does.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.shift_remove("additionalProperties");
            }
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.shift_remove("nullable");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text
                    .split("\n\n")
                    .map(|p| p.replace('\n', " "))
                    .collect::<Vec<_>>()
                    .join("\n\n");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::crds;

    /// `UPDATE_CRDS=1` writes them instead.
    #[test]
    fn crds_in_the_repository_are_those_of_the_types() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let update = option_env!("UPDATE_CRDS").is_some();
        // A chart can't reach outside of its own folder.
        let folders = ["crds", "charts/portcullis/files/crds"];
        for (folder, (name, text)) in
            folders.iter().flat_map(|f| crds().into_iter().map(move |crd| (f, crd)))
        {
            let path = root.join(folder).join(name);
            if update {
                std::fs::write(&path, &text).unwrap();
            }
            assert_eq!(
                std::fs::read_to_string(&path).unwrap_or_default(),
                text,
                "{} is out of date: `make crds` writes it",
                path.display()
            );
        }
    }
}
