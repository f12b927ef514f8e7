//! The types that the program knows without a cluster are those of a real API server. `make schemas` writes them.

use portcullis::schema::Catalog;
use serde_json::Value;

use crate::{WORLD, tree};

/// Where they are kept.
const FILE: &str = "src/schema/kubernetes.txt";

#[test]
fn the_types_of_built_in_kinds_are_those_of_the_api_server() {
    let read = |path: &str| -> Value {
        let said = WORLD.kubectl.run(&["get", "--raw", path]);
        serde_json::from_str(&said.ok().unwrap()).unwrap()
    };
    let version = read("/version")["gitVersion"].as_str().unwrap().to_owned();
    let index = read("/openapi/v3");
    let documents: Vec<Value> = index["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(path, _)| is_built_in(path))
        .map(|(_, entry)| read(entry["serverRelativeURL"].as_str().unwrap()))
        .collect();
    let title = format!("The built-in types of Kubernetes {version}. Written by `make schemas`.");
    let written = Catalog::built_in_from_openapi(&documents).write(&title);
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(tree(FILE), &written).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(tree(FILE)).unwrap();
    // Another release has other types.
    if kept.lines().next() == written.lines().next() {
        assert!(kept == written, "{FILE} is not what `make schemas` writes");
    }
}

/// Whether the path is of a group and version of the API server's own. Those of custom resources come and go meanwhile.
fn is_built_in(path: &str) -> bool {
    match *path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", _version] => true,
        ["apis", group, _version] => !group.contains('.') || group.ends_with(".k8s.io"),
        _ => false,
    }
}
