//! `ChargingSchedules1` on the bus: what vehicles want and choose goes out, a planner's offers come in.

use std::sync::Arc;

use tokio::sync::watch;
use voltry_bus::{Error, ScheduleChoice, ScheduleOffer, ScheduleRequest};
use voltry_service::{Refusals, clock};
use voltry_units::{Timestamp, Watts};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::message::{ConsumptionCost, Cost, CostKind, Offer, PowerPoint, Schedule, Tariff, TariffEntry};
use crate::pushed::Pushed;

/// SAScheduleTuple in a list.
const SCHEDULES_MAX: usize = 3;
/// PMaxScheduleEntry and SalesTariffEntry in a schedule.
const ENTRIES_MAX: usize = 1024;
/// ConsumptionCost in an entry, and Cost in each of them.
const COSTS_MAX: usize = 3;
/// SalesTariffDescription, characters.
const DESCRIPTION_MAX: usize = 32;
/// r and s on P-256.
const SIGNATURE: usize = 64;

/// The conversation's newest request: `None`: no conversation; 0: none yet.
type Open = Option<u64>;

/// Tells a planner what vehicles want and choose.
#[derive(Debug)]
pub(crate) struct Schedules {
    emitter: SignalEmitter<'static>,
    open: Arc<watch::Sender<Open>>,
}

/// The served object.
struct ChargingSchedules1 {
    pushed: Arc<watch::Sender<Pushed>>,
    open: Arc<watch::Sender<Open>>,
    refusals: Refusals,
}

impl Schedules {
    pub(crate) async fn serve(
        connection: &Connection,
        path: &str,
        pushed: Arc<watch::Sender<Pushed>>,
    ) -> zbus::Result<Self> {
        let open = Arc::new(watch::Sender::new(None));
        let served = ChargingSchedules1 { pushed, open: Arc::clone(&open), refusals: Refusals::new() };
        connection.object_server().at(path, served).await?;
        Ok(Self { emitter: SignalEmitter::new(connection, path.to_owned())?, open })
    }

    /// A vehicle wants schedules.
    pub(crate) async fn ask(&self, request: ScheduleRequest) -> zbus::Result<()> {
        self.open.send_replace(Some(request.id));
        ChargingSchedules1::wanted(&self.emitter, request).await
    }

    /// A vehicle chose one.
    pub(crate) async fn tell(&self, choice: ScheduleChoice) -> zbus::Result<()> {
        ChargingSchedules1::chosen(&self.emitter, choice).await
    }

    /// The conversation is over.
    pub(crate) fn close(&self) {
        self.open.send_replace(None);
    }
}

#[interface(name = "org.voltry.ChargingSchedules1", spawn = false)]
impl ChargingSchedules1 {
    fn offer(&self, offer: ScheduleOffer) -> Result<(), Error> {
        let open = *self.open.borrow();
        let offer = self.refusals.note("Offer", checked(offer, open, clock::now()))?;
        self.pushed.send_modify(|pushed| pushed.schedules = Some(Arc::new(offer)));
        Ok(())
    }

    #[zbus(signal)]
    async fn wanted(emitter: &SignalEmitter<'_>, request: ScheduleRequest) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn chosen(emitter: &SignalEmitter<'_>, chosen: ScheduleChoice) -> zbus::Result<()>;
}

fn checked(offer: ScheduleOffer, open: Open, now: Timestamp) -> Result<Offer, Error> {
    let open = open.ok_or_else(|| Error::Stale("no vehicle asks for schedules".to_owned()))?;
    if offer.id != 0 && offer.id != open {
        return Err(Error::Stale(format!("request {} is not open", offer.id)));
    }
    if offer.schedules.len() > SCHEDULES_MAX {
        return Err(invalid("more than 3 schedules"));
    }
    if !matches!(offer.signature.len(), 0 | SIGNATURE) {
        return Err(invalid("a signature has 64 bytes, r and s"));
    }
    let schedules = offer.schedules.into_iter().map(schedule).collect::<Result<Vec<_>, _>>()?;
    let unique = |(place, one): (usize, &Schedule)| schedules[..place].iter().all(|other| other.id != one.id);
    if !schedules.iter().enumerate().all(unique) {
        return Err(invalid("two schedules with one id"));
    }
    let signature = (!offer.signature.is_empty()).then_some(offer.signature);
    Ok(Offer { id: offer.id, at: now, schedules, signature })
}

