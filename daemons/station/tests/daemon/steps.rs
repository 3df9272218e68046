//! The steps of a transaction, from the plug to its end. The uplink's tests do them too.

use voltry_bus::Authorization;

use crate::rig::Rig;

/// Each is over when it is as true as it becomes.
pub(crate) const STEPS: [&str; 9] = [
    "plugged in",
    "authorized, and the meter does not answer yet",
    "begun",
    "current flows",
    "a reading",
    "told to stop",
    "ended, and the meter does not answer yet",
    "closed",
    "unplugged",
];

/// Does one of them.
pub(crate) async fn step(rig: &Rig, step: usize) {
    match step {
        0 => {
            rig.plug(5).await;
            rig.until_newest("plugged").await;
        }
        1 => {
            let asked = hang_meter(rig);
            assert_eq!(rig.station.authorize("04A1B2C3", 1).await.unwrap().outcome, "granted");
            rig.until_newest("authorized").await;
            rig.until_world("the meter is asked", |world| world.meter_asked > asked).await;
        }
        2 => {
            rig.wake_meter();
            rig.until_newest("started").await;
            rig.until_world("granted", |world| world.authorization == Some((5, Authorization::Granted)))
                .await;
        }
        3 => {
            rig.flow(100.0, 100.0).await;
            rig.until_newest("charging").await;
        }
        4 => {
            rig.settings.write("reading_interval", "1").await.unwrap();
            let mut register = 1001.0;
            while rig.kinds().await.last().unwrap() != "reading" {
                rig.meter(register).await;
                register += 1.0;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        5 => {
            rig.station.stop(1).await.unwrap();
            rig.until("deauthorized", async || rig.kinds().await.contains(&"deauthorized".to_owned())).await;
        }
        6 => {
            let asked = hang_meter(rig);
            rig.end("stopped by the operator").await;
            rig.until_world("the meter is asked", |world| world.meter_asked > asked).await;
        }
        7 => {
            rig.wake_meter();
            rig.until_newest("ended").await;
        }
        8 => {
            rig.unplug().await;
            rig.until_newest("unplugged").await;
        }
        _ => unreachable!("there are {} steps", STEPS.len()),
    }
}

/// The meter gives no answer from now on; how often it was asked before.
fn hang_meter(rig: &Rig) -> u32 {
    let mut world = rig.world.lock().unwrap();
    world.meter_hangs = true;
    world.meter_asked
}
