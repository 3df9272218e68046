//! When a supply is on, and above all when it is off: leases, their holder, and its own death.

use std::time::Duration;

use voltry_bus::{DcOutput, SupplyState};
use voltry_service::{Stamp, clock};

use super::{Holder, LEASE, NO_CURRENT, RENEWED, TOO_LATE, Watch, too_slow};
use crate::conform::every_role::refused_as;
use crate::conform::provider::Provider;
use crate::conform::report::{Report, Trial, Unmet, broken};

/// The output is off so long after the lease has lapsed: "output zero in 500 ms" of the deaths,
/// and the time that modules take to confirm it. Times the slack.
const OFF_AFTER_LAPSE: Duration = Duration::from_millis(500);
/// For how long a renewed lease is held: four leases.
const HELD: Duration = Duration::from_secs(2);
/// How often a trial is made whose time another program may have cost us.
const TRIES: usize = 3;

pub(super) async fn rules(provider: &mut Provider, watch: &Watch, report: &mut Report) {
    let asks = "Enable alone gives nothing; a new epoch takes the output of the last one off";
    report.rule("enable-is-off", asks, async || enable_is_off(provider, watch).await).await;
    let asks = "a set-point is followed and confirmed, and neither volts nor amperes exceed it";
    report.rule("set-point", asks, async || set_point(provider, watch).await).await;
    let asks = "renewed every 100 ms, the lease holds for two seconds";
    report.rule("renewed", asks, async || renewed(provider, watch).await).await;
    let asks = "not renewed, it is off 500 ms later, and takes nothing but a new epoch";
    report.rule("lapse", asks, async || lapse(provider, watch).await).await;
    let asks = "SetOutput does not renew the lease";
    report.rule("set-does-not-renew", asks, async || set_does_not_renew(provider, watch).await).await;
    let asks = "its holder leaves the bus: off at once, not when the lease lapses";
    report.rule("holder-leaves", asks, async || holder_leaves(provider, watch).await).await;
    let asks = "Off is accepted from anybody at any time, and ends the epoch";
    report.rule("off", asks, async || off(provider, watch).await).await;
    let asks = "killed while it delivers, it comes back off, and only a new epoch energises";
    report.rule("restart", asks, async || restart(provider, watch).await).await;
}

async fn enable_is_off(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    watch.capability().await?;
    let mut holder = Holder::new(provider).await?;
    holder.enable().await?;
    holder.renewing(tokio::time::sleep(LEASE)).await?;
    if watch.supply.state().await? == SupplyState::On {
        return broken("State is on before any set-point");
    }
    holder.energise(watch).await?;
    holder.enable().await?;
    holder.renewing(watch.not_on()).await??;
    watch.rest().await?;
    Ok("off until SetOutput, and off after another Enable".to_owned())
}

async fn set_point(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    let since = clock::now();
    let (voltage, current) = holder.energise(watch).await?;
    holder.renewing(tokio::time::sleep(HELD)).await?;
    let heard = watch.output.since(since);
    watch.rest().await?;
    let most = |of: fn(&DcOutput) -> f64| heard.iter().map(|(_, output)| of(output)).fold(0.0, f64::max);
    let (volts, amperes) = (most(|output| output.voltage), most(|output| output.current));
    let seen = format!("set {voltage:.0} V and {current:.1} A; at most {volts:.1} V and {amperes:.2} A");
    // What the meters of modules are good for.
    if volts > voltage * 1.02 + 5.0 || amperes > current * 1.02 + NO_CURRENT {
        return broken(seen);
    }
    // It holds one or the other: the volts without a load, the amperes with one.
    if volts < voltage * 0.9 && amperes < current * 0.9 {
        return broken(format!("{seen}: it delivers neither"));
    }
    Ok(seen)
}

async fn renewed(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.energise(watch).await?;
    let since = clock::now();
    holder.renewing(tokio::time::sleep(HELD)).await?;
    let off = watch.applied.since(since).into_iter().any(|(_, applied)| applied.epoch == 0);
    let off = off || watch.supply.state().await? != SupplyState::On;
    watch.rest().await?;
    if off {
        return if holder.late { Err(too_slow()) } else { broken("it went off while the lease was renewed") };
    }
    Ok("on all the time".to_owned())
}

/// It must be off by so many milliseconds after the end of the lease.
fn off_in_time(provider: &Provider, after_lease: Duration) -> Trial {
    let limit = provider.within(OFF_AFTER_LAPSE);
    let seen =
        format!("off {} ms after the lease's end, at most {}", after_lease.as_millis(), limit.as_millis());
    if after_lease > limit { broken(seen) } else { Ok(seen) }
}

