//! `mysql-takeover watch`: the steps of a takeover while they happen.

mod frame;

use super::paint::Paint;
use super::session::{self, LOOK, Session};
use super::verdict::Verdict;
use crate::api::MasterTakeover;
use crate::kubernetes::Kubernetes as _;
use anyhow::Result;
use kube::ResourceExt as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 succeeded, 1 failed, 2 rolled back, 3 not ended within the timeout, 4 could not be \
                        watched.\nCtrl-C stops watching only; the takeover goes on."
)]
pub(super) struct Arguments {
    /// Name of the MasterTakeover
    #[arg(value_name = "TAKEOVER")]
    name: String,
    /// Stop watching after this many seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    #[command(flatten)]
    session: session::Arguments,
}

impl Arguments {
    pub(super) fn watch(self) -> Result<ExitCode> {
        session::block_on(async {
            let session = self.session.connect().await?;
            let deadline = self.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
            let verdict = follow(&session, &self.name, deadline).await?;
            if verdict == Verdict::Open {
                eprintln!("not ended within {} s; it goes on", self.timeout.unwrap_or_default());
            }
            Ok(verdict.exit_code())
        })
    }
}

/// Shows the takeover until it ends or the deadline passes.
async fn follow(session: &Session, name: &str, deadline: Option<Instant>) -> Result<Verdict> {
    let mut screen = Screen::for_stdout();
    let mut takeover = session.takeover(name).await?;
    loop {
        let verdict = Verdict::of(&takeover);
        let over = verdict != Verdict::Open || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        screen.show(&takeover, over)?;
        if over {
            return Ok(verdict);
        }
        sleep(LOOK).await;
        match session.kubernetes.takeover(&session.key(name)).await {
            Ok(Some(fresh)) => takeover = fresh,
            Ok(None) => {
                anyhow::bail!(
                    "MasterTakeover {name} was deleted; the history is in the status of its cluster"
                )
            }
            // The takeover goes on without the API server, and so do we, until the deadline.
            Err(error) => screen.trouble(&error.to_string()),
        }
    }
}

/// Where the takeover is shown: redrawn in place on a terminal, one line a change elsewhere.
struct Screen {
    terminal: bool,
    paint: Paint,
    drawn: usize,
    told: Vec<String>,
    trouble: Option<String>,
}

impl Screen {
    fn for_stdout() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            paint: Paint::for_stdout(),
            drawn: 0,
            told: Vec::new(),
            trouble: None,
        }
    }

    fn trouble(&mut self, text: &str) {
        if self.trouble.as_deref() != Some(text) && !self.terminal {
            eprintln!("{text}; trying again");
        }
        self.trouble = Some(text.to_owned());
    }

    fn show(&mut self, takeover: &MasterTakeover, last: bool) -> std::io::Result<()> {
        let mut output = std::io::stdout().lock();
        if self.terminal {
            let mut lines = frame::frame(takeover, jiff::Timestamp::now(), self.paint);
            if let Some(trouble) = self.trouble.take() {
                lines.push(self.paint.attention(&format!("{trouble}; trying again")));
            }
            if !last {
                lines.push(String::new());
                let (name, namespace) = (takeover.name_any(), takeover.namespace().unwrap_or_default());
                lines.push(self.paint.faint(&format!(
                    "Ctrl-C stops watching only. To cancel: kubectl mysql-takeover cancel {name} -n {namespace}"
                )));
            }
            if self.drawn > 0 {
                write!(output, "\x1b[{}A\x1b[J", self.drawn)?;
            }
            self.drawn = lines.len();
            // Lines are not wrapped while they are redrawn, or there would be more of them than were counted.
            let (before, after) = if last { ("", "") } else { ("\x1b[?7l", "\x1b[?7h") };
            write!(output, "{before}{}\n{after}", lines.join("\n"))?;
        } else {
            self.trouble = None;
            let lines = frame::lines(takeover);
            for line in lines.iter().filter(|line| !self.told.contains(line)) {
                writeln!(output, "{line}")?;
            }
            self.told = lines;
        }
        if last {
            writeln!(output, "{}", frame::verdict(takeover, self.paint))?;
        }
        output.flush()
    }
}
