//! The protocol as a state space: what can happen in a world, and what must hold in all of them.

use crate::bridge::Bridge;
use crate::mistake::{Mistake, Promise};
use crate::operator::Turn;
use crate::parties::{Peer, Side, Site, Who};
use crate::recovery::Recovery;
use crate::sets::Transactions;
use crate::world::{At, Ending, Mode, Reply, Rules, Server, Statement, Task, Way, World};
use mysql_takeover::takeover::{Decision, Step, Undo};
use stateright::{Model, Property};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An operator claims the cluster.
    Claim(Who),
    /// An operator adopts the running takeover.
    Adopt(Who),
    /// An operator makes its next move.
    Act(Who),
    /// The same, but the API's answer is lost after the write.
    ActUnanswered(Who),
    /// An operator waits no longer for a server's answer.
    GiveUp(Who),
    /// A statement takes effect.
    Execute(Side, Who),
    /// A packet 2 has waited long enough.
    Expire(Side, Who),
    /// A server refuses a freeze.
    Refuse(Side, Who),
    /// A client writes, and the write is acknowledged.
    Write(u8, Side),
    /// A replica applies what its source has.
    Replicate(Site),
    /// An operator process dies and a new one starts.
    CrashOperator(Who),
    /// A server dies.
    CrashServer(Side),
    /// A server starts again, and accepts no writes.
    Restart(Side),
    /// An operator is cut off from something.
    Cut(Who, Peer),
    /// The network is whole again.
    Heal,
    /// The deadline passes.
    Deadline,
    /// The user cancels.
    Cancel,
}

/// The model.
#[derive(Debug)]
pub struct Protocol {
    /// What is fixed.
    pub rules: Rules,
    pub(crate) bridge: Bridge,
    recovery: Recovery,
    events: Vec<Event>,
}

impl Protocol {
    /// For a set of rules.
    pub fn new(rules: Rules) -> Self {
        Self { bridge: Bridge::new(&rules), recovery: Recovery::default(), events: events(&rules), rules }
    }

    fn turn<'a>(&'a self, world: &'a mut World, who: Who) -> Turn<'a> {
        Turn::new(&self.rules, &self.bridge, world, who, false)
    }

    /// What the operator would do next if it went on now.
    pub(crate) fn next_decision(&self, world: &World, who: Who) -> Option<Decision> {
        let operator = world.operators.of(who);
        (operator.task == Task::Decide).then(|| self.bridge.decide(operator, world.late)).flatten()
    }

    /// A crash of the primary after the last look at it is like one after the end: no takeover's business any more.
    fn about_to_end(&self, world: &World) -> bool {
        Who::ALL.into_iter().any(|who| {
            matches!(
                self.next_decision(world, who),
                Some(Decision::Run(Step::Finish) | Decision::RolledBack(_))
            )
        })
    }

    /// Applies an event. False: it cannot happen now.
    pub(crate) fn apply(&self, world: &mut World, event: Event) -> bool {
        match event {
            Event::Claim(who) => {
                let again = world.store.ended.is_some();
                let again_allowed =
                    world.store.ended != Some(Ending::Promoted) && take(&mut world.budget.retries);
                let allowed = !again || again_allowed;
                allowed && (who == Who::First || again) && self.turn(world, who).claim()
            }
            Event::Adopt(who) => take(&mut world.budget.adoptions) && self.turn(world, who).adopt(),
            Event::Act(who) => self.turn(world, who).act(),
            Event::ActUnanswered(who) => {
                if !take(&mut world.budget.lost_answers) {
                    return false;
                }
                let mut turn = Turn::new(&self.rules, &self.bridge, world, who, true);
                turn.act() && !turn.lose_answer
            }
            Event::GiveUp(who) => {
                let Task::Await(side) = world.operators.of(who).task else { return false };
                let waited_for = world.servers.at(side).sessions.of(who).is_some();
                let cut = world.cut == Some((who, Peer::Server(side)));
                waited_for && (cut || take(&mut world.budget.lost_answers)) && self.turn(world, who).give_up()
            }
            Event::Execute(side, who) => execute(world, &self.rules, side, who),
            Event::Expire(side, who) => expire(world, side, who),
            Event::Refuse(side, who) => {
                running(world, side, who) == Some(Statement::Freeze)
                    && take(&mut world.budget.lost_answers)
                    && answer(world, side, who, Reply::Refused)
            }
            Event::Write(number, side) => write(world, number, side),
            Event::Replicate(site) => replicate(world, &self.rules, site),
            Event::CrashOperator(who) => {
                world.operators.of(who).task != Task::Rest && take(&mut world.budget.operator_crashes) && {
                    self.turn(world, who).stop();
                    true
                }
            }
            Event::CrashServer(side) => {
                world.servers.at(side).up
                    && world.store.claim.is_some_and(|claim| claim.intent)
                    && !self.about_to_end(world)
                    && take(&mut world.budget.server_crashes)
                    && {
                        crash(world.servers.at_mut(side));
                        true
                    }
            }
            Event::Restart(side) => !std::mem::replace(&mut world.servers.at_mut(side).up, true),
            Event::Cut(who, peer) => {
                let free = world.cut.is_none() && world.store.claim.is_some();
                free && take(&mut world.budget.partitions) && world.cut.replace((who, peer)).is_none()
            }
            Event::Heal => world.cut.take().is_some(),
            Event::Deadline => {
                let running = !world.late && world.store.claim.is_some();
                running && take(&mut world.budget.deadlines) && !std::mem::replace(&mut world.late, true)
            }
            Event::Cancel => {
                let running = !world.cancel && world.store.claim.is_some();
                running && take(&mut world.budget.cancels) && !std::mem::replace(&mut world.cancel, true)
            }
        }
    }

