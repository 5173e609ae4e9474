//! The operator as a process: what it needs before it is ready, who leads, how it ends.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PatchParams;
use lab::run::Run;
use lab::small::{SmallTier, TestNamespace};
use lab::wait::{Look, until};
use mysql_takeover::api::crd;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

fn operator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mysql-takeover"));
    command.env_remove("KUBECONFIG").env_remove("RUST_LOG");
    command
}

/// A running operator, killed when the test ends.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(tier: &SmallTier, namespace: &str, identity: &str) -> Self {
        static HOST: AtomicU8 = AtomicU8::new(1);
        // Tests of this process share the port and have addresses of their own.
        let port = 20000 + u16::try_from(std::process::id() % 20000).unwrap();
        let address = format!("127.42.7.{}:{port}", HOST.fetch_add(1, Ordering::Relaxed));
        let child = operator()
            .arg("run")
            .arg("--kubeconfig")
            .arg(tier.control_plane.admin_kubeconfig())
            .args(["--watch-namespaces", namespace, "--lease-namespace", namespace, "--identity", identity])
            .args(["--listen", &address])
            .args(["--lease-duration-seconds", "6", "--renew-deadline-seconds", "5", "--log-format", "text"])
            .args(["--retry-period-seconds", "1"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Status and body of one of its pages.
    fn page(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: operator\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.get(9..12).unwrap_or_default().parse()?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Ok((status, body.unwrap_or_default()))
    }

    async fn until_page(&self, path: &str, status: u16, words: &str) {
        until(&format!("{path} with {status} {words:?}"), LIMIT, LOOK, async || {
            Ok(match self.page(path) {
                Ok((found, body)) if found == status && body.contains(words) => Look::Ready(()),
                Ok((found, body)) => Look::NotYet(format!("{found} {body}")),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await
        .unwrap();
    }

    fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    async fn exit_code(&mut self) -> Option<i32> {
        until("the end of the operator", LIMIT, LOOK, async || {
            Ok(match self.child.try_wait()? {
                Some(status) => Look::Ready(status.code()),
                None => Look::NotYet("it runs".to_owned()),
            })
        })
        .await
        .unwrap()
    }
}

async fn holder(namespace: &TestNamespace) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(namespace.client.clone(), &namespace.name);
    leases.get_opt("mysql-takeover").await.unwrap()?.spec?.holder_identity
}

async fn serve(tier: &SmallTier) {
    for definition in crd::all() {
        tier.control_plane.apply(&crd::yaml(&definition).unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_the_definitions_and_says_so() {
    let tier = SmallTier::start(Run::temporary("process").unwrap()).await.unwrap();
    let namespace = tier.namespace("process").await.unwrap();
    let mut operator = Running::start(&tier, &namespace.name, "one");
    operator.until_page("/livez", 200, "ok").await;
    operator.until_page("/readyz", 503, "serves MySQLClusters").await;
    assert_eq!(holder(&namespace).await, None, "without definitions there is nothing to lead");

    serve(&tier).await;
    operator.until_page("/readyz", 200, "ok").await;
    operator.until_page("/metrics", 200, "\nmysql_takeover_leader_status 1\n").await;
    assert!(holder(&namespace).await.unwrap().starts_with("one_"));

    operator.terminate();
    assert_eq!(operator.exit_code().await, Some(0));
    assert_eq!(holder(&namespace).await.as_deref(), Some(""), "the Lease is given back");

    // A server that is not there.
    tier.control_plane.kill_apiserver().unwrap();
    let mut lonely = Running::start(&tier, &namespace.name, "lonely");
    lonely.until_page("/readyz", 503, "not ready").await;
    lonely.until_page("/livez", 200, "ok").await;
    lonely.terminate();
    assert_eq!(lonely.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_takes_over_from_a_killed_leader() {
    let tier = SmallTier::shared().await.unwrap();
    serve(tier).await;
    let namespace = tier.namespace("process").await.unwrap();
    let mut leader = Running::start(tier, &namespace.name, "one");
    leader.until_page("/metrics", 200, "\nmysql_takeover_leader_status 1\n").await;
    let standby = Running::start(tier, &namespace.name, "two");
    standby.until_page("/readyz", 200, "ok").await;
    standby.until_page("/metrics", 200, "\nmysql_takeover_leader_status 0\n").await;

    leader.child.kill().unwrap();
    standby.until_page("/metrics", 200, "\nmysql_takeover_leader_status 1\n").await;
    standby.until_page("/readyz", 200, "ok").await;
    assert!(holder(&namespace).await.unwrap().starts_with("two_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_exits_with_a_failure() {
    let tier = SmallTier::shared().await.unwrap();
    serve(tier).await;
    let namespace = tier.namespace("process").await.unwrap();
    let mut leader = Running::start(tier, &namespace.name, "one");
    leader.until_page("/metrics", 200, "\nmysql_takeover_leader_status 1\n").await;
    let leases: Api<Lease> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let stolen = serde_json::json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}});
    leases.patch("mysql-takeover", &PatchParams::default(), &kube::api::Patch::Merge(stolen)).await.unwrap();
    assert_eq!(leader.exit_code().await, Some(1));
}

fn output(arguments: &[&str]) -> (Option<i32>, String) {
    let output = operator().args(arguments).env("HOME", "/nonexistent").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn mistakes_are_told_in_words() {
    for (arguments, code, words) in [
        (&["run", "--probe-period-seconds", "0"][..], 64, "--probe-period-seconds"),
        (&["run", "--listen", "8080"], 64, "--listen"),
        (
            &["run", "--renew-deadline-seconds", "15"],
            64,
            "renew deadline must be less than the lease duration",
        ),
        (&["run", "--log-level", "mysql_takeover=loud"], 64, "loud"),
        (&["run", "--kubeconfig", "/nonexistent/config"], 4, "cannot read kubeconfig /nonexistent/config"),
        (&["run", "--listen", "127.0.0.1:0"], 4, "no cluster to talk to"),
        (&["go"], 64, "unrecognized subcommand"),
    ] {
        let (found, text) = output(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