async fn lapse(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.energise(watch).await?;
    let renewed = holder.renew_once_more().await?;
    let off = watch.off_since(renewed).await?;
    if off < renewed + LEASE {
        return broken(format!("off {} ms after it was renewed", off.since(renewed).as_millis()));
    }
    let seen = off_in_time(provider, off.since(renewed + LEASE))?;
    refused_as("Lapsed", "RenewLease after the lapse", holder.renew().await)?;
    refused_as("Lapsed", "SetOutput after the lapse", holder.set((0.0, 0.0)).await)?;
    holder.energise(watch).await.map_err(|unmet| after("a new epoch after the lapse", unmet))?;
    watch.rest().await?;
    Ok(seen)
}

async fn set_does_not_renew(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    let aim = holder.energise(watch).await?;
    let renewed = holder.renew_once_more().await?;
    let mut tick = tokio::time::interval(RENEWED);
    let limit = renewed + LEASE + provider.within(OFF_AFTER_LAPSE);
    loop {
        tick.tick().await;
        match holder.set(aim).await {
            Ok(_) if clock::now() > limit => return broken("SetOutput alone keeps it on"),
            Ok(_) => {}
            Err(error) => {
                refused_as::<()>("Lapsed", "SetOutput in the end", Err(error))?;
                break;
            }
        }
    }
    off_in_time(provider, watch.off_since(renewed).await?.since(renewed + LEASE))
}

async fn holder_leaves(provider: &Provider, watch: &Watch) -> Trial {
    let mut seen = String::new();
    for _ in 0..TRIES {
        watch.rest().await?;
        let mut holder = Holder::new(provider).await?;
        holder.energise(watch).await?;
        let renewed = holder.renew_once_more().await?;
        let connection = holder.supply.inner().connection().clone();
        drop(holder);
        connection.close().await?;
        let off = watch.off_since(renewed).await?;
        seen = format!("off {} ms after it was renewed for the last time", off.since(renewed).as_millis());
        // A supply that only waits for the lapse is never that early, however often it is tried.
        if off < renewed + LEASE {
            return Ok(seen);
        }
    }
    broken(format!("{seen}, {TRIES} times after the lease's end"))
}

async fn off(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    watch.supply.off().await.map_err(|error| after("Off while it is off", error.into()))?;
    let mut holder = Holder::new(provider).await?;
    holder.energise(watch).await?;
    let since = clock::now();
    watch.supply.off().await?;
    watch.off_since(since).await?;
    // What lapsed by itself proves nothing.
    if clock::now().since(holder.renewed) > TOO_LATE {
        return Err(too_slow());
    }
    refused_as("Lapsed", "SetOutput after Off", holder.set((0.0, 0.0)).await)?;
    refused_as("Lapsed", "RenewLease after Off", holder.renew().await)?;
    Ok("taken from another connection; the epoch is over".to_owned())
}

async fn restart(provider: &mut Provider, watch: &Watch) -> Trial {
    if !provider.is_ours() {
        return Err(Unmet::NotTried("its program was not given after --".to_owned()));
    }
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.energise(watch).await?;
    let mut stamp: Stamp = holder.lease.stamp(clock::now());
    provider.restart().await?;
    watch.capability().await?;
    let state = watch.supply.state().await?;
    if state == SupplyState::On {
        return broken("State is on, and nobody enabled it");
    }
    stamp.sent_at = clock::now();
    refused_as("Lapsed", "SetOutput of the epoch before", holder.set_stamped(stamp, (0.0, 0.0)).await)?;
    let no_current = |output: &DcOutput| output.current.abs() < NO_CURRENT;
    if watch.output.first(clock::now(), provider.within(super::FOLLOWED), no_current).await.is_none() {
        return broken("its Output measures a current");
    }
    holder.energise(watch).await.map_err(|unmet| after("a new epoch after the restart", unmet))?;
    watch.rest().await?;
    Ok(format!("{state} after it, the old epoch is Lapsed, a new one energises"))
}

/// Says at what.
fn after(what: &str, unmet: Unmet) -> Unmet {
    match unmet {
        Unmet::Broken(seen) => Unmet::Broken(format!("{what}: {seen}")),
        other @ (Unmet::NotTried(_) | Unmet::TooSlow(_)) => other,
    }
}
