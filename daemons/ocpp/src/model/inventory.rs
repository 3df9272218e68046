//! Everything that the station tells of itself, from whoever knows it.

use super::{Access, Address, Holder, Item, Place, TABLE, name};
use crate::time::Now;
use crate::uplink::{Core, Status};

/// What somebody's address names.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// This.
    Item(Box<Item>),
    /// There is no such component.
    UnknownComponent,
    /// The component has no such variable.
    UnknownVariable,
}

/// Finds a variable by its address.
#[must_use]
pub fn lookup(core: &Core, now: Now, address: &Address) -> Lookup {
    let place = &address.place;
    let own = place.evse.is_none() && place.instance.is_none();
    let mut component = false;
    if own {
        for definition in TABLE.iter().filter(|it| it.component.eq_ignore_ascii_case(&place.component)) {
            component = true;
            if address.variable.eq_ignore_ascii_case(definition.variable) && definition.address().is(address)
            {
                return Lookup::Item(Box::new(own_item(core, now, definition)));
            }
        }
    }
    let places = of_places(core);
    if let Some(item) = places.iter().find(|item| item.address.is(address)) {
        return Lookup::Item(Box::new(with_every_problem(core, item)));
    }
    if let Some(item) = core.devices.find(address) {
        return Lookup::Item(Box::new(with_every_problem(core, item)));
    }
    component |= places.iter().any(|item| item.address.place.is(place)) || core.devices.has(place);
    if component { Lookup::UnknownVariable } else { Lookup::UnknownComponent }
}

/// All variables, each once, in the order of their names.
#[must_use]
pub fn all(core: &Core, now: Now) -> Vec<Item> {
    let table = TABLE.iter().filter(|definition| !definition.component.is_empty());
    let mut items: Vec<Item> = table.map(|definition| own_item(core, now, definition)).collect();
    items.extend(of_places(core).iter().map(|item| with_every_problem(core, item)));
    // Nobody else's variable hides one of the above; of two daemons the first counts.
    items.extend(core.devices.items().map(|item| with_every_problem(core, item)));
    let key = |item: &Item| {
        let Address { place, variable, instance } = &item.address;
        let lower = |text: &str| text.to_ascii_lowercase();
        let instances = (place.instance.as_deref().map(lower), instance.as_deref().map(lower));
        (lower(&place.component), place.evse, place.connector, lower(variable), instances)
    };
    // The sort keeps the order of equals.
    items.sort_by_cached_key(key);
    items.dedup_by(|later, earlier| later.address.is(&earlier.address));
    items
}

/// Several daemons may know of a component's problem: one is enough.
fn with_every_problem(core: &Core, item: &Item) -> Item {
    let mut item = item.clone();
    if item.address.variable == "Problem"
        && core
            .devices
            .items()
            .any(|other| other.address.is(&item.address) && other.value.as_deref() == Some("true"))
    {
        item.value = Some("true".to_owned());
    }
    item
}

/// A variable of the table: the uplink's own, or what a daemon says of it.
fn own_item(core: &Core, now: Now, definition: &'static super::Definition) -> Item {
    if definition.of_daemon {
        let address = definition.address();
        if let Some(item) = core.devices.find(&address) {
            return Item { address, ..item.clone() };
        }
        // Shown as it will be; nobody is there to change it.
        return Item { holder: Holder::Nobody, ..Item::of_uplink(definition, core.value(definition, now)) };
    }
    Item::of_uplink(definition, core.value(definition, now))
}

/// The station, its EVSEs and connectors.
fn of_places(core: &Core) -> Vec<Item> {
    let mut items = Vec::new();
    let mut place = |place: &Place, status: Status, there: bool, phases: Option<&str>| {
        let states = ["Available", "Occupied", "Reserved", "Unavailable", "Faulted"];
        let mut state = Item::told(place, "AvailabilityState", "OptionList", status.v201());
        state.words = states.iter().map(|&word| word.to_owned()).collect();
        items.push(state);
        items.push(Item::told(place, "Available", "boolean", there.to_string()));
        items.push(Item::told(place, "Enabled", "boolean", (status != Status::Unavailable).to_string()));
        items.push(Item::told(place, "Problem", "boolean", (status == Status::Faulted).to_string()));
        if let Some(phases) = phases {
            items.push(Item::told(place, "SupplyPhases", "integer", phases));
        }
    };
    let status = |evse| core.connectors.get(evse).map_or(Status::Unavailable, |connector| connector.status);
    let station = Place::station("ChargingStation");
    place(&station, status(0), true, None);
    let mut types = Vec::new();
    for evse in core.connectors.evses() {
        let there = core.connectors.get(evse).is_some_and(|connector| connector.heard().is_some());
        let of_evse = Place { evse: Some(evse), ..Place::station("EVSE") };
        let connector = Place { evse: Some(evse), connector: Some(1), ..Place::station("Connector") };
        // 0: direct current (part 2, EVSE.SupplyPhases).
        place(&of_evse, status(evse), there, Some("0"));
        place(&connector, status(evse), there, Some("0"));
        let kind = core.variables.get(name::CONNECTOR_TYPE);
        types.push(Item::told(&connector, "ConnectorType", "string", kind));
    }
    items.append(&mut types);
    debug_assert!(items.iter().all(|item| item.access == Access::ReadOnly));
    items
}
