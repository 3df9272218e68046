//! `org.voltry.SelfTest1`: the checks that a person at the site asks for, by station. An interface of its own,
//! since an answer takes its time, and `Evse1`'s calls are answered in order.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use voltry_bus::{CheckResult, Error, SelfTestStep};
use voltry_units::{Amps, Volts};
use zbus::{Connection, interface};

use crate::energy_path::{Check, Load};

/// A check that was asked for, and to whom its result goes.
pub(crate) type Asked = (Check, oneshot::Sender<CheckResult>);

/// Serves `SelfTest1` at `path`: what is asked comes out.
///
/// # Errors
/// If the path is none.
pub(crate) async fn serve(connection: &Connection, path: &str) -> zbus::Result<mpsc::Receiver<Asked>> {
    let (asked, inbox) = mpsc::channel(1);
    connection.object_server().at(path, SelfTest1 { asked, place: Arc::new(Semaphore::new(1)) }).await?;
    Ok(inbox)
}

struct SelfTest1 {
    asked: mpsc::Sender<Asked>,
    place: Arc<Semaphore>,
}

impl SelfTest1 {
    async fn make(&self, check: Check) -> Result<(CheckResult,), Error> {
        let _place =
            self.place.try_acquire().map_err(|_| Error::Busy("another check is under way".to_owned()))?;
        let ending = || Error::Unavailable("the EVSE is ending".to_owned());
        let (answer, result) = oneshot::channel();
        self.asked.send((check, answer)).await.map_err(|_| ending())?;
        Ok((result.await.map_err(|_| ending())?,))
    }
}

#[interface(name = "org.voltry.SelfTest1")]
impl SelfTest1 {
    #[zbus(out_args("result"))]
    async fn check(&self, step: SelfTestStep) -> Result<(CheckResult,), Error> {
        self.make(Check::Step(step)).await
    }

    #[zbus(out_args("result"))]
    async fn load_test(&self, voltage: f64, current: f64) -> Result<(CheckResult,), Error> {
        let load = Load::new(Volts::from_si(voltage)?, Amps::from_si(current)?)
            .ok_or_else(|| Error::OutOfRange(format!("{current} A at {voltage} V are no load")))?;
        self.make(Check::Load(load)).await
    }
}
