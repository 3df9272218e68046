//! What the daemons on the bus tell of themselves: components, variables, faults. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use voltry_bus::{Component, DeviceVariable, Fault, Part};
use voltry_units::Timestamp;

use super::{Address, Item, Place, Target};

/// Objects at the most; what comes beyond is left out.
pub const OBJECTS_MAX: usize = 128;
/// Variables of all objects together, at the most.
const VARIABLES_MAX: usize = 2048;
/// A daemon or device that is away so long has a problem; one that is started anew has not.
const AWAY: Duration = Duration::from_secs(10);
/// The fault of a component whose daemon or device does not answer.
pub const SILENT: &str = "NoAnswer";

/// What an object's `Device1` tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Maker; empty: not told, as the others.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
    /// Whether it answers its daemon.
    pub online: bool,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// Which part of the station it is.
    pub component: Component,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// Its variables.
    pub variables: Vec<DeviceVariable>,
}

/// An object on the bus: its daemon's name and its path.
pub type Object = (String, String);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// With which component.
    pub place: Place,
    /// The industry's code.
    pub code: String,
    /// In words.
    pub cause: String,
}

#[derive(Debug, Clone)]
struct Known {
    told: Told,
    /// Since when its daemon is away or hangs.
    away: Option<Timestamp>,
    /// Since when the device does not answer its daemon.
    offline: Option<Timestamp>,
    items: Vec<Item>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Devices {
    all: BTreeMap<Object, Known>,
    /// The EVSE that has an object among its parts; none where several have.
    owners: BTreeMap<Object, Option<u32>>,
}

impl Devices {
    /// An object tells this.
    pub fn hear(&mut self, object: &Object, mut told: Told, now: Timestamp) {
        if self.all.len() >= OBJECTS_MAX && !self.all.contains_key(object) {
            return;
        }
        let others = self.all.iter().filter(|(known, _)| *known != object);
        let others: usize = others.map(|(_, known)| known.told.variables.len()).sum();
        told.variables.truncate(VARIABLES_MAX.saturating_sub(others));
        told.variables.iter_mut().for_each(bound);
        let before = self.all.get(object).and_then(|known| known.offline);
        let offline = (!told.online).then(|| before.unwrap_or(now));
        let parts_before = self.all.get(object).map(|known| known.told.parts.clone());
        let same_parts = parts_before.unwrap_or_default() == told.parts;
        self.all.insert(object.clone(), Known { told, away: None, offline, items: Vec::new() });
        if same_parts {
            self.item_up(object);
        } else {
            self.place_all();
        }
    }

    /// An object's daemon left the bus, or hangs. What it told is remembered, its values are not.
    pub fn lose(&mut self, object: &Object, now: Timestamp) {
        if let Some(known) = self.all.get_mut(object) {
            known.away.get_or_insert(now);
        }
        self.item_up(object);
    }

    /// A daemon took a value.
    pub fn wrote(&mut self, target: &Target, value: &str) {
        let object = (target.name.clone(), target.path.clone());
        let Some(known) = self.all.get_mut(&object) else { return };
        for variable in known.told.variables.iter_mut().filter(|it| it.setting == target.setting) {
            value.clone_into(&mut variable.value);
        }
        self.item_up(&object);
    }

    /// Finds out which EVSE has which part.
    fn place_all(&mut self) {
        self.owners.clear();
        for known in self.all.values() {
            let evse = known.told.component.evse;
            for part in known.told.parts.iter().filter(|_| evse != 0) {
                let owner = self.owners.entry((part.name.clone(), part.path.clone())).or_insert(Some(evse));
                if *owner != Some(evse) {
                    *owner = None;
                }
            }
        }
        let objects: Vec<Object> = self.all.keys().cloned().collect();
        for object in objects {
            self.item_up(&object);
        }
    }

    fn item_up(&mut self, object: &Object) {
        let evse = self.owners.get(object).copied().flatten();
        let Some(known) = self.all.get_mut(object) else { return };
        known.items = items(object, known, evse);
    }

    /// All variables, by object.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.all.values().flat_map(|known| &known.items)
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<&Item> {
        self.items().find(|item| item.address.is(address))
    }

    /// Whether there is such a component.
    #[must_use]
    pub fn has(&self, place: &Place) -> bool {
        self.items().any(|item| item.address.place.is(place))
    }

