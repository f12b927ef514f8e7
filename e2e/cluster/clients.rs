//! Who is answered: the API server, which shows a certificate, and nobody else who reaches the port.

use std::process::Command;

use crate::pki::API_SERVER_AS_CLIENT;
use crate::{PEACE, Space, WORLD, pod};

const POLICY: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: ValidatingPolicy
metadata: {name: SPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validationActions: [Deny]
  validations: [{expression: 'false', message: only who shows a certificate reads this}]
";

#[test]
fn only_the_api_server_is_answered() {
    let Some(control_plane) = &WORLD.control_plane else { return };
    let _peace = PEACE.read();
    let space = Space::open("clients");
    space.apply_until(POLICY, &pod("asked", "app"), "only who shows a certificate reads this");
    let rows = [
        (None, "401", "certificate"),
        (Some("somebody-else"), "401", "certificate"),
        (Some("admin"), "000", ""),
        (Some(API_SERVER_AS_CLIENT), "400", "AdmissionReview"),
    ];
    let url = WORLD.server().url("/validate");
    for (who, status, says) in rows {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--max-time", "5", "--write-out", "\n%{http_code}"]);
        curl.args(["--header", "content-type: application/json", "--data", "{}", &url]);
        if let Some(who) = who {
            curl.args(["--cert", &control_plane.pki.path(&format!("{who}.crt"))]);
            curl.args(["--key", &control_plane.pki.path(&format!("{who}.key"))]);
        }
        let said = curl.output().expect("`curl` is needed").stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(said.ends_with(status) && said.contains(says), "{who:?}: {said}");
    }
}
