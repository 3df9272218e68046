//! Makers' own messages: from the CSMS to their daemons and from these to the CSMS (`DataTransfer1`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;
use voltry_bus::{DataTransfer1Proxy, Error, TransferStatus};
use voltry_service::config::Binding;
use zbus::interface;
use zbus::proxy::CacheProperties;

/// A maker's daemon answers within this time.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest data, bytes.
const DATA_MAX: usize = 65_536;

/// A message of a maker for the CSMS.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) vendor: String,
    pub(crate) message: String,
    pub(crate) data: String,
    pub(crate) answer: oneshot::Sender<Option<(TransferStatus, String)>>,
}

/// The object towards the CSMS.
pub(crate) struct DataTransfer1 {
    pub(crate) letters: mpsc::Sender<Letter>,
}

#[interface(name = "org.voltry.DataTransfer1")]
impl DataTransfer1 {
    #[zbus(out_args("status", "answer"))]
    async fn transfer(
        &self,
        vendor: &str,
        message: &str,
        data: &str,
    ) -> Result<(TransferStatus, String), Error> {
        if vendor.is_empty() || vendor.len() > 255 || message.len() > 50 || data.len() > DATA_MAX {
            return Err(Error::Invalid("too long, or no vendor".to_owned()));
        }
        let (answer, answered) = oneshot::channel();
        let letter =
            Letter { vendor: vendor.to_owned(), message: message.to_owned(), data: data.to_owned(), answer };
        self.letters.try_send(letter).map_err(|_| Error::Busy("too many messages wait".to_owned()))?;
        let away = || Error::Unavailable("the back end is away, or does not answer".to_owned());
        answered.await.map_err(|_| away())?.ok_or_else(away)
    }
}

/// Hands a message of the CSMS to the daemon of its vendor.
pub(crate) async fn hand_on(
    connection: zbus::Connection,
    makers: BTreeMap<String, Binding>,
    (vendor, message, data): (String, String, String),
) -> (TransferStatus, String) {
    let unknown = (TransferStatus::UnknownVendor, String::new());
    let Some(role) = makers.get(&vendor) else { return unknown };
    if data.len() > DATA_MAX {
        return (TransferStatus::Rejected, String::new());
    }
    let called = async {
        let proxy = DataTransfer1Proxy::builder(&connection)
            .destination(role.name.clone())
            .path(role.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        proxy.transfer(&vendor, &message, &data).await
    };
    match timeout(ANSWER, called).await {
        Ok(Ok((status, answer))) if answer.len() <= DATA_MAX => (status, answer),
        Ok(Ok(_)) => {
            warn!(vendor, "a maker's answer is too long");
            (TransferStatus::Rejected, String::new())
        }
        Ok(Err(error)) => {
            warn!(vendor, %error, "a maker's daemon takes no message");
            (TransferStatus::Rejected, String::new())
        }
        Err(_) => {
            warn!(vendor, "a maker's daemon does not answer");
            (TransferStatus::Rejected, String::new())
        }
    }
}

/// 2.0.1's data as text: a string as it is, anything else as JSON, nothing as nothing.
pub(crate) fn text(data: Option<&Value>) -> String {
    match data {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// And back: an object or a list is JSON, anything else a string.
pub(crate) fn value(text: &str) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let json = text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten();
    Some(json.unwrap_or_else(|| text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use zbus::object_server::Interface as _;

    #[test]
    fn what_is_served_is_the_contract() {
        let mut xml = String::from("<node>");
        DataTransfer1 { letters: mpsc::channel(1).0 }.introspect_to_writer(&mut xml, 0);
        xml += "</node>";
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.DataTransfer1"]), Ok(()));
    }

    #[test]
    fn data_is_the_same_after_both_ways() {
        for data in [json!({ "a": [1, 2] }), json!(["x"]), json!("plain"), json!("{no json")] {
            assert_eq!(value(&text(Some(&data))), Some(data));
        }
        assert_eq!((text(None), value("")), (String::new(), None));
        assert_eq!(text(Some(&json!(7))), "7");
    }
}