    /// What is wrong now, each once; a daemon that is away has a problem only after a while.
    #[must_use]
    pub fn problems(&self, now: Timestamp) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |place: Place, code: &str, cause: &str| {
            if seen.insert((place.clone(), code.to_owned())) {
                problems.push(Problem { place, code: code.to_owned(), cause: cause.to_owned() });
            }
        };
        for (object, known) in &self.all {
            let Some(place) = self.place(object, known) else { continue };
            let lasts = |since: Option<Timestamp>| since.is_some_and(|since| now >= since + AWAY);
            if lasts(known.away) {
                add(place, SILENT, &format!("{} does not answer", object.0));
                continue;
            }
            if lasts(known.offline) {
                add(place.clone(), SILENT, "the device does not answer");
            }
            // Of one that is only just away it still holds, as far as anybody knows.
            for fault in &known.told.faults {
                add(about(&fault.code, &place), &fault.code, &fault.cause);
            }
        }
        problems
    }

    /// When [`Self::problems`] may say something else without anything being heard.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let silent = self.all.values().flat_map(|known| [known.away, known.offline]);
        silent.flatten().map(|since| since + AWAY).filter(|due| *due > now).min()
    }

    fn place(&self, object: &Object, known: &Known) -> Option<Place> {
        let evse = self.owners.get(object).copied().flatten();
        let component = &known.told.component;
        (!component.name.is_empty()).then(|| Place::of(component, evse))
    }
}

/// The component that a fault is about, where that is not the device that tells it.
fn about(code: &str, device: &Place) -> Place {
    let (component, of_connector) = match code {
        "MREC1ConnectorLockFailure" => ("ConnectorPlugRetentionLock", true),
        "MREC8EmergencyStop" => ("EmergencyStopSensor", true),
        "MREC17EVSEContactorFault" => ("PowerContactor", true),
        "MREC14PilotFault" | "DiodeFault" | "MREC10InvalidVehicleMode" | "MREC23ProximityFault" => {
            ("CPPWMController", true)
        }
        "MREC4OverCurrentFailure" => ("OverCurrentProtection", false),
        _ => return device.clone(),
    };
    let Some(evse) = device.evse else { return device.clone() };
    Place {
        component: component.to_owned(),
        instance: None,
        evse: Some(evse),
        connector: of_connector.then_some(1),
    }
}

/// Holds no more of a variable than is ever told.
fn bound(variable: &mut DeviceVariable) {
    let DeviceVariable { component, name, instance, kind, unit, choices, setting, value, .. } = variable;
    choices.truncate(64);
    let short = [name, instance, kind, unit, setting, &mut component.name, &mut component.instance];
    for (text, longest) in short.into_iter().chain(choices).map(|text| (text, 100)).chain([(value, 1000)]) {
        if let Some((end, _)) = text.char_indices().nth(longest) {
            text.truncate(end);
        }
    }
}

/// An object's variables: what OCPP says of any component, and what it tells itself.
fn items(object: &Object, known: &Known, evse: Option<u32>) -> Vec<Item> {
    let (name, path) = object;
    let told = &known.told;
    let mut items: Vec<Item> =
        told.variables.iter().filter_map(|variable| Item::of_daemon(name, path, variable, evse)).collect();
    if known.away.is_some() {
        for item in &mut items {
            item.value = None;
        }
    }
    if told.component.name.is_empty() {
        return items;
    }
    let place = Place::of(&told.component, evse);
    let there = told.online && known.away.is_none();
    let add = |items: &mut Vec<Item>, place: &Place, variable: &str, kind, value: String| {
        let known =
            items.iter().any(|item| item.address.place.is(place) && item.address.variable == variable);
        if !known {
            items.push(Item::told(place, variable, kind, value));
        }
    };
    let own = told.faults.iter().any(|fault| about(&fault.code, &place) == place);
    add(&mut items, &place, "Available", "boolean", there.to_string());
    add(&mut items, &place, "Problem", "boolean", (!there || own).to_string());
    for fault in &told.faults {
        let place = about(&fault.code, &place);
        items.retain(|item| !(item.address.place == place && item.address.variable == "Problem"));
        items.push(Item::told(&place, "Problem", "boolean", "true"));
    }
    for (variable, value) in [
        ("Manufacturer", &told.vendor),
        ("Model", &told.model),
        ("SerialNumber", &told.serial),
        ("FirmwareVersion", &told.firmware),
    ] {
        if !value.is_empty() {
            add(&mut items, &place, variable, "string", value.chars().take(50).collect());
        }
    }
    items
}
