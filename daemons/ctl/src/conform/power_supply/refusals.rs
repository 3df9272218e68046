//! What a supply must not take: stale, foreign, late and impossible messages, each with its error.

use std::time::Duration;

use voltry_bus::{DcCapability, SupplyState};
use voltry_service::{Stamp, clock};
use voltry_units::Timestamp;

use super::{Holder, LEASE, Watch, too_slow};
use crate::conform::every_role::refused_as;
use crate::conform::provider::Provider;
use crate::conform::report::{Report, Trial, broken};

/// More than the 100 ms that a message may take.
const TOO_OLD: Duration = Duration::from_millis(150);
const FUTURE: Duration = Duration::from_secs(10);

pub(super) async fn rules(provider: &Provider, watch: &Watch, report: &mut Report) {
    let asks = "no epoch is open: SetOutput and RenewLease are Lapsed";
    report.rule("no-epoch", asks, async || no_epoch(provider, watch).await).await;
    let asks = "an epoch not newer than the last is StaleEpoch, one of tomorrow FromTheFuture";
    report.rule("epochs", asks, async || in_time(watch, epochs(provider)).await).await;
    let asks = "a sequence number not above the last is StaleSequence";
    report.rule("sequence", asks, async || in_time(watch, sequence(provider)).await).await;
    let asks = "a message more than 100 ms old is TooOld, one of tomorrow FromTheFuture";
    report.rule("message-age", asks, async || in_time(watch, message_age(provider)).await).await;
    let asks = "while one holds the lease another is NotHolder, and changes nothing";
    report.rule("one-holder", asks, async || one_holder(provider, watch).await).await;
    let asks = "impossible volts and amperes are OutOfRange";
    report.rule("limits", asks, async || in_time(watch, limits(provider, watch)).await).await;
}

/// Of a trial that must come to its end within a lease, which its refusals are about.
async fn in_time(watch: &Watch, trial: impl Future<Output = Trial>) -> Trial {
    watch.rest().await?;
    watch.capability().await?;
    let began = clock::now();
    let seen = trial.await;
    if seen.is_err() && clock::now().since(began) >= LEASE { Err(too_slow()) } else { seen }
}

async fn no_epoch(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    watch.capability().await?;
    let holder = Holder::new(provider).await?;
    let stamp = |sequence| Stamp { epoch: 1, sequence, sent_at: clock::now() };
    refused_as("Lapsed", "SetOutput", holder.set_stamped(stamp(1), (0.0, 0.0)).await)?;
    refused_as("Lapsed", "RenewLease", holder.renew_stamped(stamp(2)).await)?;
    Ok("both Lapsed".to_owned())
}

async fn epochs(provider: &Provider) -> Trial {
    let mut holder = Holder::new(provider).await?;
    let tomorrow = (clock::now() + FUTURE).as_micros();
    refused_as("FromTheFuture", "Enable of an epoch to come", holder.supply.enable(tomorrow).await)?;
    holder.enable().await?;
    let epoch = holder.lease.epoch();
    refused_as("StaleEpoch", "Enable of the open epoch", holder.supply.enable(epoch).await)?;
    refused_as("StaleEpoch", "Enable of an older epoch", holder.supply.enable(epoch - 1).await)?;
    let old = Stamp { epoch: epoch - 1, sequence: 1, sent_at: clock::now() };
    refused_as("StaleEpoch", "SetOutput of an older epoch", holder.set_stamped(old, (0.0, 0.0)).await)?;
    refused_as("StaleEpoch", "RenewLease of an older epoch", holder.renew_stamped(old).await)?;
    holder.renew().await?;
    Ok("each by its name; the open epoch goes on".to_owned())
}

async fn sequence(provider: &Provider) -> Trial {
    let mut holder = Holder::new(provider).await?;
    holder.enable().await?;
    let first = holder.set((0.0, 0.0)).await?;
    holder.renew().await?;
    let again = Stamp { sent_at: clock::now(), ..first };
    refused_as("StaleSequence", "SetOutput with an old number", holder.set_stamped(again, (0.0, 0.0)).await)?;
    let last = Stamp { sequence: first.sequence + 1, sent_at: clock::now(), ..first };
    refused_as("StaleSequence", "RenewLease with the last number", holder.renew_stamped(last).await)?;
    holder.renew().await?;
    Ok("both StaleSequence; the next number is taken".to_owned())
}

async fn message_age(provider: &Provider) -> Trial {
    let mut holder = Holder::new(provider).await?;
    holder.enable().await?;
    let mut sequence = 0;
    let mut sent = |sent_at: Timestamp| {
        sequence += 1;
        Stamp { epoch: holder.lease.epoch(), sequence, sent_at }
    };
    let old = |now: Timestamp| now - TOO_OLD;
    let stamp = sent(old(clock::now()));
    refused_as("TooOld", "SetOutput sent 150 ms ago", holder.set_stamped(stamp, (0.0, 0.0)).await)?;
    let stamp = sent(old(clock::now()));
    refused_as("TooOld", "RenewLease sent 150 ms ago", holder.renew_stamped(stamp).await)?;
    let stamp = sent(clock::now() + FUTURE);
    refused_as("FromTheFuture", "SetOutput to be sent", holder.set_stamped(stamp, (0.0, 0.0)).await)?;
    let stamp = sent(clock::now() + FUTURE);
    refused_as("FromTheFuture", "RenewLease to be sent", holder.renew_stamped(stamp).await)?;
    let stamp = sent(clock::now());
    holder.renew_stamped(stamp).await?;
    Ok("each by its name; one of now is taken".to_owned())
}

async fn one_holder(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    let mut other = Holder::new(provider).await?;
    holder.energise(watch).await?;
    let epoch = holder.lease.epoch();
    let intrudes = async {
        refused_as("NotHolder", "Enable by another", other.enable().await)?;
        let stamp = |sequence| Stamp { epoch, sequence: u64::MAX - 9 + sequence, sent_at: clock::now() };
        refused_as("NotHolder", "SetOutput by another", other.set_stamped(stamp(1), (0.0, 0.0)).await)?;
        refused_as("NotHolder", "RenewLease by another", other.renew_stamped(stamp(2)).await)
    };
    holder.renewing(intrudes).await??;
    holder.renew_once_more().await?;
    if watch.supply.state().await? != SupplyState::On {
        return broken("refused, but the output went off");
    }
    watch.rest().await?;
    Ok("three times NotHolder; the output stays".to_owned())
}

async fn limits(provider: &Provider, watch: &Watch) -> Trial {
    let DcCapability { voltage_max, current_max, .. } = watch.capability().await?;
    let discharges = watch.supply.discharge().await?.current_max;
    let mut holder = Holder::new(provider).await?;
    holder.enable().await?;
    for (voltage, current) in [
        (f64::NAN, 1.0),
        (voltage_max, f64::NAN),
        (f64::INFINITY, 1.0),
        (voltage_max, f64::INFINITY),
        (voltage_max * 1.01 + 1.0, 1.0),
        (-1.0, 1.0),
        // Derated modules take what they are rated for; nothing is rated for that.
        (voltage_max, 100.0 * current_max + 10_000.0),
        (voltage_max, -(discharges + 1.0)),
    ] {
        let asked = format!("SetOutput of {voltage} V and {current} A");
        refused_as("OutOfRange", &asked, holder.set((voltage, current)).await.map(|_| ()))?;
    }
    holder.renew().await?;
    Ok("eight times OutOfRange; the epoch goes on".to_owned())
}
