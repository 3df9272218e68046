//! Finding installed profiles: to clear them, to report them.

use super::installed::ChargingProfiles;
use super::profile::{ChargingProfile, LimitSource, Purpose};
use super::timeline::Installed;

/// What ClearChargingProfile clears: every profile for which all that is given is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clear {
    /// The one with this id; whatever else is given does not count then.
    pub id: Option<i32>,
    /// Those set at this EVSE; 0: those of the station.
    pub evse: Option<u32>,
    /// Those for this.
    pub purpose: Option<Purpose>,
    /// Those at this level.
    pub stack_level: Option<i32>,
}

/// What GetChargingProfiles asks for: every profile for which all that is given is true.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Those set at this EVSE; 0: those of the station.
    pub evse: Option<u32>,
    /// Those with one of these ids.
    pub ids: Option<Vec<i32>>,
    /// Those for this.
    pub purpose: Option<Purpose>,
    /// Those at this level.
    pub stack_level: Option<i32>,
    /// Those from one of these sources.
    pub sources: Option<Vec<LimitSource>>,
}

/// One ReportChargingProfiles: profiles of one EVSE and one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The EVSE they are set at; 0: the station.
    pub evse: u32,
    /// Who set them.
    pub source: LimitSource,
    /// The profiles, in order of their ids.
    pub profiles: Vec<ChargingProfile>,
}

impl ChargingProfiles {
    /// Clears what matches; how many profiles that were. External constraints are not the CSMS's to
    /// clear.
    pub fn clear(&mut self, what: &Clear) -> usize {
        let matches = |one: &Installed| match what.id {
            Some(id) => one.profile.id == id,
            None => {
                what.evse.is_none_or(|evse| one.evse == evse)
                    && what.purpose.is_none_or(|purpose| one.profile.purpose == purpose)
                    && what.stack_level.is_none_or(|level| one.profile.stack_level == level)
            }
        };
        let before = self.stored.installed.len();
        self.stored.installed.retain(|one| one.source != LimitSource::Cso || !matches(one));
        before - self.stored.installed.len()
    }

    /// What matches, in messages of at most `at_most` profiles each.
    #[must_use]
    pub fn report(&self, what: &Query, at_most: usize) -> Vec<Report> {
        let mut found: Vec<&Installed> =
            self.stored.installed.iter().filter(|one| what.matches(one)).collect();
        found.sort_by_key(|one| (one.evse, one.source, one.profile.id));
        found
            .chunk_by(|one, other| (one.evse, one.source) == (other.evse, other.source))
            .flat_map(|alike| alike.chunks(at_most.max(1)))
            .map(|part| Report {
                evse: part[0].evse,
                source: part[0].source,
                profiles: part.iter().map(|one| one.profile.clone()).collect(),
            })
            .collect()
    }
}

impl Query {
    fn matches(&self, one: &Installed) -> bool {
        self.evse.is_none_or(|evse| one.evse == evse)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&one.profile.id))
            && self.purpose.is_none_or(|purpose| one.profile.purpose == purpose)
            && self.stack_level.is_none_or(|level| one.profile.stack_level == level)
            && self.sources.as_ref().is_none_or(|sources| sources.contains(&one.source))
    }
}
