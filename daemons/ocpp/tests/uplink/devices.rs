//! The station's devices, as they tell of themselves.

use voltry_bus::{Component, DeviceVariable, Fault, Part};
use voltry_ocpp::model::Told;
use voltry_ocpp::uplink::Input;

use crate::desk::Desk;

/// A device as its daemon tells it, in order and without faults.
pub(crate) fn told(component: Component, variables: Vec<DeviceVariable>) -> Told {
    Told { vendor: "Acme".to_owned(), online: true, component, variables, ..Told::default() }
}

impl Desk {
    /// An object on the bus tells this of itself.
    pub(crate) fn tells(&mut self, (name, path): (&str, &str), told: Told) {
        self.input(Input::Device((name.to_owned(), path.to_owned()), Box::new(told)));
    }

    /// The station with its settings.
    pub(crate) fn station_tells(&mut self, reading_interval: &str) {
        let setting = |(setting, component, name): (&str, &str, &str), value: &str| DeviceVariable {
            setting: setting.to_owned(),
            unit: "s".to_owned(),
            value: value.to_owned(),
            ..DeviceVariable::integer(&Component::new(component), name, 0).within(0.0, 86_400.0)
        };
        let [reading, clock, timeout] = voltry_bus::STATION_SETTINGS;
        let variables = vec![setting(reading, reading_interval), setting(clock, "0"), setting(timeout, "60")];
        self.tells(STATION, told(Component::new("ChargingStation"), variables));
    }

    /// EVSE 1 with a meter, a power supply and a board among its parts.
    pub(crate) fn devices_tell(&mut self) {
        self.station_tells("60");
        let part = |(name, path): (&str, &str)| Part { name: name.to_owned(), path: path.to_owned() };
        let component = Component::new("EVSE").of_evse(1);
        let power = DeviceVariable::decimal(&component, "Power", "W", Some(0.0)).within(0.0, 60_000.0);
        let evse = Told { parts: vec![part(METER), part(BOARD)], ..told(component, vec![power]) };
        self.tells(EVSE, evse);
        self.board_tells(Vec::new());
        self.meter_tells("1000.0");
    }

    pub(crate) fn meter_tells(&mut self, register: &str) {
        let component = Component::new("FiscalMetering").instance("dc1");
        let register = DeviceVariable {
            value: register.to_owned(),
            ..DeviceVariable::decimal(&component, "EnergyImportRegister", "Wh", None)
        };
        self.tells(METER, told(component, vec![register]));
    }

    pub(crate) fn board_tells(&mut self, faults: Vec<Fault>) {
        let component = Component::new("CPPWMController").of_connector(1);
        let lock = Component::new("ConnectorPlugRetentionLock").of_connector(1);
        let variables = vec![
            DeviceVariable::text(&component, "State", "A"),
            DeviceVariable::boolean(&lock, "Problem", false),
        ];
        self.tells(BOARD, Told { faults, ..told(component, variables) });
    }
}

pub(crate) const STATION: (&str, &str) = (voltry_bus::names::STATION, voltry_bus::names::STATION_PATH);
pub(crate) const EVSE: (&str, &str) = ("org.voltry.Evse.N1", "/org/voltry/evse/1");
pub(crate) const METER: (&str, &str) = ("org.voltry.Meter.dc1", "/org/voltry/energy_meter/dc1");
pub(crate) const BOARD: (&str, &str) = ("org.voltry.Board1", "/org/voltry/connector/1");

pub(crate) fn fault(code: &str, cause: &str) -> Fault {
    Fault { code: code.to_owned(), cause: cause.to_owned(), at: 1 }
}
