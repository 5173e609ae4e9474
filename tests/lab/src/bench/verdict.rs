//! What the benchmark is required to show, one line each.

use crate::load::ClientKind;

use super::service::{CellResult, Order, Place};
use super::sql::{Cell, SqlResult};

/// The operator's outage at SQL level, in floors.
const FLOORS: f64 = 3.0;
/// Routing first must be this many times faster than freezing first, as clients see it.
const ROUTE_FIRST_GAIN: f64 = 5.0;
/// Errors that four clients with a connection per write may see in a takeover.
const ERRORS_PER_TAKEOVER: f64 = 10.0;

/// One requirement, and whether it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Whether it was met.
    pub met: bool,
    /// What was required and what was measured.
    pub text: String,
}

impl Requirement {
    fn new(met: bool, text: String) -> Self {
        Self { met, text }
    }
}

/// Requirements on the SQL level.
pub fn sql(result: &SqlResult) -> Vec<Requirement> {
    let median = |cell| result.outage.get(&cell).map(|outage| outage.p50);
    let mut requirements = Vec::new();
    if let (Some(floor), Some(operator)) = (median(Cell::Floor), median(Cell::Operator)) {
        requirements.push(Requirement::new(
            operator <= FLOORS * floor,
            format!("SQL: operator {operator:.1} ms, at most {FLOORS} x the floor's median of {floor:.1} ms"),
        ));
    }
    requirements.extend(promises("SQL", &[&result.report]));
    requirements
}

/// Requirements on what clients behind a Service see; those of the operator's node count.
pub fn service(cells: &[CellResult]) -> Vec<Requirement> {
    let find = |order, kind| {
        cells
            .iter()
            .find(|cell| cell.place == Place::OperatorsNode && cell.order == order && cell.kind == kind)
    };
    let mut requirements = Vec::new();
    for kind in ClientKind::ALL {
        let (Some(route), Some(freeze)) = (find(Order::RouteFirst, kind), find(Order::FreezeFirst, kind))
        else {
            continue;
        };
        requirements.push(Requirement::new(
            route.any.p50 * ROUTE_FIRST_GAIN <= freeze.any.p50,
            format!(
                "Service, a client that {kind}: RouteFirst {:.1} ms, at most 1/{ROUTE_FIRST_GAIN} of FreezeFirst's \
                 median of {:.1} ms",
                route.any.p50, freeze.any.p50
            ),
        ));
    }
    if let Some(cell) = find(Order::RouteFirst, ClientKind::PerWrite) {
        let errors = cell.errors_per_takeover;
        requirements.push(Requirement::new(
            errors <= ERRORS_PER_TAKEOVER,
            format!("Service: {errors:.1} errors a takeover, at most {ERRORS_PER_TAKEOVER}, four clients; each {}", cell.kind),
        ));
    }
    let failures: Vec<&String> = cells.iter().flat_map(|cell| &cell.failures).collect();
    if let Some(first) = failures.first() {
        let text = format!(
            "Service: {} takeovers ended otherwise and were tried again; the first: {first}",
            failures.len()
        );
        requirements.push(Requirement::new(false, text));
    }
    for cell in cells.iter().filter(|cell| !cell.stranded.is_empty()) {
        let (order, place, kind) = (cell.order.key(), cell.place, cell.kind);
        let (count, of) = (cell.stranded.len(), cell.report.takeovers.len());
        let text = format!(
            "Service, {order}, {place:?}, a client that {kind}: stranded after {count} of {of} takeovers"
        );
        requirements.push(Requirement::new(false, text));
    }
    requirements.extend(promises("Service", &cells.iter().map(|cell| &cell.report).collect::<Vec<_>>()));
    requirements
}

fn promises(level: &str, reports: &[&crate::load::Report]) -> Vec<Requirement> {
    let acknowledged: usize = reports.iter().map(|report| report.acknowledged()).sum();
    let missing: usize = reports.iter().map(|report| report.missing()).sum();
    let overlap: usize = reports.iter().map(|report| report.overlap_samples()).sum();
    let mut requirements = vec![
        Requirement::new(
            missing == 0,
            format!("{level}: {missing} of {acknowledged} acknowledged writes missing, 0 allowed"),
        ),
        Requirement::new(
            overlap == 0,
            format!("{level}: {overlap} samples with two writable servers, 0 allowed"),
        ),
    ];
    // The same and more (replicas, errant transactions, writes taken too late), in words.
    for error in reports.iter().filter_map(|report| report.verify().err()) {
        requirements.push(Requirement::new(false, format!("{level}: {error:#}")));
    }
    requirements
}
