//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, from an empty store, on free
//! ports. Where their binaries come from is the business of `e2e/control-plane/build.sh`.

use crate::kubectl::Kubectl;
use crate::pki::Pki;
use crate::processes::{Process, Run, eventually};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// From an empty store it takes 3 s on a quiet machine; this is for one that compiles at the same time.
const START_PATIENCE: Duration = Duration::from_mins(2);

pub struct ControlPlane {
    pub kubectl: Kubectl,
    pub pki: Pki,
    pub api: Process,
    pub etcd: Process,
    /// Held, so that the process has an owner for as long as the run lives.
    _manager: Process,
    binaries: PathBuf,
    ports: Ports,
}

#[derive(Clone, Copy)]
struct Ports {
    api: u16,
    etcd: u16,
    peer: u16,
}

impl ControlPlane {
    pub fn start(run: &Run) -> Self {
        let binaries = binaries();
        let pki = Pki::create(&run.folder.join("pki"));
        let kubeconfig = run.folder.join("admin.kubeconfig");
        let [api, etcd, peer] = free_ports();
        let ports = Ports { api, etcd, peer };
        let server = format!("https://127.0.0.1:{api}");
        pki.kubeconfig(&kubeconfig, "admin", &server);
        pki.kubeconfig(&run.folder.join("manager.kubeconfig"), "kube-controller-manager", &server);
        let kubectl = Kubectl::new(binaries.join("kubectl"), kubeconfig);

        let mut etcd = run.spawn("etcd", &mut etcd_command(&binaries, run, ports));
        let mut api = run.spawn("kube-apiserver", &mut api_server(&binaries, &pki, ports));
        eventually("the API server is ready", START_PATIENCE, || {
            etcd.assert_alive();
            api.assert_alive();
            kubectl.run(&["get", "--raw", "/readyz"]).ok()
        });
        let mut manager = run.spawn("kube-controller-manager", &mut manager(&binaries, run, &pki));
        eventually("the default service account exists", START_PATIENCE, || {
            manager.assert_alive();
            kubectl.run(&["get", "serviceaccount", "default", "-n", "default"]).ok()
        });
        Self { kubectl, pki, api, etcd, _manager: manager, binaries, ports }
    }

    pub fn api_port(&self) -> u16 {
        self.ports.api
    }

    /// Starts an API server in the place of one that was killed; it takes seconds until it is ready.
    pub fn start_api(&mut self, run: &Run) {
        let mut command = api_server(&self.binaries, &self.pki, self.ports);
        self.api = run.spawn("kube-apiserver", &mut command);
    }

    /// Starts etcd in the place of one that was killed, with its data.
    pub fn start_etcd(&mut self, run: &Run) {
        self.etcd = run.spawn("etcd", &mut etcd_command(&self.binaries, run, self.ports));
    }

    pub fn await_api(&self) {
        eventually("the API server is ready", START_PATIENCE, || {
            self.kubectl.run(&["get", "--raw", "/readyz"]).ok()
        });
    }
}

/// The folder of the binaries, built now if they aren't yet. The script tells its progress on stderr.
fn binaries() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/control-plane/build.sh");
    let output = Command::new("bash")
        .arg(&script)
        .stderr(Stdio::inherit())
        .output()
        .expect("`bash` is needed to build the control plane");
    assert!(
        output.status.success(),
        "there is no control plane to test against, see what {} says above",
        script.display()
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Ports that nobody listens on. (Somebody might by the time they are used; then the process says so in its log.)
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn etcd_command(binaries: &Path, run: &Run, ports: Ports) -> Command {
    let (client, peer) =
        (format!("http://127.0.0.1:{}", ports.etcd), format!("http://127.0.0.1:{}", ports.peer));
    let mut etcd = Command::new(binaries.join("etcd"));
    etcd.args(["--name=e2e", "--unsafe-no-fsync", "--log-level=warn"])
        .arg(format!("--data-dir={}", run.folder.join("etcd").display()))
        .args([
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
        ])
        .args([
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ])
        .arg(format!("--initial-cluster=e2e={peer}"));
    etcd
}

fn api_server(binaries: &Path, pki: &Pki, ports: Ports) -> Command {
    let mut api = Command::new(binaries.join("kube-apiserver"));
    api.arg(format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        // Loopback is no valid address of an endpoint, so the server must not try to publish itself.
        .arg("--endpoint-reconciler-type=none")
        .arg(format!("--secure-port={}", ports.api))
        .arg(format!("--tls-cert-file={}", pki.path("kube-apiserver.crt")))
        .arg(format!("--tls-private-key-file={}", pki.path("kube-apiserver.key")))
        .arg(format!("--client-ca-file={}", pki.path("ca.crt")))
        .arg(format!("--service-account-key-file={}", pki.path("service-account.pub")))
        .arg(format!("--service-account-signing-key-file={}", pki.path("service-account.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC"])
        // Off by default, on in some distributions: whoever sets an owner needs more rights.
        .arg("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
        .arg(format!("--admission-control-config-file={}", pki.admission_configuration()))
        .args(["--allow-privileged=true", "--profiling=false"]);
    api
}

fn manager(binaries: &Path, run: &Run, pki: &Pki) -> Command {
    let mut manager = Command::new(binaries.join("kube-controller-manager"));
    manager
        .arg(format!("--kubeconfig={}", run.folder.join("manager.kubeconfig").display()))
        .args(["--secure-port=0", "--leader-elect=false", "--use-service-account-credentials"])
        // The default rates add five seconds to every start.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .arg(format!("--root-ca-file={}", pki.path("ca.crt")))
        .arg(format!("--service-account-private-key-file={}", pki.path("service-account.key")));
    manager
}
