//! What can go wrong, and when: each scenario is a value with a name.

use lab::proxy::Mode;
use mysql_takeover::controller::claim::Entry;
use mysql_takeover::controller::failpoint::{Place, Point};
use mysql_takeover::takeover::Undo;
use std::fmt;
use std::time::Duration;

/// The part that a server plays when the takeover begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Old,
    New,
    Sibling,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Old, Self::New, Self::Sibling];
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    OperatorToOld,
    OperatorToNew,
    OperatorToApi,
    ReplicasToOld,
}

impl Link {
    pub const ALL: [Self; 4] =
        [Self::OperatorToOld, Self::OperatorToNew, Self::OperatorToApi, Self::ReplicasToOld];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: what the rest is compared with.
    None,
    /// The operator is killed; another one is started.
    KillOperator,
    /// The operator stands still; another one finishes; the first goes on then.
    StopOperator,
    /// A server is killed and comes back at once.
    KillServer(Role),
    /// A connection does what the mode says, for a while.
    Network(Link, Mode),
    /// The API server is killed, and comes back.
    KillApiServer,
    /// Somebody else writes its name into the Lease.
    StealLease,
    /// The operator's password changes on the servers and in its Secret.
    RotateOperator,
    /// The replicas' password changes on the servers and in its Secret.
    RotateReplication,
    /// A Pod is made anew in front of the same server.
    ReplacePod(Role),
    /// The user wants another target, which the API refuses.
    EditTakeover,
    /// The user forbids the new primary as a target.
    EditCluster,
    /// The user cancels.
    Cancel,
    /// The user deletes the takeover.
    Delete,
    /// The user removes the finalizer, too.
    DeleteByForce,
    /// The user deletes the cluster, and applies it anew once it is gone.
    DeleteCluster,
}

impl Fault {
    /// Faults of one class are reported together.
    pub fn class(self) -> String {
        match self {
            Self::Network(link, mode) => format!("{link:?}{}", mode_name(mode)),
            Self::KillServer(role) => format!("KillServer{role:?}"),
            Self::ReplacePod(role) => format!("ReplacePod{role:?}"),
            Self::None
            | Self::KillOperator
            | Self::StopOperator
            | Self::KillApiServer
            | Self::StealLease
            | Self::RotateOperator
            | Self::RotateReplication
            | Self::EditTakeover
            | Self::EditCluster
            | Self::Cancel
            | Self::Delete
            | Self::DeleteByForce
            | Self::DeleteCluster => format!("{self:?}"),
        }
    }

    /// Whether a server that somebody has to open by hand may be left: this operator does not take over from the dead.
    pub fn may_need_a_hand(self) -> bool {
        matches!(self, Self::KillServer(Role::Old | Role::New))
    }

    /// Whether the fault is none of the takeover's business, so that it must end as it would without.
    pub fn is_transparent(self) -> bool {
        match self {
            Self::None
            | Self::KillOperator
            | Self::StopOperator
            | Self::StealLease
            | Self::KillApiServer
            | Self::EditTakeover
            | Self::DeleteCluster
            | Self::ReplacePod(Role::Sibling) => true,
            Self::KillServer(_)
            | Self::Network(..)
            | Self::RotateOperator
            | Self::RotateReplication
            | Self::ReplacePod(Role::Old | Role::New)
            | Self::EditCluster
            | Self::Cancel
            | Self::Delete
            | Self::DeleteByForce => false,
        }
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Pass => "Pass",
        Mode::Refuse => "Refuse",
        Mode::Blackhole => "Blackhole",
        Mode::Reset => "Reset",
        Mode::Delay(_) => "Delay",
        Mode::DropReply => "DropReply",
        Mode::CutAfter(_) => "CutAfter",
    }
}

/// The way on which a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every takeover passes it.
    Forward,
    /// Only one that goes back does.
    Back,
    /// Only one that another operator has begun does.
    Adopted,
    /// Only one whose new primary was restarted and booted writable does.
    BootedWritable,
}

/// The way to a point.
pub fn way_to(point: Point) -> Way {
    match point.place {
        Place::Step(_) | Place::Entry(Entry::Claim | Entry::Intent | Entry::Opened | Entry::Release) => {
            Way::Forward
        }
        Place::Entry(Entry::Adoption) => Way::Adopted,
        Place::Entry(Entry::TurnBack) | Place::Undo(Undo::ThawOld | Undo::RouteBack | Undo::LookBack) => {
            Way::Back
        }
        Place::Undo(Undo::ShutNew) => Way::BootedWritable,
    }
}

/// One takeover with one fault at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    pub point: Point,
    pub way: Way,
    pub fault: Fault,
    /// Part of what `make test` runs.
    pub quick: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.fault.class(), self.point)
    }
}

