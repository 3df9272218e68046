//! How the station's power is shared between its EVSEs. Pure: time and what was heard come in, the
//! permits to be sent come out.
//!
//! ```text
//! limits of the station (configuration, SetLimit, grid, temperature) ─ the lowest ─▶ at the mains
//!                                                                    ─ [`Losses`] ─▶ at the outputs
//! what vehicles use ─ [`Usage`] ─▶ [`Demand`]s ─ [`divide`] ─▶ shares ─ [`Permits`] ─▶ SetPermit
//! ```
//!
//! Limits of the station are counted at its connection to the mains; limits of an EVSE, and shares,
//! at the EVSE's output.

mod division;
mod grid;
mod permits;
mod sources;
mod usage;

use std::time::Duration;

use voltry_units::{Timestamp, Watts};

pub use self::division::{Demand, Strategy, divide};
pub use self::grid::{Because, Connection, Grid, Losses, Phase, Reading};
pub use self::permits::{Order, Permits, SETTLES, Target, VALID};
pub use self::sources::{Silence, Speaker, Temperature};
pub use self::usage::{Flowing, Stage, Usage};

/// The rules, from the configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who goes first.
    pub strategy: Strategy,
    /// What each active EVSE is given before any is given more.
    pub floor: Watts,
    /// Between mains and outputs.
    pub losses: Losses,
    /// What the station may take, by its configuration.
    pub limit: Watts,
    /// The grid connection, where a meter watches it.
    pub connection: Option<Connection>,
    /// Origins that must not fall silent.
    pub speakers: Vec<(String, Silence)>,
    /// Warm, hot, and what holds without a word.
    pub temperature: Option<(voltry_units::Celsius, voltry_units::Celsius, Silence)>,
}

/// A limit of the whole station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `configuration`, `grid`, `temperature`, or an origin of `SetLimit`.
    pub name: String,
    /// What the station may take from the mains.
    pub power: Watts,
    /// In words, what is particular about it.
    pub detail: String,
}

/// An EVSE as the sharing sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evse {
    /// Whether a vehicle may draw.
    pub active: bool,
    /// How far its session is.
    pub stage: Stage,
    /// What it can deliver, within the limits that are its own.
    pub most: Watts,
    /// When its vehicle came.
    pub came: u64,
    /// The higher, the sooner.
    pub priority: u8,
    /// Whether it can be told a permit.
    pub reachable: bool,
}

/// What an EVSE is given, and why no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What it is to have.
    pub power: Watts,
    /// What its vehicle would use.
    pub wants: Watts,
    /// What holds it down.
    pub bound: Bound,
}

/// What holds a share down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// No vehicle may draw.
    Idle,
    /// What the EVSE can deliver, or a limit that is its own.
    Own,
    /// The station's limit.
    Station,
    /// The station's limit, less what an EVSE may still hold that does not confirm a lower share.
    Stuck,
}

/// The state of the sharing.
#[derive(Debug, Clone)]
pub struct Energy {
    rules: Rules,
    grid: Option<Grid>,
    speakers: Vec<Speaker>,
    temperature: Option<Temperature>,
    usage: Vec<Usage>,
    permits: Permits,
    sources: Vec<Source>,
    shares: Vec<Share>,
}

impl Energy {
    /// The sharing between so many EVSEs, from a start on.
    #[must_use]
    pub fn new(now: Timestamp, rules: Rules, evses: usize) -> Self {
        let connection = rules.connection.clone();
        let speaker = |(origin, silence): &(String, Silence)| Speaker::new(now, origin.clone(), *silence);
        let nothing = Share { power: Watts::ZERO, wants: Watts::ZERO, bound: Bound::Idle };
        Self {
            grid: connection.map(|connection| Grid::new(now, connection, rules.losses, evses)),
            speakers: rules.speakers.iter().map(speaker).collect(),
            temperature: rules
                .temperature
                .map(|(warm, hot, silence)| Temperature::new(now, warm, hot, silence)),
            usage: vec![Usage::default(); evses],
            permits: Permits::after_start(now, evses),
            sources: Vec::new(),
            shares: vec![nothing; evses],
            rules,
        }
    }

    /// The rules that it follows.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What limits the station now, the lowest first.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What an EVSE is given.
    #[must_use]
    pub fn share(&self, place: usize) -> Share {
        self.shares[place]
    }

    /// What the EVSEs have been promised.
    #[must_use]
    pub const fn permits(&self) -> &Permits {
        &self.permits
    }

    /// What the EVSEs have been promised, to say what became of it.
    pub const fn permits_mut(&mut self) -> &mut Permits {
        &mut self.permits
    }

    /// What the station may deliver at its outputs.
    #[must_use]
    pub fn limit(&self) -> Watts {
        self.sources.first().map_or(Watts::ZERO, |lowest| self.rules.losses.output(lowest.power))
    }

    /// An EVSE said what flows.
    pub fn hear_evse(&mut self, now: Timestamp, place: usize, flowing: Flowing) {
        // Who gives uses nothing.
        let used = Flowing { drawn: flowing.drawn.max(Watts::ZERO), ..flowing };
        self.usage[place].hear(used, self.permits.granted(now, place));
        if let Some(grid) = &mut self.grid {
            grid.hear_evse(place, flowing.at, flowing.drawn);
        }
    }

