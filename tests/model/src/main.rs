//! temporary
use model::protocol::Protocol;
use model::world::{Budget, Rules};
use stateright::{Checker, Model};
fn main() {
    let args: Vec<u8> = std::env::args().skip(1).map(|a| a.parse().unwrap_or(0)).collect();
    let g = |i: usize| args.get(i).copied().unwrap_or(0);
    let budget = Budget {
        operator_crashes: g(0),
        server_crashes: g(1),
        partitions: g(2),
        lost_answers: g(3),
        adoptions: g(4),
        cancels: g(5),
        deadlines: g(6),
        retries: g(7),
    };
    let mistake = g(9).checked_sub(1).and_then(|i| model::mistake::Mistake::ALL.get(usize::from(i)).copied());
    let rules = Rules {
        mistake,
        freeze_first: g(10) > 0,
        unmarked: g(11) > 0,
        sibling_lags: g(12) > 0,
        writes: g(8),
        budget,
    };
    let started = std::time::Instant::now();
    let checker = Protocol::new(rules)
        .checker()
        .threads(1)
        .timeout(std::time::Duration::from_secs(240))
        .spawn_bfs()
        .join();
    println!(
        "{rules:?}\nunique {} depth {} in {:?}",
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed()
    );
    let found = checker.discoveries();
    let names: Vec<_> =
        checker.model().properties().iter().filter(|p| !found.contains_key(p.name)).map(|p| p.name).collect();
    println!("not discovered: {names:?}");
    for (name, path) in found {
        if model::mistake::Promise::ALL.iter().any(|p| p.name() == name) {
            println!(
                "BROKEN {name}: {:#?}",
                path.clone().into_actions().iter().map(|a| format!("{a:?}")).collect::<Vec<_>>()
            );
            println!("{:?}", path.last_state());
        }
    }
}
