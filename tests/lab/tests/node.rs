//! The full node, whole: real Pods, names and Services, clients behind a second kube-proxy, and nothing left in the end.

mod node_leftovers;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::image::catalog;
use lab::node::{ClusterAccess, Node, Options};
use lab::run::{self, Lifetime, Run};
use lab::tools;
use lab::wait::{Look, until};
use nix::sys::signal::Signal;
use node_leftovers::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Names the run that [`holds_a_node`] is to start.
const HELD_RUN: &str = "LAB_TEST_HELD_RUN";
const WORKLOAD: &str = include_str!("node/workload.yaml");
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn pods_names_services_and_no_leftovers() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "a node needs root; run this test as root");
    let host = Host::look()?;
    let binaries = tools::find_node()?;
    let mysql = catalog::mysql(tools::find_mysql()?.root(), &binaries.busybox)?.cached(catalog::MYSQL)?;

    let run = Run::temporary("node-test")?;
    let name = run_name(&run);
    let node = Node::start(run, Options::installed(vec![mysql], true)?).await?;
    let result = exercise(&node).await;
    let begin = Instant::now();
    node.end().await?;
    eprintln!("[{:5.1} s] node ended", begin.elapsed().as_secs_f64());
    result?;
    host.nothing_left_of(&name)?;

    // Twice in a row, and given up half-way as by ctrl-C.
    let run = Run::temporary("node-test")?;
    let name = run_name(&run);
    let half = Node::start(run, Options::installed(vec![], false)?);
    ensure!(tokio::time::timeout(Duration::from_millis(1500), half).await.is_err(), "nobody is that fast");
    host.nothing_left_of(&name)?;

    // kill -9 of the lab, early and in the middle, and a node that was left up with Pods on it.
    for moment in
        [Moment::After(Duration::from_millis(300)), Moment::After(Duration::from_secs(3)), Moment::Kept]
    {
        let name = lab_that_ended(moment).await?;
        run::end(&name)?;
        host.nothing_left_of(&name)?;
        ensure!(run::end(&name).is_err(), "a run that is gone cannot be ended");
    }
    Ok(())
}

async fn exercise(node: &Node) -> Result<()> {
    let access = node.access();
    let begin = Instant::now();
    access.apply("default", WORKLOAD).await?;
    access.wait_ready("default", "statefulset/web", LIMIT).await?;
    access.wait_ready("default", "deployment/mysql", LIMIT).await?;
    eprintln!("[{:5.1} s] Pods are ready", begin.elapsed().as_secs_f64());

    // Names, inside a Pod: each Pod's own behind the headless Service, and the Service's.
    for name in ["web-1.web.default.svc.cluster.local", "web-peers.default.svc.cluster.local"] {
        let answer = access.execute("default", "web-0", &["nslookup", name]).await?;
        ensure!(answer.contains("Name:"), "{name}: {answer}");
    }
    let page = access.execute("default", "web-0", &["wget", "-q", "-O", "-", "http://web-2.web/"]).await?;
    ensure!(page.trim() == "web-2", "web-2.web answers {page:?}");

    // The Service's address, from a Pod, from the node and from behind the other kube-proxy.
    let page = access.execute("default", "web-0", &["wget", "-q", "-O", "-", "http://web-peers/"]).await?;
    ensure!(page.starts_with("web-"), "the Service answers {page:?}");
    let address = ["get", "service", "web-peers", "--output=jsonpath={.spec.clusterIP}"];
    let address = access.kubectl(address).await?;
    let (first, second) = (address.clone(), address);
    until("the Service's address on both nodes", LIMIT, Duration::from_millis(50), async || {
        let (first, second) = (first.clone(), second.clone());
        let here = node.enter(|| fetch(first)).await;
        let there = node.enter_second(|| fetch(second)).await;
        Ok(Look::from_result(here.and(there)))
    })
    .await?;

    let version = ["exec", "deployment/mysql", "--", "mysql", "-uroot", "-Ne", "SELECT VERSION()"];
    let version = access.kubectl(version).await?;
    ensure!(version.starts_with("9."), "the server says {version:?}");
    ensure!(access.logs("default", "web-0").await?.contains("serving"), "no log of web-0");

    access.delete_pod("default", "web-1", false).await?;
    access.wait_ready("default", "statefulset/web", LIMIT).await?;

    // A crash seen from outside: the container comes back in the same Pod.
    node.signal_pod("default", "web-2", Signal::SIGKILL).await?;
    until("web-2's restart", LIMIT, Duration::from_millis(50), async || {
        let count = "--output=jsonpath={.status.containerStatuses[0].restartCount}";
        let count = access.kubectl(["get", "pod", "web-2", count]).await?;
        Ok(if count == "0" { Look::NotYet("no restart counted".to_owned()) } else { Look::Ready(()) })
    })
    .await?;

    let helm = access.helm(["list", "--all-namespaces"]).await?;
    ensure!(helm.contains("NAMESPACE"), "helm says {helm:?}");
    let absent = ClusterAccess::given("/nonexistent".as_ref(), "kubectl".as_ref(), "helm".as_ref());
    ensure!(
        absent.is_err_and(|error| error.to_string().contains("no kubeconfig")),
        "a kubeconfig that is not there"
    );
    Ok(())
}

/// The page at this address, port 80.
async fn fetch(address: String) -> Result<String> {
    let request = async {
        let mut stream = tokio::net::TcpStream::connect((address.as_str(), 80)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok::<_, std::io::Error>(page)
    };
    let page = tokio::time::timeout(Duration::from_secs(2), request).await.context("no answer in 2 s")??;
    ensure!(page.contains("web-"), "{page:?}");
    Ok(page)
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Killed after this time.
    After(Duration),
    /// Ended by itself, with the node up.
    Kept,
}

/// Starts a lab in a process of its own, sees it end at `moment`, and returns the run's name.
async fn lab_that_ended(moment: Moment) -> Result<String> {
    let name = format!("node-test-held-{}", std::process::id());
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "holds_a_node", "--nocapture"])
        .env(HELD_RUN, &name)
        .stdout(Stdio::null())
        .spawn()?;
    match moment {
        Moment::After(time) => {
            tokio::time::sleep(time).await;
            child.kill()?;
            child.wait()?;
        }
        Moment::Kept => {
            until("the held node", LIMIT, Duration::from_millis(100), async || {
                Ok(match child.try_wait()? {
                    Some(status) if status.success() => Look::Ready(()),
                    Some(status) => bail!("the lab that holds a node ended with {status}"),
                    None => Look::NotYet("still at work".to_owned()),
                })
            })
            .await?;
            let line =
                std::fs::read_to_string(lab::run::lab_directory().join("run").join(&name).join("how"))?;
            let output = Command::new("sh").args(["-c", &line]).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(
                text.contains("web-2") && output.status.success(),
                "the node that was left up says {text:?}"
            );
        }
    }
    Ok(name)
}

/// Not a test: the process that [`lab_that_ended`] starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of the other test, in a process of its own"]
async fn holds_a_node() -> Result<()> {
    let Ok(name) = std::env::var(HELD_RUN) else { return Ok(()) };
    let run = Run::create(&name, Lifetime::UntilDown)?;
    let how = run.path().join("how");
    let node = Node::start(run, Options::installed(vec![], false)?).await?;
    let stateful_set = WORKLOAD.split("---").take(2).collect::<Vec<_>>().join("---");
    node.access().apply("default", &stateful_set).await?;
    node.access().wait_ready("default", "statefulset/web", LIMIT).await?;
    std::fs::write(how, node.how_to_enter())?;
    node.keep()
}

fn run_name(run: &Run) -> String {
    run.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}