    /// An EVSE's session is another, or its daemon is away.
    pub fn forget(&mut self, place: usize) {
        self.usage[place].forget();
    }

    /// The meter at the grid connection read this.
    pub fn hear_meter(&mut self, reading: Reading) {
        if let Some(grid) = &mut self.grid {
            grid.hear_meter(reading);
        }
    }

    /// Its phases.
    pub fn hear_phases(&mut self, at: Timestamp, phases: [Phase; 3]) {
        if let Some(grid) = &mut self.grid {
            grid.hear_phases(at, phases);
        }
    }

    /// The hottest power module told its temperature.
    pub const fn hear_temperature(&mut self, now: Timestamp, hottest: voltry_units::Celsius) {
        if let Some(temperature) = &mut self.temperature {
            temperature.hear(now, hottest);
        }
    }

    /// An origin set its limit of the station, or took it away.
    pub fn hear_origin(&mut self, now: Timestamp, origin: &str) {
        for speaker in self.speakers.iter_mut().filter(|speaker| speaker.origin == origin) {
            speaker.hear(now);
        }
    }

    /// Shares anew; what is to be told to EVSEs. `set`: the limits of the whole station that were set.
    pub fn step<'a>(
        &mut self,
        now: Timestamp,
        set: impl IntoIterator<Item = (&'a str, Watts)>,
        evses: &[Evse],
    ) -> Vec<Order> {
        self.look_at_sources(now, set);
        let limit = self.limit();
        let stuck: Vec<_> = (0..evses.len()).map(|place| self.permits.stuck(now, place)).collect();
        let held: Watts = stuck.iter().flatten().copied().sum();
        let demands: Vec<_> = evses
            .iter()
            .enumerate()
            .map(|(place, evse)| {
                let granted = self.permits.granted(now, place);
                let wants = self.usage[place].wants(now, evse.stage, granted, evse.most);
                let active = evse.active && stuck[place].is_none();
                Demand { active, wants, most: evse.most, came: evse.came, priority: evse.priority }
            })
            .collect();
        let shares = divide(limit - held, self.rules.floor, self.rules.strategy, &demands);
        self.shares.clear();
        for (place, evse) in evses.iter().enumerate() {
            // One that does not confirm is told what it would have if it did.
            let power = match stuck[place] {
                Some(_) if evse.active => shares[place].max(self.rules.floor.min(evse.most)).min(limit),
                Some(_) | None => shares[place],
            };
            let bound = if !evse.active {
                Bound::Idle
            } else if power >= evse.most {
                Bound::Own
            } else if held > Watts::ZERO {
                Bound::Stuck
            } else {
                Bound::Station
            };
            self.shares.push(Share { power, wants: demands[place].wants.min(evse.most), bound });
        }
        let target = |(place, evse): (usize, &Evse)| Target {
            share: self.shares[place].power,
            drawn: self.usage[place].drawn(now).or((evse.stage != Stage::Delivering).then_some(Watts::ZERO)),
            reachable: evse.reachable,
        };
        let targets: Vec<_> = evses.iter().enumerate().map(target).collect();
        self.permits.step(now, limit, &targets)
    }

    /// When it is to be looked at again, though nobody says anything.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Duration {
        let grid = self.grid.as_ref().and_then(|grid| grid.next(now));
        let speakers = self.speakers.iter().map(Speaker::silent_at);
        let temperature = self.temperature.as_ref().map(Temperature::silent_at);
        let times = speakers.chain(grid).chain(temperature).chain(self.permits.next(now));
        times.filter(|time| *time > now).min().map_or(Duration::MAX, |time| time.since(now))
    }

    fn look_at_sources<'a>(&mut self, now: Timestamp, set: impl IntoIterator<Item = (&'a str, Watts)>) {
        let source = |name: &str, power, detail: String| Source { name: name.to_owned(), power, detail };
        self.sources.clear();
        self.sources.push(source("configuration", self.rules.limit, String::new()));
        let silent = |speaker: &&Speaker| now >= speaker.silent_at();
        for speaker in self.speakers.iter().filter(silent) {
            let detail = format!("silent for {} s: its floor", speaker.silence.after.as_secs());
            self.sources.push(source(&speaker.origin, speaker.silence.floor, detail));
        }
        for (origin, power) in set {
            self.sources.push(source(origin, power, String::new()));
        }
        if let Some(grid) = &mut self.grid {
            let (power, because) = grid.left(now);
            let detail = match because {
                Because::Power => "what other consumers leave".to_owned(),
                Because::Phase(phase) => format!("what other consumers leave on phase {phase}"),
                Because::Silent if grid.limits_phases() => {
                    "its meter is silent or tells no phases: its floor".to_owned()
                }
                Because::Silent => "its meter is silent: its floor".to_owned(),
            };
            self.sources.push(source("grid", power, detail));
        }
        if let Some(temperature) = &self.temperature {
            let (power, silent) = temperature.limit(now, self.rules.limit);
            let detail = if silent { "no module tells its temperature: its floor" } else { "" };
            self.sources.push(source("temperature", power, detail.to_owned()));
        }
        self.sources.sort_by_key(|source| source.power);
    }
}

#[cfg(test)]
mod tests;
