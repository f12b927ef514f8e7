//! Images in a registry that wants to know who asks: the credentials of Pods are shown for their own images, and for nobody
//! else's.

use crate::processes::eventually;
use crate::push::Repository;
use crate::tools::cosign;
use crate::{PEACE, Space, WORLD};
use serde_json::{Value, json};
use std::time::Duration;

/// What runs is verified beforehand at most twice a minute.
const WARM_PATIENCE: Duration = Duration::from_mins(2);

/// Signs an image in the registry, and says how it is called behind the guard.
fn signed(name: &str) -> (String, String) {
    let folder = WORLD.run.folder.join(format!("cosign-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(cosign(&folder, &["generate-key-pair"]).code, 0);
    let repository = Repository { host: WORLD.registry.host.clone(), name: name.to_owned() };
    let digest = repository.image("v1", name);
    let reference = format!("{}/{name}@{digest}", repository.host);
    let fixed = ["--tlog-upload=false", "--use-signing-config=false", "--yes"];
    let sign = [&["sign", "--key", "cosign.key"], &fixed[..], &[&reference]].concat();
    assert_eq!(cosign(&folder, &sign).code, 0);
    let key = std::fs::read_to_string(folder.join("cosign.pub")).unwrap();
    (format!("{}/{name}:v1@{digest}", WORLD.guard.host), key)
}

fn policy(name: &str, key: &str, spaces: &[&Space]) -> String {
    let names: Vec<&String> = spaces.iter().map(|space| &space.name).collect();
    json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": name},
        "spec": {
            "images": [format!("{}/**", WORLD.guard.host)],
            "authorities": [{"name": "release", "key": {"publicKey": key}}],
            "matchConstraints": {
                "namespaceSelector": {"matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": names},
                ]},
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
                    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]},
                ],
            },
        },
    })
    .to_string()
}

fn spec(image: &str, more: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": image}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn pod(name: &str, image: &str, more: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec(image, more)})
        .to_string()
}

fn deployment(name: &str, image: &str, more: &Value) -> String {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec(image, more)},
        },
    })
    .to_string()
}

/// How often something about an image was asked for.
fn asked(name: &str) -> usize {
    let path = format!("/v2/{name}/");
    WORLD.guard.asked().iter().filter(|asked| asked.path.starts_with(&path)).count()
}

fn login(space: &Space, name: &str, password: &str) {
    let server = format!("--docker-server={}", WORLD.guard.host);
    let password = format!("--docker-password={password}");
    let create = ["create", "secret", "docker-registry", name, &server, "--docker-username=u"];
    space.kubectl.run(&[&create[..], &[&password]].concat()).assert_accepted();
}

#[test]
fn the_pull_secrets_of_pods_are_shown_for_their_images_only() {
    let _peace = PEACE.read();
    let (space, other) = (Space::open("pull-secrets"), Space::open("pull-secrets-other"));
    let (image, key) = signed("guarded");
    let image = image.split('@').next().unwrap();
    let with = |secret: &str| json!({"imagePullSecrets": [{"name": secret}]});
    let nobody = pod("nobody", image, &json!({}));
    let why = format!("{} does not let us read `guarded` without credentials", WORLD.guard.host);
    space.apply_until(&policy("e2e-pull-secrets", &key, &[&space, &other]), &nobody, &why);

    login(&space, "login", "p");
    login(&space, "wrong", "q");
    space.kubectl.apply(&pod("login", image, &with("login"))).assert_accepted();
    let said = space.kubectl.apply(&pod("wrong", image, &with("wrong")));
    said.assert_rejected(&["it does not accept the credentials"]);
    let said = space.kubectl.apply(&pod("gone", image, &with("gone")));
    println!("$ kubectl apply -f gone.yaml\n{}", said.stderr);
    let gone = format!("the pull secret `{}/gone` is not there", space.name);
    said.assert_rejected(&["without credentials", &gone]);
    let create = ["create", "secret", "generic", "generic", "--from-literal=a=b"];
    space.kubectl.run(&create).assert_accepted();
    space
        .kubectl
        .apply(&pod("generic", image, &with("generic")))
        .assert_rejected(&["is of type `Opaque`, and no pull secret"]);
    // One of several is enough, and what others have is not taken for theirs.
    let both = json!({"imagePullSecrets": [{"name": "wrong"}, {"name": "login"}]});
    space.kubectl.apply(&pod("both", image, &both)).assert_accepted();
    other.kubectl.apply(&nobody).assert_rejected(&[&why]);
    other
        .kubectl
        .apply(&pod("login", image, &with("login")))
        .assert_rejected(&[&format!("the pull secret `{}/login` is not there", other.name)]);

    // What makes Pods says it too, and the ServiceAccount where it says nothing.
    space.kubectl.apply(&deployment("login", image, &with("login"))).assert_accepted();
    space.kubectl.apply(&deployment("nobody", image, &json!({}))).assert_rejected(&[&why]);
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "login"}],
    });
    space.kubectl.apply(&account.to_string()).assert_accepted();
    let puller = json!({"serviceAccountName": "puller"});
    space.kubectl.apply(&deployment("puller", image, &puller)).assert_accepted();
}

#[test]
fn what_runs_is_verified_before_anybody_waits() {
    let _peace = PEACE.read();
    let space = Space::open("warm");
    let (image, key) = signed("warm");
    login(&space, "login", "p");
    let with = json!({"imagePullSecrets": [{"name": "login"}]});
    // It was there before the policy.
    space.kubectl.apply(&pod("early", &image, &with)).assert_accepted();
    assert_eq!(asked("warm"), 0, "no policy is about it");
    space.apply(&policy("e2e-warm", &key, &[&space]));
    let log = || WORLD.server().metrics();
    eventually("the image was verified", WARM_PATIENCE, || {
        if asked("warm") >= 5 { Ok(()) } else { Err(log()) }
    });
    // Until the last question is answered.
    std::thread::sleep(Duration::from_secs(1));
    let before = asked("warm");
    space.kubectl.apply(&pod("late", &image, &with)).assert_accepted();
    assert_eq!(asked("warm"), before, "the answer was not there");
    // Others have to show who they are.
    let nobody = pod("nobody", &image, &json!({}));
    space.kubectl.apply(&nobody).assert_rejected(&["without credentials"]);
}
