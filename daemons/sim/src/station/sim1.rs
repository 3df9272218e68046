//! Serves `org.voltry.Sim1`.

use std::sync::Arc;

use voltry_bus::{Error, SimFault, SimTruth};

use super::control::Control;
use crate::faults;

/// The object at `/org/voltry/sim`.
pub struct Sim1 {
    control: Arc<Control>,
}

impl Sim1 {
    /// Steers what `control` steers.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control }
    }
}

#[zbus::interface(name = "org.voltry.Sim1")]
impl Sim1 {
    fn plug(&self, evse: u32) -> Result<(), Error> {
        self.control.plug(evse)
    }

    fn unplug(&self, evse: u32) -> Result<(), Error> {
        self.control.unplug(evse)
    }

    #[zbus(out_args("outcome"))]
    async fn swipe(&self, token: &str, evse: u32) -> Result<String, Error> {
        self.control.swipe(token, evse).await
    }

    fn inject_fault(&self, name: &str, evse: u32) -> Result<(), Error> {
        self.control.inject(name, evse)
    }

    fn clear_fault(&self, name: &str, evse: u32) -> Result<(), Error> {
        self.control.clear(name, evse)
    }

    #[zbus(out_args("faults"))]
    #[allow(clippy::unused_self)] // A D-Bus method belongs to an object.
    fn faults(&self) -> Vec<SimFault> {
        faults::TABLE
            .iter()
            .map(|row| SimFault {
                name: row.name.to_owned(),
                breaks: row.breaks.to_owned(),
                seen: row.seen.to_owned(),
            })
            .collect()
    }

    #[zbus(out_args("truth"))]
    // One argument that is a structure: a bare structure would go out as its fields.
    fn truth(&self, evse: u32) -> Result<(SimTruth,), Error> {
        self.control.truth(evse).map(|truth| (truth,))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_served_is_what_the_contract_says() {
        let (_no_bus, connection) = tokio::sync::watch::channel(None);
        let control = Arc::new(Control::new(std::collections::BTreeMap::new(), None, connection));
        let mut xml = String::from("<node>");
        zbus::object_server::Interface::introspect_to_writer(&Sim1::new(control), &mut xml, 0);
        xml.push_str("</node>");
        voltry_bus::contract::check_served(&xml, &["org.voltry.Sim1"]).unwrap();
    }
}
