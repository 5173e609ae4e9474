//! Runs one scenario in a lane: clients, takeover, fault at its moment, end, check.

use crate::check;
use crate::faults;
use crate::lane::{LIMIT, Lane};
use crate::scenario::{Fault, Scenario, Way};
use anyhow::{Context as _, Result, bail, ensure};
use lab::load::{BegunTakeover, Report, Running};
use lab::operator::Operator;
use lab::resources::{self, TakeoverStatus};
use lab::wait::{Look, until};
use mysql_async::prelude::Queryable as _;
use mysql_takeover::controller::failpoint::{Place, Point};
use mysql_takeover::takeover::Undo;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// How often a dead operator is started anew in one scenario, as a Deployment would.
const RESTARTS: u32 = 5;
/// How long servers get to be well again by themselves before a hand helps where one may.
const BY_ITSELF: Duration = Duration::from_secs(8);

/// What came of a scenario that came to its end.
#[derive(Debug)]
pub struct Measured {
    /// How the takeover ended, in a word.
    pub ended: String,
    /// What clients recorded and servers hold.
    pub report: Report,
    /// Promises about writes that the report shows broken.
    pub broken: Option<String>,
    /// The longest time in which no client got an acknowledgement.
    pub outage: Duration,
    /// The fault met something.
    pub felt: bool,
    /// A server had to be opened, or its replication started, by hand.
    pub by_hand: bool,
}

/// How a takeover ended.
pub enum Ending {
    /// The status says so.
    Told(Box<TakeoverStatus>),
    /// Its resource is gone and the claim released.
    Gone,
}

/// A scenario under way.
pub struct Play<'a> {
    pub lane: &'a mut Lane,
    pub scenario: Scenario,
    pub name: String,
    pub old: usize,
    pub new: usize,
    pub sibling: usize,
    /// All operators of this scenario; the last one is the one that should be alive.
    pub operators: Vec<Operator>,
    /// The fault met something; a network that is disturbed while nobody uses it proves nothing.
    pub felt: bool,
    restarts: u32,
    /// Lets clients in on a server that booted writable, once it is shut.
    clients_let_in: Option<tokio::task::JoinHandle<Result<()>>>,
}

/// Runs it. `seed` chooses what the scenario leaves open.
pub async fn run(lane: &mut Lane, scenario: Scenario, seed: u64) -> Result<Measured> {
    lane.apply_cluster(order(scenario, seed)).await?;
    let old = lane.primary().await.context("before the scenario")?;
    let step = if seed.is_multiple_of(2) { 1 } else { 2 };
    let (new, sibling) = ((old + step) % 3, (old + 3 - step) % 3);
    let name = format!("takeover-{seed}");
    let mut play = Play {
        lane,
        scenario,
        name,
        old,
        new,
        sibling,
        operators: Vec::new(),
        felt: true,
        restarts: 0,
        clients_let_in: None,
    };
    let result = play.run().await;
    for operator in &play.operators {
        operator.process().kill()?;
    }
    let logs = || {
        let tails: Vec<_> = play.logs().iter().map(|path| lab::process::log_tail(path)).collect();
        tails.join("\n--- next operator ---\n")
    };
    match result {
        Ok(Measured { broken: Some(what), ended, report, outage, by_hand, felt }) => {
            let broken = Some(format!("{what}\n{}", logs()));
            Ok(Measured { ended, report, broken, outage, felt, by_hand })
        }
        Ok(measured) => {
            play.lane.free_lease().await?;
            Ok(measured)
        }
        Err(error) => bail!("{error:#}\n{}", logs()),
    }
}

/// A takeover that freezes first has routed nothing by the time it goes back, so it never routes back.
fn order(scenario: Scenario, seed: u64) -> &'static str {
    let routes_back = scenario.point.place == Place::Undo(Undo::RouteBack);
    if seed.is_multiple_of(4) && !routes_back { "FreezeFirst" } else { "RouteFirst" }
}