impl Scenario {
    fn at(point: &str, fault: Fault, quick: bool) -> Self {
        let point = Point::all()
            .into_iter()
            .find(|known| known.to_string() == point)
            .unwrap_or_else(|| panic!("there is no point {point}"));
        Self { point, way: way_to(point), fault, quick }
    }

    /// All there are.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::at("Admit:before", Fault::None, true)];
        all.extend(at_every_point());
        all.extend(deaths());
        all.extend(network());
        all.extend(surroundings());
        all
    }
}

fn at_every_point() -> impl Iterator<Item = Scenario> {
    Point::all().into_iter().flat_map(|point| {
        let way = way_to(point);
        // Standing still matters most where something is on its way to a server.
        let delicate = match point.place {
            Place::Step(step) => ["Freeze", "Open", "Detach"].contains(&step.name()),
            Place::Undo(undo) => undo == Undo::ThawOld,
            Place::Entry(entry) => [Entry::Intent, Entry::Release].contains(&entry),
        };
        [
            Scenario { point, way, fault: Fault::KillOperator, quick: true },
            Scenario { point, way, fault: Fault::StopOperator, quick: delicate },
        ]
    })
}

fn deaths() -> impl Iterator<Item = Scenario> {
    mysql_takeover::takeover::Step::ALL.into_iter().flat_map(|step| {
        Role::ALL.into_iter().flat_map(move |role| {
            ["before", "after"].map(|side| {
                let quick = side == "before"
                    && match role {
                        Role::Old | Role::New => ["Route", "Freeze", "Open", "Detach"].contains(&step.name()),
                        Role::Sibling => ["Freeze", "Reattach"].contains(&step.name()),
                    };
                Scenario::at(&format!("{}:{side}", step.name()), Fault::KillServer(role), quick)
            })
        })
    })
}

fn network() -> impl Iterator<Item = Scenario> {
    const LATE: Duration = Duration::from_millis(150);
    let modes =
        [Mode::Refuse, Mode::Blackhole, Mode::Reset, Mode::Delay(LATE), Mode::DropReply, Mode::CutAfter(40)];
    Link::ALL.into_iter().flat_map(move |link| {
        modes.into_iter().flat_map(move |mode| {
            ["Freeze:before", "Open:before", "Reattach:before"].map(move |point| {
                let step = point.split(':').next().unwrap_or_default();
                // The edge that the step's own packet takes, in every mode; the others in the worst.
                let quick = match link {
                    Link::OperatorToOld => step == "Freeze",
                    Link::OperatorToNew => step == "Open",
                    Link::OperatorToApi => step == "Open" && mode == Mode::Blackhole,
                    Link::ReplicasToOld => step == "Freeze" && mode == Mode::Blackhole,
                };
                Scenario::at(point, Fault::Network(link, mode), quick)
            })
        })
    })
}

/// What users, other programs and the cluster do meanwhile.
fn surroundings() -> Vec<Scenario> {
    const BEFORE_FREEZE: [&str; 3] = ["ProveCatchUp:after", "RecordIntent:after", "Freeze:before"];
    let moments =
        ["ProveCatchUp:after", "RecordIntent:after", "Freeze:before", "Open:after", "Reattach:after"];
    let faults = [
        Fault::KillApiServer,
        Fault::StealLease,
        Fault::RotateOperator,
        Fault::RotateReplication,
        Fault::ReplacePod(Role::Old),
        Fault::ReplacePod(Role::New),
        Fault::ReplacePod(Role::Sibling),
        Fault::EditTakeover,
        Fault::EditCluster,
        Fault::Cancel,
        Fault::Delete,
        Fault::DeleteByForce,
        Fault::DeleteCluster,
    ];
    let quick = |fault: Fault, moment: &str| match fault {
        Fault::KillApiServer | Fault::StealLease => moment == "Freeze:before",
        Fault::RotateOperator | Fault::ReplacePod(_) | Fault::EditTakeover | Fault::Cancel => {
            moment == "RecordIntent:after"
        }
        Fault::RotateReplication | Fault::EditCluster => moment == "Open:after",
        Fault::Delete | Fault::DeleteByForce | Fault::DeleteCluster => {
            ["RecordIntent:after", "Open:after"].contains(&moment)
        }
        Fault::None
        | Fault::KillOperator
        | Fault::StopOperator
        | Fault::KillServer(_)
        | Fault::Network(..) => false,
    };
    faults
        .into_iter()
        .flat_map(|fault| moments.map(|moment| (fault, moment)))
        // After the freeze a new password does not reach the servers that have yet to be reattached.
        .filter(|(fault, moment)| *fault != Fault::RotateOperator || BEFORE_FREEZE.contains(moment))
        .map(|(fault, moment)| Scenario::at(moment, fault, quick(fault, moment)))
        .collect()
}
