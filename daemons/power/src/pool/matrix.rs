//! The contactors between groups of modules and EVSEs, as their feedback tells them.

use voltry_units::Timestamp;

/// What is known of a contactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// Nothing: it counts as closed.
    #[default]
    Unknown,
    /// By its feedback.
    Open,
    /// By its feedback.
    Closed,
}

/// A contactor, by the two that it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contactor {
    /// The group of modules.
    pub group: usize,
    /// The EVSE.
    pub evse: usize,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    contactor: Contactor,
    position: Position,
    heard: Option<Timestamp>,
}

/// The matrix. Each contactor joins one group to one EVSE, so two EVSEs, and the insulation monitors
/// of both, are joined exactly when some group has two contactors that are not open. So that is the
/// rule: a contactor may close only while all others of its group are certainly open.
#[derive(Debug, Clone)]
pub struct Matrix(Vec<Known>);

impl Matrix {
    /// Contactors of which nothing is known.
    #[must_use]
    pub fn new(contactors: &[Contactor]) -> Self {
        let known =
            |contactor: &Contactor| Known { contactor: *contactor, position: Position::Unknown, heard: None };
        Self(contactors.iter().map(known).collect())
    }

    /// The feedback of a contactor; one that is not in the matrix is ignored.
    pub fn hear(&mut self, contactor: Contactor, position: Position, now: Timestamp) {
        if let Some(known) = self.0.iter_mut().find(|known| known.contactor == contactor) {
            (known.position, known.heard) = (position, Some(now));
        }
    }

    /// What was heard before `since` is no longer known.
    pub fn forget_older(&mut self, since: Timestamp) {
        for known in &mut self.0 {
            if known.heard.is_none_or(|heard| heard < since) {
                known.position = Position::Unknown;
            }
        }
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        for known in &mut self.0 {
            (known.position, known.heard) = (Position::Unknown, None);
        }
    }

    /// Whether there is a contactor between the two.
    #[must_use]
    pub fn has(&self, contactor: Contactor) -> bool {
        self.0.iter().any(|known| known.contactor == contactor)
    }

    /// The contactors of a group.
    pub fn of(&self, group: usize) -> impl Iterator<Item = Contactor> + '_ {
        self.0.iter().map(|known| known.contactor).filter(move |contactor| contactor.group == group)
    }

    /// What is known of a contactor.
    #[must_use]
    pub fn position(&self, contactor: Contactor) -> Position {
        let known = self.0.iter().find(|known| known.contactor == contactor);
        known.map_or(Position::Unknown, |known| known.position)
    }

    /// Whether every contactor of a group is certainly open.
    #[must_use]
    pub fn is_parted(&self, group: usize) -> bool {
        self.of(group).all(|contactor| self.position(contactor) == Position::Open)
    }

    /// Whether closing a contactor joins nothing but its two.
    #[must_use]
    pub fn may_close(&self, contactor: Contactor) -> bool {
        let mut others = self.of(contactor.group).filter(|other| *other != contactor);
        self.has(contactor) && others.all(|other| self.position(other) == Position::Open)
    }
}
