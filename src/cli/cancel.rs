//! `mysql-takeover cancel`.

use super::session;
use super::verdict::{Verdict, told};
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name of the MasterTakeover
    #[arg(value_name = "TAKEOVER")]
    name: String,
    #[command(flatten)]
    session: session::Arguments,
}

impl Arguments {
    pub(super) fn cancel(self) -> Result<ExitCode> {
        session::block_on(async move {
            let session = self.session.connect().await?;
            let takeover = session.takeover(&self.name).await?;
            if Verdict::of(&takeover) != Verdict::Open {
                anyhow::bail!("it has ended already: {}", told(&takeover).0);
            }
            session.patch(&self.name, json!({"spec": {"cancel": true}})).await?;
            println!(
                "asked to cancel; before the new primary is open everything is undone, after it the takeover is finished"
            );
            Ok(ExitCode::SUCCESS)
        })
    }
}
