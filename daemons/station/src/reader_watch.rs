//! Cards that are laid on the readers which the station is bound to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use voltry_bus::{Error, IdTokenReader1Proxy, IdTokenReading, StartOutcome, TokenKind};
use voltry_service::clock::now;
use voltry_service::{Binding, RateLimit, Refusals};
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::Settings;
use crate::authorization::{InvalidToken, Token, mask};
use crate::control::{By, LINES_A_MINUTE, Presented, Request};

/// Whoever laid a card there has gone, or lays it there again.
const MEANT: Duration = Duration::from_secs(2);
/// Cards of one reader that are judged at once.
const JUDGED: usize = 4;

/// Listens to every reader that the configuration names, in tasks that end with the bus.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn listen(
    connection: &Connection,
    settings: &Settings,
    requests: &mpsc::Sender<Request>,
    parts: &mut JoinSet<anyhow::Result<()>>,
) -> zbus::Result<()> {
    for (evse, binding) in settings.id_token_readers() {
        let proxy = IdTokenReader1Proxy::builder(connection)
            .destination(binding.name.clone())
            .path(binding.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let ear = Ear { evse, binding, requests: requests.clone() };
        parts.spawn(ear.listen(proxy));
    }
    Ok(())
}

/// Why a card does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unheard {
    #[error("it was read {0:?} ago")]
    Stale(Duration),
    #[error("its time is in the future")]
    Future,
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
}

/// The token that was meant just now; none where a start button was pressed.
fn meant(reading: &IdTokenReading, now: Timestamp) -> Result<Option<Token>, Unheard> {
    let at = Timestamp::from_micros(reading.at);
    if at > now {
        return Err(Unheard::Future);
    }
    let age = now.since(at);
    if age > MEANT {
        return Err(Unheard::Stale(age));
    }
    if reading.kind == TokenKind::NoAuthorization {
        return Ok(None);
    }
    Ok(Some(Token::parse(&reading.token)?))
}

struct Ear {
    /// 0: any.
    evse: u32,
    binding: Binding,
    requests: mpsc::Sender<Request>,
}

impl Ear {
    async fn listen(self, proxy: IdTokenReader1Proxy<'static>) -> anyhow::Result<()> {
        let malformed = Refusals::told_as("what a card reader says was dropped");
        let mut signals = proxy.receive_read().await?;
        let places = Arc::new(Semaphore::new(JUDGED));
        let mut lines = RateLimit::allowing(LINES_A_MINUTE);
        loop {
            let signal = signals.next().await.context("bus lost")?;
            let Ok(args) = malformed.note("Read", signal.args()) else { continue };
            let reader = self.binding.path.as_str();
            let token = match meant(&args.reading, now()) {
                Ok(token) => token,
                Err(cause) => {
                    if let Some(count) = lines.count(now()) {
                        warn!(reader, %cause, count, "a card does not count");
                    }
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                debug!(reader, "too many cards at once");
                continue;
            };
            let (answer, answered) = oneshot::channel();
            let (kind, evse) = (args.reading.kind, self.evse);
            let shown = token.as_ref().map_or_else(String::new, |token| mask(token.reveal()));
            let request = match token {
                Some(token) => Request::Present(Presented { token, kind, evse, by: By::Driver(answer) }),
                None => Request::PressStart { evse, answer },
            };
            self.requests.send(request).await.context("the control loop ended")?;
            let count = lines.count(now());
            let reader = reader.to_owned();
            // A back end may take its time; the next card is heard meanwhile.
            tokio::spawn(async move {
                let outcome = answered.await;
                drop(place);
                if let (Some(count), Ok(outcome)) = (count, outcome) {
                    tell(&reader, &shown, outcome, count);
                }
            });
        }
    }
}

fn tell(reader: &str, token: &str, outcome: Result<StartOutcome, Error>, count: u64) {
    match outcome {
        Ok(StartOutcome { evse, outcome, detail }) => {
            info!(reader, token, evse, outcome, detail, count, "a card was shown");
        }
        Err(error) => warn!(reader, token, %error, count, "a card was shown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_counts_for_two_seconds_and_not_before_it_was_read() {
        let at = |ms: u64| Timestamp::from_micros(1_000_000 + ms * 1000);
        let reading = |token: &str| IdTokenReading {
            token: token.to_owned(),
            kind: TokenKind::Iso14443,
            at: at(0).as_micros(),
        };
        assert_eq!(meant(&reading("04a1"), at(2000)).unwrap().unwrap().reveal(), "04A1");
        let pressed = IdTokenReading { kind: TokenKind::NoAuthorization, ..reading("") };
        assert_eq!(meant(&pressed, at(2000)), Ok(None), "a button has no token");
        assert!(meant(&pressed, at(2001)).is_err());
        assert_eq!(
            meant(&reading("04a1"), at(2001)).unwrap_err(),
            Unheard::Stale(Duration::from_millis(2001))
        );
        assert_eq!(meant(&reading("04a1"), Timestamp::from_micros(999_999)).unwrap_err(), Unheard::Future);
        assert_eq!(meant(&reading("no card"), at(0)).unwrap_err(), Unheard::Invalid(InvalidToken));
    }
}
