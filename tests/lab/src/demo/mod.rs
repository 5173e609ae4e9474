//! `lab demo`: a takeover on real Pods behind a real Service, under writing clients.

mod cleanup;
mod paint;
mod show;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

pub use paint::{Paint, table};

use crate::deploy::{self, CLUSTER, NAMESPACE, PRIMARY_SERVICE, TAKEOVER, TAKEOVER_SAMPLE};
use crate::image::catalog;
use crate::load::{ClientKind, Clients, Login, Report, Scenario, milliseconds};
use crate::node::{self, ClusterAccess, Node, Progress};
use crate::resources::{
    self, ClusterStatus, TakeoverStatus, clusters, follow_takeover, takeovers, wait_for_primary,
};
use crate::run::{Lifetime, Run, lab_directory};
use crate::{operator, tools};
use show::Show;

/// Writers of each of the two kinds.
const WRITERS: u32 = 2;
/// Acknowledgements before the takeover is asked for, and after it has ended: a second or two of writing.
const WARM_UP: u64 = 500;
const TAKEOVER_LIMIT: Duration = Duration::from_mins(2);

/// What to run the demo on.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Use the cluster of this kubeconfig instead of a node of our own. Its Pods and Services must be reachable from here.
    #[arg(long, env = node::KUBECONFIG_VARIABLE, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Image of the operator, as repository:tag; needed with a kubeconfig.
    #[arg(long, env = "DEMO_OPERATOR_IMAGE", requires = "kubeconfig", value_name = "IMAGE")]
    pub operator_image: Option<String>,
    /// Image of MySQL instead of the public mysql:9.
    #[arg(long, env = "DEMO_MYSQL_IMAGE", requires = "kubeconfig", value_name = "IMAGE")]
    pub mysql_image: Option<String>,
    /// Leave everything up, and say how to use it.
    #[arg(long, env = "KEEP", value_parser = clap::builder::FalseyValueParser::new())]
    pub keep: bool,
}

/// Runs the demo, prints what happened and writes `target/lab/demo.json`.
///
/// # Errors
/// What could not be done, or which promise was broken.
pub async fn run(options: Options) -> Result<()> {
    match &options.kubeconfig {
        Some(kubeconfig) => on_given_cluster(kubeconfig.clone(), &options).await,
        None => on_own_node(&options).await,
    }
}

async fn on_own_node(options: &Options) -> Result<()> {
    let node_options = node::Options::installed(images()?, false)?;
    let progress = Progress::start();
    let node = Node::start(Run::create("demo", Lifetime::kept_if(options.keep))?, node_options).await?;
    let access = node.access().clone();
    let inside = access.clone();
    let result = access.enter(async move || play(&inside, None, None, progress).await).await;
    if options.keep {
        node.keep()?;
        println!("{}", show::how_to_use(&node.how_to_enter()));
    } else {
        node.end().await?;
    }
    result
}

async fn on_given_cluster(kubeconfig: PathBuf, options: &Options) -> Result<()> {
    let (kubectl, helm) = (tools::find_control_plane()?.kubectl, tools::find_helm()?);
    let access = ClusterAccess::given(&kubeconfig, &kubectl, &helm)?;
    let _cleanup = (!options.keep).then(|| cleanup::Cleanup { kubectl, helm, kubeconfig });
    let images = (options.operator_image.as_deref(), options.mysql_image.as_deref());
    play(&access, images.0, images.1, Progress::start()).await?;
    if options.keep {
        println!("\nNamespaces {NAMESPACE} and {} are left in the cluster.", deploy::OPERATOR_NAMESPACE);
    }
    Ok(())
}

/// Archives of the images that the demo runs.
pub fn images() -> Result<Vec<PathBuf>> {
    let busybox = tools::find_node()?.busybox;
    Ok(vec![
        catalog::mysql(tools::find_mysql()?.root(), &busybox)?.cached(catalog::MYSQL)?,
        catalog::operator(&operator::program()?)?.cached(catalog::OPERATOR)?,
    ])
}

