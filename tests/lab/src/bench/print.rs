//! The benchmark's tables. All times in milliseconds.

use crate::demo::{Paint, table};
use crate::load::{ClientKind, Percentiles};

use super::service::{CellResult, Order, Place};
use super::sql::{Cell, SqlResult};
use super::steps::StepTimes;
use super::verdict::Requirement;

fn cells(percentiles: Option<Percentiles>) -> [String; 3] {
    percentiles.map_or_else(Default::default, |times| {
        [times.p50, times.p95, times.max].map(|time| format!("{time:.1}"))
    })
}

fn three(percentiles: Option<Percentiles>) -> String {
    percentiles.map_or_else(|| "-".to_owned(), |times| times.to_string())
}

/// The SQL level.
pub fn sql(result: &SqlResult, takeovers: usize, paint: Paint) {
    println!(
        "\n{}",
        paint.bold(&format!("SQL level, {takeovers} takeovers each: first acknowledged write anywhere, ms"))
    );
    let floor = result.outage.get(&Cell::Floor).map(|outage| outage.p50);
    let mut rows = vec![["", "p50", "p95", "max", "of the floor"].map(str::to_owned).to_vec()];
    for cell in Cell::ALL {
        let outage = result.outage.get(&cell).copied();
        let mut row = vec![cell.key().to_owned()];
        row.extend(cells(outage));
        row.extend(outage.zip(floor).map(|(outage, floor)| format!("{:.1} x", outage.p50 / floor)));
        rows.push(row);
    }
    let mut seen = vec!["seen by the operator".to_owned()];
    seen.extend(cells(result.operator_outage));
    rows.push(seen);
    print!("{}", table(&rows, &[1, 2, 3, 4]));
    let kind = ClientKind::Drop;
    println!(
        "  connect {} ms, a write {} ms (p50 / p95 / max); the observer's longest gap {:.0} ms",
        three(result.report.connect_time(kind)),
        three(result.report.statement_time(kind)),
        result.report.observation.largest_gap_milliseconds
    );
    steps("Where the operator's time goes at SQL level, ms", &result.steps, paint);
}

/// What clients behind the Service see.
pub fn service(results: &[CellResult], takeovers: usize, paint: Paint) {
    println!(
        "\n{}",
        paint.bold(&format!(
            "Through the Service, {takeovers} takeovers a row, 4 clients: p50 / p95 / max, ms"
        ))
    );
    let head = [
        "ORDER",
        "CLIENTS",
        "CONNECTION",
        "FIRST WRITE ANYWHERE",
        "WORST WRITER",
        "WITHOUT A TAKEOVER",
        "CONNECT",
        "ERRORS A TAKEOVER",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for cell in results {
        let place = match cell.place {
            Place::OperatorsNode => "operator's node",
            Place::SecondNode => "second node",
        };
        rows.push(vec![
            cell.order.key().to_owned(),
            place.to_owned(),
            cell.kind.key().to_owned(),
            cell.any.to_string(),
            cell.worst.to_string(),
            three(cell.quiet),
            three(cell.connect),
            format!("{:.1}", cell.errors_per_takeover),
        ]);
    }
    print!("{}", table(&rows, &[3, 4, 5, 6, 7]));
    println!(
        "  worst writer: longest time between two writes of one client around a takeover; \
         without a takeover: the same in windows of one second"
    );
    for order in Order::ALL {
        let mut cells =
            results.iter().filter(|cell| cell.order == order && cell.place == Place::OperatorsNode);
        if let Some(cell) = cells.next() {
            steps(&format!("Where the time goes with {}, ms", order.key()), &cell.steps, paint);
        }
    }
}

fn steps(title: &str, steps: &StepTimes, paint: Paint) {
    println!("\n{}", paint.bold(title));
    let mut rows = vec![["STEP", "p50", "p95", "max"].map(str::to_owned).to_vec()];
    for (step, times) in steps.percentiles() {
        let mut row = vec![step.to_owned()];
        row.extend(cells(Some(times)));
        rows.push(row);
    }
    print!("{}", table(&rows, &[1, 2, 3]));
}

/// Every requirement with its verdict.
pub fn verdicts(requirements: &[Requirement], paint: Paint) {
    println!("\n{}", paint.bold("Required"));
    for requirement in requirements {
        let verdict = if requirement.met { paint.good("met   ") } else { paint.bad("MISSED") };
        println!("  {verdict}  {}", requirement.text);
    }
}
