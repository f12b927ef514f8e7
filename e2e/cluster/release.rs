//! A release of the chart in a real cluster. No kubelet runs its Pods, so that the binary runs beside them: with their
//! arguments, as their service account, reached by their Service.

use std::path::PathBuf;
use std::process::Command;

use crate::helm::helm_in;
use crate::kubectl::Said;
use crate::processes::{Process, eventually};
use crate::{PATIENCE, Space, WORLD, tree};

/// A release that is gone when the test ends, in whatever way: what fails closed would be in the way of all others.
pub struct Release<'a> {
    pub space: &'a Space,
}

impl<'a> Release<'a> {
    pub fn install(space: &'a Space, values: &[String]) -> Self {
        let release = Self { space };
        // The CRDs are there already, applied by kubectl.
        release.helm("install", &["--take-ownership"], values).assert_accepted();
        release
    }

    pub fn helm(&self, verb: &str, options: &[&str], values: &[String]) -> Said {
        let chart = tree("charts/portcullis");
        let mut arguments = vec![verb, "portcullis", &chart];
        arguments.extend(options);
        arguments.extend(values.iter().map(String::as_str));
        helm_in(&WORLD.kubectl, &self.space.name, &arguments)
    }

    pub fn uninstall(&self) -> Said {
        helm_in(&WORLD.kubectl, &self.space.name, &["uninstall", "portcullis"])
    }

    /// Makes the Service lead to this machine. (Upgrades make it the chart's again.)
    pub fn lead_here(&self, port: u16) {
        let port = format!("{port}:{port}");
        let kubectl = &self.space.kubectl;
        kubectl.run(&["delete", "service", "portcullis"]).assert_accepted();
        kubectl
            .run(&[
                "create",
                "service",
                "externalname",
                "portcullis",
                "--external-name=localhost",
                "--tcp",
                &port,
            ])
            .assert_accepted();
    }

    /// A kubeconfig of a service account of the release's namespace.
    pub fn kubeconfig(&self, account: &str) -> PathBuf {
        let made =
            WORLD.kubectl.run(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
        let mut config: serde_json::Value =
            serde_json::from_str(&made.assert_accepted().stdout).unwrap();
        let token = self.space.kubectl.run(&["create", "token", account, "--duration=1h"]);
        config["users"][0]["user"] =
            serde_json::json!({"token": token.assert_accepted().stdout.trim()});
        let file = WORLD.run.folder.join(format!("{}-{account}.kubeconfig", self.space.name));
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// Runs the binary as a Pod of the Deployment would, once its rights are known.
    pub fn replica(&self, name: &'static str) -> Replica {
        let account = format!("--as=system:serviceaccount:{}:portcullis", self.space.name);
        for right in ["list validatingpolicies", "list configmaps", "get clusterroles/portcullis"] {
            let may: Vec<&str> =
                ["auth", "can-i", &account].into_iter().chain(right.split(' ')).collect();
            eventually(right, PATIENCE, || WORLD.kubectl.run(&may).ok());
        }
        let deployment = self.space.kubectl.get("deployment", "portcullis");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let mut command = self.command(&container["args"], "portcullis");
        command.env("POD_NAME", name);
        Replica { process: WORLD.run.spawn(name, &mut command) }
    }

    /// The binary with the arguments of a container, as a service account.
    pub fn command(&self, arguments: &serde_json::Value, account: &str) -> Command {
        let arguments = arguments.as_array().unwrap().iter().map(|a| a.as_str().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(arguments).arg("--kubeconfig").arg(self.kubeconfig(account));
        command.env("POD_NAMESPACE", &self.space.name);
        command
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        helm_in(
            &WORLD.kubectl,
            &self.space.name,
            &["uninstall", "portcullis", "--ignore-not-found"],
        );
        let configurations = "validatingwebhookconfiguration,mutatingwebhookconfiguration";
        WORLD.kubectl.run(&["delete", configurations, "portcullis", "--ignore-not-found"]);
    }
}

/// A server that ends with the test.
pub struct Replica {
    pub process: Process,
}

impl Replica {
    /// Tells it to stop, as the kubelet does.
    pub fn tell_to_stop(&self) {
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(told.unwrap().success());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.process.log).unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill();
    }
}