fn invalid(why: &str) -> Error {
    Error::Invalid(why.to_owned())
}

/// At least one and not too many, the first at 0, each later than the one before.
fn in_order(what: &str, starts: impl ExactSizeIterator<Item = u32> + Clone) -> Result<(), Error> {
    if starts.len() == 0 || starts.len() > ENTRIES_MAX {
        return Err(Error::Invalid(format!("{} {what}, of 1 to {ENTRIES_MAX}", starts.len())));
    }
    if starts.clone().next() != Some(0) || !starts.clone().zip(starts.skip(1)).all(|(one, next)| one < next) {
        return Err(Error::Invalid(format!("{what} that do not begin at 0, or are not in order")));
    }
    Ok(())
}

fn schedule(schedule: voltry_bus::Schedule) -> Result<Schedule, Error> {
    if schedule.id == 0 {
        return Err(invalid("0 is no schedule's id"));
    }
    in_order("points", schedule.points.iter().map(|point| point.start))?;
    if schedule.points.last().is_some_and(|last| last.start >= schedule.duration) {
        return Err(invalid("a point after the end of its schedule"));
    }
    if schedule.tariffs.len() > 1 {
        return Err(invalid("more than one tariff in a schedule"));
    }
    let point =
        |point: &voltry_bus::PowerPoint| Ok(PowerPoint { start: point.start, power: watts(point.power)? });
    Ok(Schedule {
        id: schedule.id,
        points: schedule.points.iter().map(point).collect::<Result<_, Error>>()?,
        duration: schedule.duration,
        tariff: schedule.tariffs.into_iter().next().map(tariff).transpose()?,
    })
}

fn watts(si: f64) -> Result<Watts, Error> {
    let watts = Watts::from_si(si)?;
    if watts < Watts::ZERO {
        return Err(Error::OutOfRange("a power below zero".to_owned()));
    }
    Ok(watts)
}

fn tariff(tariff: voltry_bus::SalesTariff) -> Result<Tariff, Error> {
    if tariff.description.chars().count() > DESCRIPTION_MAX {
        return Err(invalid("a description of more than 32 characters"));
    }
    in_order("entries of a tariff", tariff.entries.iter().map(|entry| entry.start))?;
    Ok(Tariff {
        id: tariff.id,
        description: Some(tariff.description).filter(|text| !text.is_empty()),
        price_levels: Some(tariff.price_levels).filter(|levels| *levels > 0),
        entries: tariff.entries.iter().map(entry).collect::<Result<_, _>>()?,
    })
}

fn entry(entry: &voltry_bus::TariffEntry) -> Result<TariffEntry, Error> {
    if entry.costs.len() > COSTS_MAX {
        return Err(invalid("more than 3 costs in an entry"));
    }
    Ok(TariffEntry {
        start: entry.start,
        duration: Some(entry.duration).filter(|duration| *duration > 0),
        price_level: Some(entry.price_level).filter(|level| *level > 0),
        costs: entry.costs.iter().map(consumption_cost).collect::<Result<_, _>>()?,
    })
}

fn consumption_cost(cost: &voltry_bus::ConsumptionCost) -> Result<ConsumptionCost, Error> {
    if cost.costs.is_empty() || cost.costs.len() > COSTS_MAX {
        return Err(invalid("a cost has 1 to 3 kinds"));
    }
    let start_value = watts(cost.start_value)?;
    Ok(ConsumptionCost { start_value, costs: cost.costs.iter().map(one_cost).collect::<Result<_, _>>()? })
}

fn one_cost(cost: &voltry_bus::Cost) -> Result<Cost, Error> {
    let kind = match cost.kind.as_str() {
        "carbon-dioxide-emission" => CostKind::CarbonDioxideEmission,
        "relative-price-percentage" => CostKind::RelativePricePercentage,
        "renewable-generation-percentage" => CostKind::RenewableGenerationPercentage,
        other => return Err(Error::Invalid(format!("{other:?} is no kind of cost"))),
    };
    let multiplier = i8::try_from(cost.multiplier).ok().filter(|power| (-3..=3).contains(power));
    let multiplier = multiplier.ok_or_else(|| Error::OutOfRange("a power of ten, -3 to 3".to_owned()))?;
    Ok(Cost { kind, amount: cost.amount, multiplier })
}
