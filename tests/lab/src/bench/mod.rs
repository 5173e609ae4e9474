//! `lab bench`: what a takeover costs, beside the floor and beside a polling procedure.

pub mod by_hand;
mod print;
pub mod service;
pub mod sql;
pub mod steps;
mod verdict;

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::demo::Paint;
use crate::load::Report;
use crate::run::lab_directory;
use service::{CellResult, Order, Place, ServiceResult};
use sql::SqlResult;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Takeovers in each cell. The requirements are meant for 20 and more.
    #[arg(long, env = "BENCH_TAKEOVERS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub takeovers: u16,
    /// Also write every attempt of every client to target/lab/records, one line of JSON each.
    #[arg(long)]
    pub records: bool,
    /// One level only; its requirements are then the only ones.
    #[arg(long, value_enum)]
    pub only: Option<Level>,
}

/// A level of measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// Clients that know the servers' addresses.
    Sql,
    /// Clients behind the primary Service of a real node.
    Service,
}

/// Runs the benchmark, prints its tables and verdicts and writes `target/lab/bench.json`.
///
/// # Errors
/// What could not be measured, or that a requirement was missed.
pub async fn run(options: Options) -> Result<()> {
    let takeovers = usize::from(options.takeovers);
    let paint = Paint::for_stdout();
    let wanted = |level| options.only.is_none_or(|only| only == level);
    let mut requirements = Vec::new();
    let sql = if wanted(Level::Sql) {
        eprintln!(
            "SQL level: {takeovers} takeovers each by the floor, the operator and the polling procedure"
        );
        let result = sql::measure(takeovers).await.context("SQL level")?;
        print::sql(&result, takeovers, paint);
        requirements.extend(verdict::sql(&result));
        Some(result)
    } else {
        None
    };
    let service = if wanted(Level::Service) {
        eprintln!("Through the Service: {takeovers} takeovers in each of 12 cells");
        let result = service::measure(takeovers).await.context("through the Service")?;
        print::service(&result.cells, takeovers, paint);
        requirements.extend(verdict::service(&result.cells));
        result
    } else {
        ServiceResult::default()
    };
    write_json(sql.as_ref(), &service.cells)?;
    if options.records {
        write_records(sql.as_ref(), &service.cells)?;
    }
    print::verdicts(&requirements, paint);
    if let Some(error) = service.ended_early {
        return Err(error.context("through the Service, not all was measured"));
    }
    let missed = requirements.iter().filter(|requirement| !requirement.met).count();
    if missed > 0 {
        bail!("{missed} of {} requirements were missed", requirements.len());
    }
    Ok(())
}

fn write_json(sql: Option<&SqlResult>, cells: &[CellResult]) -> Result<()> {
    let reports: Vec<&Report> =
        sql.iter().map(|sql| &sql.report).chain(cells.iter().map(|cell| &cell.report)).collect();
    let sum = |count: fn(&Report) -> usize| reports.iter().map(|report| count(report)).sum::<usize>();
    let sql: Map<String, Value> = sql
        .into_iter()
        .flat_map(|sql| &sql.outage)
        .map(|(cell, outage)| (cell.key().to_owned(), json!(outage)))
        .collect();
    let figures = json!({
        "sql": sql,
        "service": by_order(cells, Place::OperatorsNode),
        "serviceSecondNode": by_order(cells, Place::SecondNode),
        "takeovers": sum(|report| report.takeovers.len()),
        "acknowledged": sum(Report::acknowledged),
        "missing": sum(Report::missing),
        "overlapSamples": sum(Report::overlap_samples),
    });
    let path = lab_directory().join("bench.json");
    fs::create_dir_all(lab_directory()).context("create target/lab")?;
    fs::write(&path, format!("{figures:#}\n")).with_context(|| format!("write {}", path.display()))
}

fn write_records(sql: Option<&SqlResult>, cells: &[CellResult]) -> Result<()> {
    let folder = lab_directory().join("records");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    if let Some(sql) = sql {
        sql.report.write_json_lines(&folder.join("sql.jsonl"))?;
    }
    for cell in cells {
        let name = format!("{}-{:?}-{}.jsonl", cell.order.key(), cell.place, cell.kind.key());
        cell.report.write_json_lines(&folder.join(name))?;
    }
    Ok(())
}

fn by_order(cells: &[CellResult], place: Place) -> Value {
    let mut orders = Map::new();
    for order in Order::ALL {
        let clients: Map<String, Value> = cells
            .iter()
            .filter(|cell| cell.place == place && cell.order == order)
            .map(|cell| (cell.kind.key().to_owned(), client(cell)))
            .collect();
        orders.insert(order.key().to_owned(), clients.into());
    }
    orders.into()
}

fn client(cell: &CellResult) -> Value {
    let steps: Map<String, Value> =
        cell.steps.percentiles().into_iter().map(|(step, times)| (step.to_owned(), json!(times))).collect();
    json!({
        "any": cell.any,
        "worst": cell.worst,
        "errorsPerTakeover": cell.errors_per_takeover,
        "withoutTakeover": cell.quiet,
        "connect": cell.connect,
        "operator": cell.operator,
        "steps": steps,
    })
}