/// The demo itself; runs where Pods and Services can be reached.
async fn play(
    access: &ClusterAccess,
    operator_image: Option<&str>,
    mysql_image: Option<&str>,
    progress: Progress,
) -> Result<()> {
    let client = access.client().await?;
    let (accounts, ()) = tokio::try_join!(
        async {
            let accounts = deploy::deploy_mysql(access, NAMESPACE, mysql_image).await?;
            progress.done("three MySQL servers run and replicate");
            anyhow::Ok(accounts)
        },
        async {
            deploy::install_operator(access, operator_image).await?;
            progress.done("the operator runs");
            anyhow::Ok(())
        }
    )?;
    deploy::register(access, &client, NAMESPACE).await?;
    progress.done("the MySQLCluster is registered and ready for a takeover");

    let clusters = clusters(&client, NAMESPACE);
    let before: ClusterStatus =
        resources::status(&clusters.get(CLUSTER).await.context("read the MySQLCluster")?)?;
    let service = deploy::service_address(&client, NAMESPACE, PRIMARY_SERVICE).await?;
    let servers = deploy::servers(&client, NAMESPACE).await?;
    let show = Show::new(service);
    show.topology("Topology before", &before);

    let mut running = Scenario::new(servers, Login::of(&accounts.application, false), "writes")
        .clients(Clients::new(ClientKind::Keep, WRITERS, vec![service]))
        .clients(Clients::new(ClientKind::PerWrite, WRITERS, vec![service]))
        .start()
        .await?;
    running.wait_for_acknowledgements(WARM_UP).await?;
    show.clients(WRITERS);

    let (old, new) = (format!("{CLUSTER}-0"), format!("{CLUSTER}-1"));
    let begun = running.begin_takeover(&old, &new)?;
    show.command(&format!("kubectl apply -f {TAKEOVER_SAMPLE}"));
    deploy::apply_sample(access, NAMESPACE, TAKEOVER_SAMPLE).await?;
    let mut steps = show.steps();
    let status = follow_takeover(&takeovers(&client, NAMESPACE), TAKEOVER, TAKEOVER_LIMIT, |status| {
        steps.seen(status);
    })
    .await?;
    running.wait_for_acknowledgements(WARM_UP).await?;
    running.end_takeover(begun);
    let report = running.finish().await?;
    // Told before anything else is asked: what clients saw holds whatever comes now.
    let ended = status.verify().context("the takeover did not succeed");
    if ended.is_ok() {
        wait_for_primary(&clusters, CLUSTER, &new, Duration::from_mins(1)).await?;
    }
    let after: ClusterStatus =
        resources::status(&clusters.get(CLUSTER).await.context("read the MySQLCluster")?)?;
    show.topology("Topology after", &after);
    show.figures(&status, &report);
    write_json(&status, &report)?;
    ended?;
    report.verify().context("the takeover broke a promise")?;
    ensure!(status.write_outage().is_some(), "the operator did not tell the write outage that it saw");
    for kind in [ClientKind::Keep, ClientKind::PerWrite] {
        let seen = report.outages(kind).first().is_some_and(|outage| outage.any.is_some());
        ensure!(seen, "no client that {kind} wrote before and after the takeover");
    }
    show.verdict();
    Ok(())
}

fn write_json(status: &TakeoverStatus, report: &Report) -> Result<()> {
    let seen_by = |kind| report.outages(kind).first().and_then(|outage| outage.any).map(milliseconds);
    let figures = json!({
        "acknowledged": report.acknowledged(),
        "missing": report.missing(),
        "overlapSamples": report.overlap_samples(),
        "writeOutage": {
            "operator": status.write_outage().map(milliseconds),
            "openConnection": seen_by(ClientKind::Keep),
            "connectionPerWrite": seen_by(ClientKind::PerWrite),
        },
    });
    let path = lab_directory().join("demo.json");
    fs::create_dir_all(lab_directory()).context("create target/lab")?;
    fs::write(&path, format!("{figures:#}\n")).with_context(|| format!("write {}", path.display()))
}
