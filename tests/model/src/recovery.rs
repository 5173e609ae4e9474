//! Whether writes come back. Not "on some path" and not "on every path", of which many leave an operator asleep for ever:
//! in every state, once faults stop, either operator instance must be able to end the takeover by itself, with the other
//! one never moving again.

use crate::operator::Turn;
use crate::parties::{Side, Site, Who};
use crate::protocol::{Event, Protocol, replicate, running};
use crate::world::{Budget, Statement, Task, World};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// More moves than any way to the end takes.
const PATIENCE: usize = 200;

/// What is known already to end well.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    ends_well: Mutex<HashSet<u64>>,
}

impl Recovery {
    /// Whether writes come back from here, whichever operator is left.
    pub(crate) fn comes_back(&self, model: &Protocol, world: &World) -> bool {
        Who::ALL.into_iter().all(|who| self.ends_well(model, world, who))
    }

    fn ends_well(&self, model: &Protocol, world: &World, who: Who) -> bool {
        let mut world = world.clone();
        world.cut = None;
        world.budget = Budget::default();
        world.servers.0.up = true;
        world.servers.1.up = true;
        let mut way = Vec::new();
        for _ in 0..PATIENCE {
            let mut hasher = DefaultHasher::new();
            (&world, who).hash(&mut hasher);
            let print = hasher.finish();
            let mut known = self.ends_well.lock().unwrap_or_else(PoisonError::into_inner);
            if ended(&world) || known.contains(&print) {
                known.extend(way);
                known.insert(print);
                return true;
            }
            drop(known);
            way.push(print);
            if !go_on(model, &mut world, who) {
                return false;
            }
        }
        false
    }
}

/// No claim is left, nothing of anybody is on its way, and one server accepts writes.
fn ended(world: &World) -> bool {
    let quiet = Side::ALL
        .into_iter()
        .flat_map(|side| Who::ALL.map(|who| (side, who)))
        .all(|(side, who)| running(world, side, who).is_none());
    world.store.claim.is_none() && quiet && world.writable() == 1
}

/// Servers first, then the operator; no client writes, no fault.
fn go_on(model: &Protocol, world: &mut World, who: Who) -> bool {
    for site in [Site::Old, Site::New, Site::Sibling] {
        if replicate(world, &model.rules, site) {
            return true;
        }
    }
    for (side, owner) in Side::ALL.into_iter().flat_map(|side| Who::ALL.map(|who| (side, who))) {
        let moved = match running(world, side, owner) {
            Some(Statement::OpenWhenApplied(_)) => {
                model.apply(world, Event::Execute(side, owner))
                    || model.apply(world, Event::Expire(side, owner))
            }
            Some(Statement::Freeze | Statement::Open) => model.apply(world, Event::Execute(side, owner)),
            None => false,
        };
        if moved {
            return true;
        }
    }
    let mut turn = Turn::new(&model.rules, &model.bridge, world, who, false);
    match turn.me().task {
        Task::Rest => turn.adopt(),
        Task::Preflight
        | Task::ProveCatchUp
        | Task::TakeHold(_)
        | Task::FreezeFirst
        | Task::RecordIntent
        | Task::Look(_)
        | Task::Regrasp(_)
        | Task::Await(_)
        | Task::Decide => turn.act(),
    }
}
