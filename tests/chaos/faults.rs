//! The faults, each while the operator stands at its point.

use crate::lane::{CLUSTER, Lane};
use crate::play::{Ending, Play};
use crate::scenario::{Fault, Link, Role};
use anyhow::{Context as _, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use lab::mysqld::Account;
use lab::proxy::Mode;
use lab::small::{delete_pod, write_secret};
use lab::wait::Look;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a fault of the network may take to meet anything.
const FELT_WITHIN: Duration = Duration::from_secs(2);
/// How long it lasts from then on.
const LASTS: Duration = Duration::from_secs(1);
/// A silent network lasts longer than the operator waits for an answer, or it would be a late answer only.
const SILENCE: Duration = Duration::from_secs(5);

/// Does it, and lets the operator go on. The ending, where it was already waited for.
pub async fn strike(play: &mut Play<'_>) -> Result<Option<Ending>> {
    let name = play.name.clone();
    match play.scenario.fault {
        Fault::None => return Ok(None),
        Fault::KillOperator => {
            play.lane.free_lease().await?;
            play.another()?;
            return Ok(None);
        }
        Fault::StopOperator => return rival(play).await.map(Some),
        Fault::StealLease => return steal(play).await.map(|()| None),
        Fault::KillServer(role) => {
            let number = number(play, role);
            play.lane.server(number).kill9()?;
            play.go_on()?;
            play.lane.server(number).restart().await?;
            return Ok(None);
        }
        Fault::Network(link, mode) => return disturb(play, link, mode).await.map(|()| None),
        Fault::KillApiServer => {
            play.lane.tier.control_plane.kill_apiserver()?;
            play.go_on()?;
            tokio::time::sleep(LASTS).await;
            play.lane.tier.control_plane.restart_apiserver().await?;
            return Ok(None);
        }
        Fault::RotateOperator => {
            let account = rotate(play.lane, &play.lane.accounts.operator.user.clone()).await?;
            // Where it is not known yet, the operator would be locked out.
            play.lane.topology.wait_for_replicas(play.old).await?;
            write_secret(&play.lane.namespace, "operator", &account).await?;
            play.lane.accounts.operator = account;
        }
        Fault::RotateReplication => {
            let account = rotate(play.lane, &play.lane.accounts.replication.user.clone()).await?;
            write_secret(&play.lane.namespace, "replication", &account).await?;
            play.lane.accounts.replication = account;
        }
        Fault::ReplacePod(role) => {
            let number = number(play, role);
            delete_pod(&play.lane.namespace, &play.lane.name(number)).await?;
            play.lane.create_pod(number).await?;
        }
        Fault::EditTakeover => {
            let other = play.lane.name(play.sibling);
            let refused = patch(play.lane, &name, json!({"spec": {"newPrimary": other}})).await;
            ensure!(refused.is_err(), "the API took another newPrimary");
        }
        Fault::EditCluster => {
            let rules = json!([{"instance": play.lane.name(play.new), "rule": "MustNot"}]);
            set_rules(play.lane, rules).await?;
        }
        Fault::Cancel => patch(play.lane, &name, json!({"spec": {"cancel": true}})).await?,
        Fault::Delete => {
            play.lane.takeovers().delete(&name, &DeleteParams::default()).await?;
        }
        Fault::DeleteCluster => {
            play.lane.clusters().delete(CLUSTER, &DeleteParams::default()).await?;
            play.go_on()?;
            let ending = play.ended().await?;
            let clusters = play.lane.clusters();
            play.lane
                .until("the cluster to go", async || {
                    Ok(match clusters.get_opt(CLUSTER).await? {
                        Some(_) => Look::NotYet("it is there".to_owned()),
                        None => Look::Ready(()),
                    })
                })
                .await?;
            play.lane.apply_cluster("RouteFirst").await?;
            return Ok(Some(ending));
        }
        Fault::DeleteByForce => {
            patch(play.lane, &name, json!({"metadata": {"finalizers": null}})).await?;
            play.lane.takeovers().delete(&name, &DeleteParams::default()).await?;
        }
    }
    play.go_on()?;
    if play.scenario.fault == Fault::EditCluster {
        let ending = play.ended().await?;
        set_rules(play.lane, Value::Null).await?;
        return Ok(Some(ending));
    }
    Ok(None)
}

fn number(play: &Play<'_>, role: Role) -> usize {
    match role {
        Role::Old => play.old,
        Role::New => play.new,
        Role::Sibling => play.sibling,
    }
}

/// Another operator finishes while the first stands still; the first must find out, and do nothing.
async fn rival(play: &mut Play<'_>) -> Result<Ending> {
    play.lane.free_lease().await?;
    play.another()?;
    // The first would take it again, if it went on before.
    play.lane.until_leads(play.operator()?).await?;
    let ending = play.ended().await?;
    let first = play.operators.len().checked_sub(2).context("two operators")?;
    play.operators[first].process().signal(nix::sys::signal::Signal::SIGCONT)?;
    play.gone(&play.operators[first]).await?;
    Ok(ending)
}

/// Another holds the Lease, does nothing, and is gone when the operator has given up.
async fn steal(play: &mut Play<'_>) -> Result<()> {
    play.lane.steal_lease().await?;
    play.go_on()?;
    play.gone(play.operator()?).await?;
    play.lane.free_lease().await?;
    play.another()
}

async fn disturb(play: &mut Play<'_>, link: Link, mode: Mode) -> Result<()> {
    let edge = match link {
        Link::OperatorToOld => &play.lane.to_server[play.old],
        Link::OperatorToNew => &play.lane.to_server[play.new],
        Link::OperatorToApi => &play.lane.to_api,
        Link::ReplicasToOld => &play.lane.from_replicas[play.old],
    };
    edge.set(mode);
    play.go_on()?;
    let begin = Instant::now();
    while edge.affected() == 0 && begin.elapsed() < FELT_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The length of the fault, not a wait for something.
    tokio::time::sleep(if mode == Mode::Blackhole { SILENCE } else { LASTS }).await;
    let felt = edge.affected() > 0;
    edge.set(Mode::Pass);
    play.felt = felt;
    Ok(())
}

/// Gives an account a new password, on the server that takes writes; the others follow by replication.
async fn rotate(lane: &mut Lane, user: &str) -> Result<Account> {
    let account = Account::generate(user);
    let primary = lane.primary().await?;
    let statement = format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{}'", account.password);
    lane.server(primary).execute(&[statement]).await?;
    lane.secrets.push(account.password.clone());
    Ok(account)
}

async fn patch(lane: &Lane, name: &str, patch: Value) -> Result<()> {
    lane.takeovers().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn set_rules(lane: &Lane, rules: Value) -> Result<()> {
    let patch = json!({"spec": {"promotionRules": rules}});
    lane.clusters().patch(CLUSTER, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}
