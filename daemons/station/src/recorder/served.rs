//! `Recorder1` on the bus.

use voltry_bus::{Error, RecordedEntry, RecordedSample, RecordedSession};
use zbus::interface;

use super::Recorder;
use crate::serve::Calls;

/// Sessions in one answer.
const SESSIONS_MAX: u32 = 1000;

pub(crate) struct Recorder1 {
    pub(crate) recorder: Recorder,
    pub(crate) calls: Calls,
}

#[interface(name = "org.voltry.Recorder1")]
impl Recorder1 {
    #[zbus(out_args("sessions"))]
    async fn sessions(&self, limit: u32) -> Result<Vec<RecordedSession>, Error> {
        let limit = usize::try_from(limit.min(SESSIONS_MAX)).unwrap_or(usize::MAX);
        self.calls.answer("Sessions", self.recorder.sessions(limit)).await
    }

    #[zbus(out_args("session", "entries", "samples"))]
    async fn read(
        &self,
        number: u64,
    ) -> Result<(RecordedSession, Vec<RecordedEntry>, Vec<RecordedSample>), Error> {
        self.calls.answer("Read", self.recorder.read(number)).await
    }
}

#[cfg(test)]
mod tests {
    use zbus::object_server::Interface as _;

    use super::*;

    #[test]
    fn what_is_served_is_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let served = Recorder1 { recorder: Recorder::start(folder.path()).unwrap(), calls: Calls::new() };
        let mut xml = String::from("<node>");
        served.introspect_to_writer(&mut xml, 0);
        xml += "</node>";
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Recorder1"]), Ok(()));
    }
}
