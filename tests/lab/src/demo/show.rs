//! What the demo prints.

use std::net::SocketAddr;
use std::time::Duration;

use super::paint::{Paint, table};
use crate::deploy::{CLUSTER, NAMESPACE, TAKEOVER, TAKEOVER_SAMPLE};
use crate::load::{ClientKind, Report, milliseconds};
use crate::resources::{ClusterStatus, TakeoverStatus};

/// Prints to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    paint: Paint,
    service: SocketAddr,
}

impl Show {
    pub fn new(service: SocketAddr) -> Self {
        Self { paint: Paint::for_stdout(), service }
    }

    pub fn topology(self, title: &str, status: &ClusterStatus) {
        println!("\n{}", self.paint.bold(title));
        let mut rows = vec![["POD", "ROLE", "WRITABLE", "STATE", "VERSION"].map(str::to_owned).to_vec()];
        for instance in &status.instances {
            let writable = if instance.writable { "yes" } else { "no" };
            let version = instance.version.clone().unwrap_or_default();
            rows.push(vec![
                instance.name.clone(),
                instance.role.clone(),
                writable.to_owned(),
                instance.state.clone(),
                version,
            ]);
        }
        print!("{}", table(&rows, &[]));
    }

    pub fn clients(self, writers: u32) {
        println!(
            "\n{writers} clients with an open connection and {writers} with a connection per write are writing through {}.",
            self.service
        );
    }

    pub fn command(self, command: &str) {
        println!("\n{}", self.paint.bold(&format!("$ {command}")));
    }

    pub fn steps(self) -> Steps {
        Steps { paint: self.paint, shown: Vec::new() }
    }

    pub fn figures(self, status: &TakeoverStatus, report: &Report) {
        println!("\n{}", self.paint.bold("Write outage"));
        let milliseconds = |duration: Option<Duration>| match duration {
            Some(duration) => format!("{:.1} ms", milliseconds(duration)),
            None => "not known".to_owned(),
        };
        let mut rows = vec![vec!["seen by the operator".to_owned(), milliseconds(status.write_outage())]];
        for (kind, who) in [
            (ClientKind::Keep, "a client with an open connection"),
            (ClientKind::PerWrite, "a client with a connection per write"),
        ] {
            let outage = report.outages(kind).into_iter().next().unwrap_or_default();
            rows.push(vec![format!("seen by {who}"), milliseconds(outage.any)]);
            rows.push(vec!["  its worst gap between two writes".to_owned(), milliseconds(outage.worst)]);
            rows.push(vec!["  its errors, each tried again".to_owned(), outage.error_count().to_string()]);
        }
        print!("{}", table(&rows, &[1]));

        println!("\n{}", self.paint.bold("Writes"));
        let must_be_none = |count: usize| {
            let text = count.to_string();
            if count == 0 { self.paint.good(&text) } else { self.paint.bad(&text) }
        };
        println!("  acknowledged                                {}", report.acknowledged());
        println!("  acknowledged but missing                    {}", must_be_none(report.missing()));
        println!("  samples that saw two writable servers       {}", must_be_none(report.overlap_samples()));
        println!(
            "{}",
            self.paint.faint(&format!(
                "  ({} samples, the longest time between two of one server {:.0} ms)",
                report.observation.samples, report.observation.largest_gap_milliseconds
            ))
        );
    }

    pub fn verdict(self) {
        println!("\n{}", self.paint.good("The primary has moved. No acknowledged write is missing."));
    }
}

/// Commands for a node that is left up. `enter` runs kubectl there, with some arguments of its own.
pub fn how_to_use(enter: &str) -> String {
    let kubectl = enter.split_once(" get ").map_or(enter, |(kubectl, _)| kubectl);
    format!(
        "
The node is left up. For a shell on this machine, as root:
  k() {{ {kubectl} --namespace {NAMESPACE} \"$@\"; }}
  k get mysqlclusters,mastertakeovers,pods,services
  k get mastertakeover {TAKEOVER} --output=yaml
Once more, to another server:
  sed 's/{CLUSTER}-to-1/{CLUSTER}-to-2/; s/newPrimary:.*/newPrimary: {CLUSTER}-2/' {TAKEOVER_SAMPLE} | k apply --filename -
  k get mastertakeovers --watch
End it with: make clean"
    )
}

/// Prints each step once, when it has ended.
#[derive(Debug)]
pub struct Steps {
    paint: Paint,
    shown: Vec<String>,
}

impl Steps {
    pub fn seen(&mut self, status: &TakeoverStatus) {
        for step in &status.steps {
            if matches!(step.state.as_str(), "Pending" | "Running") || self.shown.contains(&step.name) {
                continue;
            }
            self.shown.push(step.name.clone());
            let mark = match step.state.as_str() {
                "Done" => self.paint.good("✓"),
                "Skipped" => self.paint.faint("-"),
                _ => self.paint.bad("✗"),
            };
            let duration =
                step.duration().map_or_else(String::new, |time| format!("{:.1} ms", milliseconds(time)));
            let message = step.message.clone().unwrap_or_default();
            println!("  {mark} {:<14} {duration:>10}  {}", step.name, self.paint.faint(&message));
        }
    }
}
