//! Takes the demo out of a cluster that the user brought, also when the demo is interrupted.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::deploy::{NAMESPACE, OPERATOR_NAMESPACE, RELEASE};

/// Removes what the demo made when dropped. An interrupted demo is dropped where it waits, so this cannot be asynchronous.
#[derive(Debug)]
pub struct Cleanup {
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    pub kubeconfig: PathBuf,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // In this order: the operator releases the finalizers of takeovers before it goes.
        let steps: [(&PathBuf, &[&str]); 4] = [
            (&self.kubectl, &["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s"]),
            (
                &self.helm,
                &[
                    "uninstall",
                    RELEASE,
                    "--namespace",
                    OPERATOR_NAMESPACE,
                    "--ignore-not-found",
                    "--timeout=60s",
                ],
            ),
            (
                &self.kubectl,
                &["delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--timeout=60s"],
            ),
            (
                &self.kubectl,
                &[
                    "delete",
                    "crd",
                    "mastertakeovers.mysql-takeover.io",
                    "mysqlclusters.mysql-takeover.io",
                    "--ignore-not-found",
                    "--timeout=60s",
                ],
            ),
        ];
        for (program, arguments) in steps {
            let status = Command::new(program)
                .args(arguments)
                .env("KUBECONFIG", &self.kubeconfig)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            if !status.is_ok_and(|status| status.success()) {
                eprintln!("not cleaned up: {} {}", program.display(), arguments.join(" "));
            }
        }
    }
}
