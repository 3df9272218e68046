//! A voltage monitor at 0 V, and an insulation monitor of a dry cable.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use voltry_bus::{Error, InsulationReading, SelfTestResult, VoltageReading};
use voltry_service::clock;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

struct Voltmeter;

#[interface(name = "org.voltry.VoltageMonitor1")]
impl Voltmeter {
    #[zbus(signal)]
    async fn voltage(emitter: &SignalEmitter<'_>, reading: VoltageReading) -> zbus::Result<()>;
}

pub(super) async fn voltage(connection: Connection, path: &str, fault: &str) {
    connection.object_server().at(path, Voltmeter).await.unwrap();
    connection.request_name("com.example.Provider1").await.unwrap();
    let emitter = SignalEmitter::new(&connection, path).unwrap();
    let period = Duration::from_millis(if fault == "seldom-told" { 700 } else { 100 });
    let mut tick = tokio::time::interval(period);
    let mut sequence = 0;
    loop {
        tick.tick().await;
        sequence += u64::from(fault != "not-numbered");
        let voltage = if fault == "impossible-value" { f64::NAN } else { 0.5 };
        let mut reading = VoltageReading { sequence, voltage, at: clock::now().as_micros() };
        if fault == "stamped-old" {
            reading.at -= 1_000_000;
        }
        Voltmeter::voltage(&emitter, reading).await.unwrap();
    }
}

struct State {
    active: bool,
    /// When the self-test that runs ends.
    testing: Option<u64>,
}

#[derive(Clone)]
struct Monitor {
    fault: String,
    state: Arc<Mutex<State>>,
}

#[interface(name = "org.voltry.InsulationMonitor1")]
impl Monitor {
    fn set_active(&self, active: bool) -> Result<(), Error> {
        if self.fault != "cannot-be-paused" {
            self.state.lock().unwrap().active = active;
        }
        Ok(())
    }

    fn start_self_test(&self) -> Result<(), Error> {
        self.state.lock().unwrap().testing = Some(clock::now().as_micros() + 200_000);
        Ok(())
    }

    #[zbus(signal)]
    async fn insulation(emitter: &SignalEmitter<'_>, reading: InsulationReading) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn self_test_finished(emitter: &SignalEmitter<'_>, result: SelfTestResult) -> zbus::Result<()>;

    #[zbus(property)]
    fn active(&self) -> bool {
        self.state.lock().unwrap().active
    }
}

pub(super) async fn insulation(connection: Connection, path: &str, fault: String) {
    let state = Arc::new(Mutex::new(State { active: true, testing: None }));
    let monitor = Monitor { fault: fault.clone(), state: state.clone() };
    connection.object_server().at(path, monitor).await.unwrap();
    connection.request_name("com.example.Provider1").await.unwrap();
    let emitter = SignalEmitter::new(&connection, path).unwrap();
    let is = |wanted: &str| fault == wanted;
    let mut tick = tokio::time::interval(Duration::from_millis(if is("seldom-told") { 7000 } else { 500 }));
    let (mut sequence, mut counter) = (0, 0);
    loop {
        tick.tick().await;
        let now = clock::now().as_micros();
        let (active, testing, ended) = {
            let mut state = state.lock().unwrap();
            let ended = state.testing.is_some_and(|end| now >= end);
            if ended {
                state.testing = None;
            }
            (state.active, state.testing.is_some(), ended)
        };
        if ended && !is("never-ends-its-test") {
            let (passed, detail) = (!is("fails-its-test"), "a wire is broken".to_owned());
            Monitor::self_test_finished(&emitter, SelfTestResult { passed, detail, at: now }).await.unwrap();
        }
        if !active || testing {
            continue;
        }
        sequence += u64::from(!is("not-numbered"));
        counter += u64::from(!is("counter-stands-still"));
        let at = if is("stamped-old") { now - 9_000_000 } else { now };
        let reading = InsulationReading { sequence, resistance: 5e6, valid: true, counter, at };
        Monitor::insulation(&emitter, reading).await.unwrap();
    }
}
