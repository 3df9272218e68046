//! `Display1`: what the CSMS wants people to read, for whoever has a screen.

use voltry_bus::{DisplayMessage, DriverText};
use zbus::interface;

/// The object's path.
pub(crate) const PATH: &str = voltry_bus::names::DISPLAY_PATH;

/// What is to be seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Messages, the most pressing first.
    pub messages: Vec<DisplayMessage>,
    /// By EVSE.
    pub drivers: Vec<DriverText>,
}

/// The object.
#[derive(Debug, Default)]
pub(crate) struct Display1 {
    pub(crate) shown: Shown,
}

#[interface(name = "org.voltry.Display1")]
impl Display1 {
    #[zbus(property)]
    fn messages(&self) -> Vec<DisplayMessage> {
        self.shown.messages.clone()
    }

    #[zbus(property)]
    fn drivers(&self) -> Vec<DriverText> {
        self.shown.drivers.clone()
    }
}

/// Shows it; says what changed.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn show(connection: &zbus::Connection, shown: Shown) -> zbus::Result<()> {
    let served = connection.object_server().interface::<_, Display1>(PATH).await?;
    let mut display = served.get_mut().await;
    let old = std::mem::replace(&mut display.shown, shown);
    let emitter = served.signal_emitter();
    if old.messages != display.shown.messages {
        display.messages_changed(emitter).await?;
    }
    if old.drivers != display.shown.drivers {
        display.drivers_changed(emitter).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::object_server::Interface as _;

    #[test]
    fn what_is_served_is_the_contract() {
        let mut xml = String::from("<node>");
        Display1::default().introspect_to_writer(&mut xml, 0);
        xml += "</node>";
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Display1"]), Ok(()));
    }
}
