//! A registry with images that cosign signed, made once for all tests.

use crate::push::Repository;
use crate::tools::{Registry, cosign};
use portcullis::images::Digest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// How cosign keeps signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Bundle,
    Legacy,
}

pub const FORMATS: [Format; 2] = [Format::Bundle, Format::Legacy];

pub struct World {
    pub registry: Registry,
    pub folder: PathBuf,
    images: HashMap<(Format, &'static str), Digest>,
}

pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cosign");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["release", "others"] {
            let prefix = format!("--output-key-prefix={name}");
            assert_eq!(cosign(&folder, &["generate-key-pair", &prefix]).code, 0);
        }
        let mut world = Self { registry: Registry::start(), folder, images: HashMap::new() };
        for format in FORMATS {
            for (image, keys) in [
                ("unsigned", &[][..]),
                ("signed", &["release"]),
                ("by-others", &["others"]),
                ("twice", &["release", "others"]),
            ] {
                let digest =
                    world.repository(format, image).image("v1", &format!("{format:?} {image}"));
                world.images.insert((format, image), digest);
                for key in keys {
                    world.sign(format, image, key);
                }
            }
        }
        world.policies();
        world
    }

    /// The repository of an image of the world.
    pub fn repository(&self, format: Format, image: &str) -> Repository {
        let name = format!("{}/{image}", format!("{format:?}").to_lowercase());
        Repository { host: self.registry.host.clone(), name }
    }

    /// Its reference.
    pub fn image(&self, format: Format, image: &str) -> String {
        let Repository { host, name } = self.repository(format, image);
        format!("{host}/{name}:v1")
    }

    pub fn digest(&self, format: Format, image: &str) -> String {
        self.images
            .iter()
            .find(|((f, name), _)| *f == format && *name == image)
            .unwrap()
            .1
            .to_string()
    }

    /// Has cosign sign what the tag `v1` names.
    pub fn sign(&self, format: Format, image: &str, key: &str) {
        let Repository { host, name } = self.repository(format, image);
        let manifest = self.repository(format, image).read("manifests/v1").unwrap();
        let reference = format!("{host}/{name}@{}", Digest::of(&manifest));
        self.cosign(format, &["sign", "--key", &format!("{key}.key"), &reference]);
    }

    /// Has cosign sign or attest with a key, without a log.
    pub fn cosign(&self, format: Format, arguments: &[&str]) {
        let new = format!("--new-bundle-format={}", format == Format::Bundle);
        let (verb, rest) = arguments.split_first().unwrap();
        let fixed = [*verb, &new, "--tlog-upload=false", "--use-signing-config=false", "--yes"];
        let said = cosign(&self.folder, &[&fixed[..], rest].concat());
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// A policy's file.
    pub fn policy(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.yaml"))
    }

    /// Writes a policy over these images with this rest of its spec.
    pub fn write_policy(&self, name: &str, images: &str, spec: serde_json::Value) -> PathBuf {
        let mut spec = spec;
        spec["images"] = serde_json::json!([images]);
        let policy = serde_json::json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        std::fs::write(self.policy(name), policy.to_string()).unwrap();
        self.policy(name)
    }

    /// The authority of a key.
    pub fn key(&self, name: &str) -> serde_json::Value {
        let pem = std::fs::read_to_string(self.folder.join(format!("{name}.pub"))).unwrap();
        serde_json::json!({"name": name, "key": {"publicKey": pem}})
    }

    fn policies(&self) {
        use serde_json::json;
        let (release, others) = (self.key("release"), self.key("others"));
        self.write_policy("release", "**", json!({"authorities": [release]}));
        self.write_policy("elsewhere", "ghcr.io/**", json!({"authorities": [release]}));
        let both = json!({"authorities": [release, others], "required": 2});
        self.write_policy("both", "**", both);
        self.write_policy("any", "**", json!({"authorities": [release, others]}));
        for (name, answer) in [("pass", "Pass"), ("fail", "Fail")] {
            let authority = json!({"name": name, "static": answer});
            self.write_policy(name, "**", json!({"authorities": [authority]}));
        }
        let broken = json!({"name": "a", "key": {"publicKey": "awskms:///alias/a"}});
        self.write_policy("broken", "**", json!({"authorities": [broken]}));
    }
}
