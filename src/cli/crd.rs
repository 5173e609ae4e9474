//! `mysql-takeover crd`.

use crate::api::crd;
use anyhow::{Context as _, Result};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write each definition to `<NAME>.yaml` in this directory instead of printing them
    #[arg(long, value_name = "DIRECTORY")]
    output_directory: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn print(self) -> Result<ExitCode> {
        let Some(directory) = self.output_directory else {
            let mut output = std::io::stdout().lock();
            for definition in crd::all() {
                write!(output, "---\n{}", crd::yaml(&definition)?).context("cannot print the definitions")?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        for definition in crd::all() {
            let path = directory.join(crd::file_name(&definition));
            fs::write(&path, crd::yaml(&definition)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