impl Play<'_> {
    async fn run(&mut self) -> Result<Measured> {
        let action = match self.scenario.fault {
            Fault::None => None,
            Fault::KillOperator => Some("kill"),
            _ => Some("stop"),
        };
        let point = self.scenario.point;
        let wanted = action.map(|action| format!("{point}={action}")).unwrap_or_default();
        let failpoints = match self.scenario.way {
            Way::Forward => wanted.clone(),
            Way::Back => format!("Freeze:before=stop,{wanted}"),
            Way::Adopted => "RecordIntent:after=kill".to_owned(),
            Way::BootedWritable => format!("Open:before=stop,{wanted}"),
        };
        let first = self.lane.launch(&failpoints)?;
        first.wait_until_ready().await?;
        self.operators.push(first);
        self.lane.wait_until_ready().await?;
        let mut running = self.lane.clients(self.scenario.way != Way::BootedWritable).await?;
        let course = self.course(&mut running, action, &wanted).await;
        // Whatever went wrong: what clients were told counts.
        match (course, running.finish().await) {
            (Ok((ended, by_hand)), Ok(report)) => {
                let broken = report.verify().err().map(|error| format!("{error:#}"));
                Ok(Measured { ended, outage: longest_gap(&report), report, broken, felt: self.felt, by_hand })
            }
            (Err(error), Ok(report)) => {
                let writes = report.verify().err().map(|error| format!("; {error:#}")).unwrap_or_default();
                let broken = Some(format!("{error:#}{writes}"));
                let (ended, outage) = ("failed".to_owned(), longest_gap(&report));
                Ok(Measured { ended, report, broken, outage, felt: self.felt, by_hand: false })
            }
            (Err(error), Err(unknown)) => bail!("{error:#}; the servers in the end: {unknown:#}"),
            (Ok(_), Err(unknown)) => Err(unknown),
        }
    }

    /// The takeover with its fault, and all checks but those of the clients' record. How it ended, and whether by hand.
    async fn course(
        &mut self,
        running: &mut Running,
        action: Option<&str>,
        wanted: &str,
    ) -> Result<(String, bool)> {
        let point = self.scenario.point.to_string();
        let begun = running.begin_takeover(&self.lane.name(self.old), &self.lane.name(self.new))?;
        self.lane.apply(&self.name, self.new).await?;
        match self.scenario.way {
            Way::Forward => {}
            Way::Back => self.make_open_fail(running).await?,
            Way::BootedWritable => self.boot_writable().await?,
            Way::Adopted => {
                self.at_point("RecordIntent:after", "kill").await?;
                self.lane.free_lease().await?;
                let second = self.lane.launch(wanted)?;
                self.operators.push(second);
            }
        }
        if let Some(action) = action {
            self.at_point(&point, action).await?;
        }
        let ending = faults::strike(self).await?;
        let ending = match ending {
            Some(ending) => ending,
            None => self.ended().await?,
        };
        self.finish(running, begun, &ending).await
    }

    /// The new primary stops applying while the operator stands before the freeze, and lacks something then.
    async fn make_open_fail(&mut self, running: &Running) -> Result<()> {
        self.at_point("Freeze:before", "stop").await?;
        self.lane.server(self.new).execute(&["STOP REPLICA SQL_THREAD"]).await?;
        running.wait_for_acknowledgements(10).await?;
        self.go_on()
    }

    /// The new primary is restarted while the operator stands before Open, and boots writable. No client can log in there
    /// until it is read-only again: one that writes would make it the primary. (The privileged client could.)
    async fn boot_writable(&mut self) -> Result<()> {
        self.at_point("Open:before", "stop").await?;
        let server = self.lane.server(self.new);
        let options = ["--read-only=OFF", "--super-read-only=OFF", "--init-connect=SELECT no_column"];
        server.restart_once_with(&options).await?;
        let mut root = server.root().await?;
        self.clients_let_in = Some(tokio::spawn(async move {
            while root.query_first::<bool, _>("SELECT @@super_read_only").await? != Some(true) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            root.query_drop("SET GLOBAL init_connect = ''").await?;
            Ok(root.disconnect().await?)
        }));
        self.go_on()
    }

    /// The operator that should be alive.
    pub fn operator(&self) -> Result<&Operator> {
        self.operators.last().context("there is no operator")
    }

    /// The operator that stands still goes on.
    pub fn go_on(&self) -> Result<()> {
        self.operator()?.process().signal(Signal::SIGCONT)
    }

    /// Another operator.
    pub fn another(&mut self) -> Result<()> {
        let next = self.lane.launch("")?;
        self.operators.push(next);
        Ok(())
    }

    /// Waits until the operator has met the failpoint.
    async fn at_point(&self, point: &str, action: &str) -> Result<()> {
        let process = self.operator()?.process();
        let line = format!("failpoint {point}: ");
        let (takeovers, name) = (self.lane.takeovers(), self.name.clone());
        let mut over_since: Option<std::time::Instant> = None;
        self.lane
            .until(&format!("the operator to meet {point}"), async || {
                let met = std::fs::read_to_string(process.log())?.contains(&line);
                let there = match action {
                    "kill" => !process.is_running(),
                    _ => is_stopped(process.pid()),
                };
                if !met {
                    process.ensure_running()?;
                    let status: TakeoverStatus = match takeovers.get_opt(&name).await? {
                        Some(takeover) => resources::status(&takeover)?,
                        None => TakeoverStatus::default(),
                    };
                    // The last points come right after the end.
                    if status.is_finished() {
                        let over = over_since.get_or_insert_with(std::time::Instant::now);
                        ensure!(over.elapsed() < BY_ITSELF, "never met; {:?}", status.succeeded());
                    }
                }
                Ok(if met && there { Look::Ready(()) } else { Look::NotYet("not met".to_owned()) })
            })
            .await
    }

    /// Starts another operator where the present one has ended, as a Deployment would.
    async fn keep_one_running(&mut self) -> Result<()> {
        if self.operator()?.process().is_running() {
            return Ok(());
        }
        self.restarts += 1;
        ensure!(self.restarts <= RESTARTS, "operators end again and again");
        // It is dead: nobody has to wait until its Lease runs out.
        let _ = self.lane.free_lease().await;
        self.another()
    }

    /// Waits until the takeover has ended.
    pub async fn ended(&mut self) -> Result<Ending> {
        let deleted = matches!(self.scenario.fault, Fault::Delete | Fault::DeleteByForce);
        let begin = std::time::Instant::now();
        let mut last = String::new();
        while begin.elapsed() < LIMIT {
            self.keep_one_running().await?;
            match self.look_at_end(deleted).await {
                Ok(Look::Ready(ending)) => return Ok(ending),
                Ok(Look::NotYet(why)) => last = why,
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the takeover did not end within {LIMIT:?}: {last}")
    }

    async fn look_at_end(&self, deleted: bool) -> Result<Look<Ending>> {
        let Some(takeover) = self.lane.takeovers().get_opt(&self.name).await? else {
            ensure!(deleted, "the takeover is gone");
            let active = self.lane.cluster_status().await?["activeTakeover"].clone();
            return Ok(if active.is_null() {
                Look::Ready(Ending::Gone)
            } else {
                Look::NotYet("its claim is still there".to_owned())
            });
        };
        let status: TakeoverStatus = resources::status(&takeover)?;
        Ok(match (status.is_finished(), deleted) {
            (true, false) => Look::Ready(Ending::Told(Box::new(status))),
            (true, true) => Look::NotYet("it ended, and is still there".to_owned()),
            (false, _) => Look::NotYet(format!("{:?}", status.succeeded())),
        })
    }

    async fn finish(
        &mut self,
        running: &mut Running,
        begun: BegunTakeover,
        ending: &Ending,
    ) -> Result<(String, bool)> {
        if self.scenario.way == Way::Back {
            self.lane.server(self.new).execute(&["START REPLICA SQL_THREAD"]).await?;
        }
        if let Some(let_in) = self.clients_let_in.take() {
            tokio::time::timeout(LIMIT, let_in).await.context("the new primary was never shut")???;
        }
        let by_hand = self.mend(ending).await?;
        running.wait_for_acknowledgements(12).await.context("after the takeover")?;
        running.end_takeover(begun);
        self.keep_one_running().await?;
        self.lane.wait_until_ready().await?;
        check::members(self).await?;
        check::claim_is_free(self).await?;
        let ended = check::ending(self, ending).await?;
        check::no_secret_is_told(self).await?;
        if matches!(ending, Ending::Told(_)) {
            self.lane.takeovers().delete(&self.name, &kube::api::DeleteParams::default()).await?;
        }
        Ok((ended, by_hand))
    }

    /// Where servers died: waits until everything is well, and else does what the documentation asks of people.
    async fn mend(&mut self, ending: &Ending) -> Result<bool> {
        let Fault::KillServer(_) = self.scenario.fault else { return Ok(false) };
        let clusters = self.lane.clusters();
        let ready =
            resources::wait_for_condition(&clusters, crate::lane::CLUSTER, "TakeoverReady", BY_ITSELF).await;
        if ready.is_ok() && self.lane.primary().await.is_ok() {
            return Ok(false);
        }
        if self.lane.writable().await?.is_empty() {
            ensure!(self.scenario.fault.may_need_a_hand(), "no server accepts writes, and no primary died");
            self.open_by_hand(ending).await?;
        }
        let primary = self.lane.primary().await?;
        for number in (0..3).filter(|number| *number != primary) {
            self.lane.server(number).execute(&["START REPLICA"]).await?;
        }
        Ok(true)
    }

    /// Opens what the takeover's end says is the primary, if no other server holds more.
    async fn open_by_hand(&self, ending: &Ending) -> Result<()> {
        let number = match ending {
            Ending::Told(status) if status.verify().is_ok() => self.new,
            Ending::Told(_) => self.old,
            Ending::Gone => bail!("no end that tells who is the primary"),
        };
        let name = self.lane.name(number);
        let server = self.lane.server(number);
        for other in (0..3).filter(|other| *other != number) {
            let set = self.lane.server(other).executed_gtid().await?;
            let more =
                server.value(&format!("SELECT GTID_SUBTRACT('{set}', @@global.gtid_executed)")).await?;
            ensure!(
                more.is_empty(),
                "{} holds {more}, which the primary {name} lacks",
                self.lane.name(other)
            );
        }
        server.execute(&["SET GLOBAL read_only = OFF"]).await
    }

    /// The logs of all operators of this scenario.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.operators.iter().map(|operator| operator.process().log().to_owned()).collect()
    }

    /// Waits until an operator that lost its place has ended.
    pub async fn gone(&self, operator: &Operator) -> Result<()> {
        until("the operator that lost the Lease to end", LIMIT, Duration::from_millis(20), async || {
            Ok(if operator.process().is_running() {
                Look::NotYet("it runs".to_owned())
            } else {
                Look::Ready(())
            })
        })
        .await
    }
}

/// Whether a process stands still.
fn is_stopped(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}

/// The longest time between two acknowledgements of any clients.
fn longest_gap(report: &Report) -> Duration {
    let acknowledged: Vec<_> =
        report.attempts.iter().filter(|attempt| attempt.is_acknowledged()).map(|a| a.finished).collect();
    acknowledged.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}

/// Every point has its way, or a reason why it has none.
pub fn covered_by(scenario: &Scenario) -> Option<Point> {
    match scenario.fault {
        Fault::KillOperator | Fault::StopOperator => Some(scenario.point),
        _ => None,
    }
}