    fn keeps(&self, world: &World, promise: Promise) -> bool {
        match promise {
            Promise::NoLostAcknowledgement => [world.servers.0, world.servers.1]
                .iter()
                .all(|server| server.mode != Mode::Open || server.executed.contains(world.acknowledged)),
            Promise::OneWritable => world.writable() <= 1,
            Promise::FrozenImpliesIntent => {
                let (old, new) = (&world.servers.0, &world.servers.1);
                old.mode == Mode::Open
                    || old.restarted
                    || new.mode == Mode::Open
                    || world.store.claim.is_some_and(|claim| claim.intent)
            }
            Promise::WritesComeBack => self.recovery.comes_back(self, world),
        }
    }

    fn decides(&self, world: &World, wanted: fn(&Decision) -> bool) -> bool {
        Who::ALL
            .into_iter()
            .any(|who| self.next_decision(world, who).is_some_and(|decision| wanted(&decision)))
    }
}

/// Everything that can happen at all under some rules.
fn events(rules: &Rules) -> Vec<Event> {
    let mut events = Vec::new();
    for who in Who::ALL {
        events.extend([Event::Act(who), Event::Claim(who), Event::Adopt(who)]);
        events.extend([Event::ActUnanswered(who), Event::GiveUp(who), Event::CrashOperator(who)]);
        events.push(Event::Cut(who, Peer::Api));
        for side in Side::ALL {
            events.extend([Event::Execute(side, who), Event::Expire(side, who), Event::Refuse(side, who)]);
            events.push(Event::Cut(who, Peer::Server(side)));
        }
    }
    for side in Side::ALL {
        events.extend([Event::CrashServer(side), Event::Restart(side)]);
        events.extend((0..rules.writes).map(|number| Event::Write(number, side)));
    }
    events.extend([Site::Old, Site::New, Site::Sibling].map(Event::Replicate));
    events.extend([Event::Heal, Event::Deadline, Event::Cancel]);
    events
}

fn take(left: &mut u8) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

fn crash(server: &mut Server) {
    server.up = false;
    server.mode = Mode::Shut;
    server.restarted = true;
    server.sessions.0 = None;
    server.sessions.1 = None;
}

pub(crate) fn running(world: &World, side: Side, who: Who) -> Option<Statement> {
    match world.servers.at(side).sessions.of(who).map(|session| session.at) {
        Some(At::Running(statement)) => Some(statement),
        Some(At::Rest | At::Answered(_)) | None => None,
    }
}

/// Leaves the answer with the session, or drops both where nobody waits for it any more.
fn answer(world: &mut World, side: Side, who: Who, reply: Reply) -> bool {
    let awaited = world.operators.of(who).task == Task::Await(side);
    let slot = world.servers.at_mut(side).sessions.of_mut(who);
    match slot {
        Some(session) if awaited => session.at = At::Answered(reply),
        Some(_) | None => *slot = None,
    }
    true
}

fn execute(world: &mut World, rules: &Rules, side: Side, who: Who) -> bool {
    let Some(statement) = running(world, side, who) else { return false };
    let server = world.servers.at_mut(side);
    let reply = match statement {
        Statement::Freeze if rules.mistake == Some(Mistake::ReadOnlyIsEnough) => {
            server.mode = Mode::ReadOnly;
            Reply::Frozen(server.executed)
        }
        Statement::Freeze => {
            server.mode = Mode::Shut;
            Reply::Frozen(server.executed)
        }
        Statement::OpenWhenApplied(set) if !server.executed.contains(set) => return false,
        Statement::OpenWhenApplied(_) | Statement::Open => {
            server.mode = Mode::Open;
            Reply::Opened
        }
    };
    answer(world, side, who, reply)
}

fn expire(world: &mut World, side: Side, who: Who) -> bool {
    match running(world, side, who) {
        Some(Statement::OpenWhenApplied(set)) if !world.servers.at(side).executed.contains(set) => {
            answer(world, side, who, Reply::StillShut)
        }
        Some(Statement::OpenWhenApplied(_) | Statement::Freeze | Statement::Open) | None => false,
    }
}

