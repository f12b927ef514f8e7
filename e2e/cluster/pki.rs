//! The keys and certificates of a test control plane, made new for each run and worth nothing outside it.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// Names and addresses under which the API server is reached, by us and by controllers.
const API_SERVER_NAMES: &[&str] =
    &["127.0.0.1", "10.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"];

/// What the API server is called by the webhooks that it asks.
pub const API_SERVER_AS_CLIENT: &str = "kube-apiserver-of-webhooks";

/// A folder of PEM files: `ca.crt` and `webhooks-ca.crt`, which is for clients of webhooks alone, and `NAME.crt` with
/// `NAME.key` for each party.
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    pub fn create(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let account = KeyPair::generate().unwrap();
        write(folder, "service-account.key", &account.serialize_pem());
        write(folder, "service-account.pub", &account.public_key_pem());
        let pki = Self { folder: folder.to_path_buf() };
        let ca = pki.authority("ca");
        pki.sign(&ca, "kube-apiserver", None, API_SERVER_NAMES);
        pki.sign(&ca, "admin", Some("system:masters"), &[]);
        pki.sign(&ca, "system:kube-controller-manager", None, &[]);
        let webhooks = pki.authority("webhooks-ca");
        pki.sign(&webhooks, API_SERVER_AS_CLIENT, None, &[]);
        pki.sign(&webhooks, "somebody-else", None, &[]);
        pki
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let key = KeyPair::generate().unwrap();
        let mut params = named(&format!("portcullis-e2e-{name}"), None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        write(&self.folder, &format!("{name}.crt"), &certificate.pem());
        write(&self.folder, &format!("{name}.key"), &key.serialize_pem());
        Issuer::new(params, key)
    }

    /// The path of a file of the folder, as an argument.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().unwrap().to_owned()
    }

    fn sign(&self, ca: &Issuer<'_, KeyPair>, user: &str, group: Option<&str>, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let mut params = named(user, group);
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let file = user.trim_start_matches("system:");
        write(&self.folder, &format!("{file}.crt"), &params.signed_by(&key, ca).unwrap().pem());
        write(&self.folder, &format!("{file}.key"), &key.serialize_pem());
    }

    /// Writes a kubeconfig for a party that `create` made a certificate for.
    pub fn kubeconfig(&self, file: &Path, party: &str, server: &str) {
        let text = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {
                "server": server, "certificate-authority": self.path("ca.crt"),
            }}],
            "users": [{"name": party, "user": {
                "client-certificate": self.path(&format!("{party}.crt")),
                "client-key": self.path(&format!("{party}.key")),
            }}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": party}}],
            "current-context": "e2e",
        });
        std::fs::write(file, text.to_string()).unwrap();
    }

    /// Writes how the API server shows webhooks who it is (`--admission-control-config-file`), and answers where.
    pub fn admission_configuration(&self) -> String {
        let file = |end: &str| self.path(&format!("{API_SERVER_AS_CLIENT}.{end}"));
        let user =
            serde_json::json!({"client-certificate": file("crt"), "client-key": file("key")});
        let users = serde_json::json!([{"name": "*", "user": user}]);
        let kubeconfig = serde_json::json!({"apiVersion": "v1", "kind": "Config", "users": users});
        write(&self.folder, "webhooks.kubeconfig", &kubeconfig.to_string());
        let webhooks = serde_json::json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": self.path("webhooks.kubeconfig"),
        });
        let plugins = ["ValidatingAdmissionWebhook", "MutatingAdmissionWebhook"]
            .map(|name| serde_json::json!({"name": name, "configuration": webhooks}));
        let configuration = serde_json::json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": plugins,
        });
        write(&self.folder, "admission.json", &configuration.to_string());
        self.path("admission.json")
    }
}

fn named(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}