fn write(world: &mut World, number: u8, side: Side) -> bool {
    let privileged = number == 1;
    let server = world.servers.at_mut(side);
    let allowed = match server.mode {
        Mode::Open => true,
        Mode::ReadOnly => privileged,
        Mode::Shut => false,
    };
    let free = allowed && server.up && !world.acknowledged.has(number);
    if free {
        let one = Transactions::one(number, side);
        server.executed = server.executed.union(one);
        world.acknowledged = world.acknowledged.union(one);
    }
    free
}

/// A sibling that does not lag applies everything at the same moment as the new primary does.
pub(crate) fn replicate(world: &mut World, rules: &Rules, site: Site) -> bool {
    let source = |world: &World, side: Option<Side>| {
        side.map(|side| *world.servers.at(side)).filter(|server| server.up).map(|server| server.executed)
    };
    let applied = match site {
        Site::Old => source(world, world.servers.0.source).map(|set| (&mut world.servers.0, set)),
        Site::New => source(world, world.servers.1.source).map(|set| (&mut world.servers.1, set)),
        Site::Sibling => source(world, world.sibling.source).map(|set| (&mut world.sibling, set)),
    };
    let Some((server, set)) = applied.filter(|(server, set)| server.up && !server.executed.contains(*set))
    else {
        return false;
    };
    server.executed = server.executed.union(set);
    if site != Site::Sibling && !rules.sibling_lags {
        replicate(world, rules, Site::Sibling);
    }
    true
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.rules)]
    }

    fn actions(&self, _: &World, actions: &mut Vec<Event>) {
        actions.extend(&self.events);
    }

    fn next_state(&self, last: &World, event: Event) -> Option<World> {
        let mut world = last.clone();
        (self.apply(&mut world, event) && world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = |promise: Promise| {
            let condition: fn(&Self, &World) -> bool = match promise {
                Promise::NoLostAcknowledgement => {
                    |model, world| model.keeps(world, Promise::NoLostAcknowledgement)
                }
                Promise::OneWritable => |model, world| model.keeps(world, Promise::OneWritable),
                Promise::FrozenImpliesIntent => {
                    |model, world| model.keeps(world, Promise::FrozenImpliesIntent)
                }
                Promise::WritesComeBack => |model, world| model.keeps(world, Promise::WritesComeBack),
            };
            Property::always(promise.name(), condition)
        };
        let mut properties: Vec<Property<Self>> = Promise::ALL.into_iter().map(always).collect();
        if self.rules.mistake.is_none() {
            properties.extend(reached());
        }
        properties
    }
}

/// What some state must show, or the model would be checking less than it seems to.
fn reached() -> Vec<Property<Protocol>> {
    macro_rules! decided {
        ($($name:literal: $decision:pat,)*) => {
            vec![$(Property::sometimes($name, |model: &Protocol, world: &World| {
                model.decides(world, |decision| matches!(decision, $decision))
            }),)*]
        };
    }
    macro_rules! seen {
        ($($name:literal: |$world:ident| $condition:expr,)*) => {
            vec![$(Property::sometimes($name, |_: &Protocol, $world: &World| $condition),)*]
        };
    }
    let mut properties = decided! {
        "Route": Decision::Run(Step::Route),
        "Freeze": Decision::Run(Step::Freeze),
        "Open": Decision::Run(Step::Open),
        "Disconnect": Decision::Run(Step::Disconnect),
        "Detach": Decision::Run(Step::Detach),
        "Reattach": Decision::Run(Step::Reattach),
        "Verify": Decision::Run(Step::Verify),
        "Finish": Decision::Run(Step::Finish),
        "ThawOld": Decision::Undo(Undo::ThawOld),
        "LookBack": Decision::Undo(Undo::LookBack),
        "RouteBack": Decision::Undo(Undo::RouteBack),
        "TurnBack": Decision::TurnBack(_),
        "Hold": Decision::Hold(_),
        "RolledBack": Decision::RolledBack(_),
    };
    properties.extend(seen! {
        "Admit": |world| world.store.claim.is_some(),
        "Preflight": |world| world.operators.0.task == Task::Preflight,
        "ProveCatchUp": |world| world.operators.0.task == Task::ProveCatchUp,
        "RecordIntent": |world| world.operators.0.task == Task::RecordIntent,
        "adopted": |world| world.store.claim.is_some_and(|claim| claim.epoch > 1),
        "turned back": |world| world.store.claim.is_some_and(|claim| claim.way == Way::Unwind),
        "recorded open": |world| world.store.claim.is_some_and(|claim| claim.opened),
        "released promoted": |world| world.store.ended == Some(Ending::Promoted),
        "released rolled back": |world| world.store.ended == Some(Ending::RolledBack),
        "released unchanged": |world| world.store.ended == Some(Ending::Unchanged),
    });
    properties
}
