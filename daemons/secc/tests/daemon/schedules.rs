//! A planner on the bus, and a vehicle that chooses of what it offers.

use voltry_bus::proxies::ChargingSchedules1Proxy;
use voltry_bus::{Error, PowerPoint, SalesTariff, Schedule, ScheduleChoice, ScheduleOffer, TariffEntry};

use super::*;

fn schedule(id: u8, points: &[(u32, f64)]) -> Schedule {
    let point = |(start, power): &(u32, f64)| PowerPoint { start: *start, power: *power };
    Schedule { id, points: points.iter().map(point).collect(), duration: 7200, tariffs: Vec::new() }
}

fn tariff() -> SalesTariff {
    let entry = TariffEntry { start: 0, duration: 0, price_level: 1, costs: Vec::new() };
    SalesTariff { id: 1, description: "day".to_owned(), price_levels: 1, entries: vec![entry] }
}

fn good() -> Schedule {
    schedule(1, &[(0, 22_000.0), (600, 11_000.0)])
}

async fn refuses_what_is_none(planner: &ChargingSchedules1Proxy<'_>, id: u64) {
    let offer = |id, schedules| planner.offer(ScheduleOffer { id, schedules, signature: Vec::new() });
    assert!(matches!(offer(id + 1, vec![good()]).await, Err(Error::Stale(_))));
    let long = SalesTariff { description: "x".repeat(33), ..tariff() };
    for nonsense in [
        vec![good(), good()],
        vec![schedule(0, &[(0, 1.0)])],
        vec![schedule(1, &[])],
        vec![schedule(1, &[(1, 1.0)])],
        vec![schedule(1, &[(0, 1.0), (600, 1.0), (600, 1.0)])],
        vec![schedule(1, &[(0, 1.0), (7200, 1.0)])],
        (1..5).map(|id| schedule(id, &[(0, 1.0)])).collect(),
        vec![Schedule { tariffs: vec![long], ..good() }],
        vec![Schedule { tariffs: vec![tariff(), tariff()], ..good() }],
    ] {
        assert!(matches!(offer(id, nonsense.clone()).await, Err(Error::Invalid(_))), "{nonsense:?}");
    }
    for power in [-1.0, f64::NAN, 1e12] {
        let answer = offer(id, vec![schedule(1, &[(0, power)])]).await;
        assert!(matches!(answer, Err(Error::OutOfRange(_))), "{power}");
    }
    let signed = ScheduleOffer { id, schedules: vec![good()], signature: vec![1; 63] };
    assert!(matches!(planner.offer(signed).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_planner_hears_what_a_vehicle_wants_offers_and_hears_what_it_chose() {
    let configuration =
        "[secc.1]\ninterface = \"lo\"\nevse_id = \"DE*VOL*E1\"\n[secc.1.timing]\nschedules_ms = 5000\n";
    with_daemon_of(configuration, |evse| async move {
        attach(&evse).await;
        let connection = evse.inner().connection();
        let planner =
            ChargingSchedules1Proxy::builder(connection).destination(NAME).path(PATH).build().await.unwrap();
        let mut wanted = planner.receive_wanted().await.unwrap();
        let mut chosen = planner.receive_chosen().await.unwrap();
        let offer = |id, schedules| planner.offer(ScheduleOffer { id, schedules, signature: Vec::new() });
        assert!(matches!(offer(0, Vec::new()).await, Err(Error::Stale(_))), "nobody asked");
        let mut vehicle = Vehicle::connect().await;
        vehicle.set_up().await;
        vehicle.ok(service_discovery()).await;
        vehicle.ok(payment()).await;
        vehicle.ok(authorization()).await;

        let planning = async {
            let request = wanted.next().await.unwrap();
            let request = request.args().unwrap().request().clone();
            assert_eq!((request.protocol.as_str(), request.dynamic), ("ISO 15118-2:2014", false));
            assert_eq!((request.voltage_max, request.current_max, request.soc), (410.0, 150.0, 20.0));
            assert_eq!((request.departure_at, request.energy), (0, -1.0));
            refuses_what_is_none(&planner, request.id).await;
            offer(request.id, vec![Schedule { tariffs: vec![tariff()], ..good() }]).await.unwrap();
            request.id
        };
        let asking = async {
            loop {
                let B::ChargeParameterDiscoveryRes(answer) = vehicle.ask(parameters()).await else {
                    panic!()
                };
                if answer.evse_processing == iso2::EVSEProcessing::Finished {
                    break answer;
                }
            }
        };
        let (answer, id) = tokio::join!(asking, planning);
        let Some(iso2::ChargeParameterDiscoveryResChoice2::SAScheduleList(list)) = answer.choice_2 else {
            panic!()
        };
        assert_eq!(list.sa_schedule_tuple[0].sales_tariff.as_ref().unwrap().sales_tariff_id, 1);
        loop {
            let B::CableCheckRes(answer) = vehicle.ok(cable_check()).await else { panic!() };
            if answer.evse_processing == iso2::EVSEProcessing::Finished {
                break;
            }
        }
        vehicle.ok(pre_charge()).await;
        let B::PowerDeliveryReq(mut start) = power_delivery(ChargeProgress::Start) else { panic!() };
        let entry = iso2::ProfileEntry {
            charging_profile_entry_start: 0,
            charging_profile_entry_max_power: value(0, iso2::UnitSymbol::W, 11_000),
            charging_profile_entry_max_number_of_phases_in_use: None,
        };
        start.charging_profile = Some(iso2::ChargingProfile { profile_entry: vec![entry] });
        vehicle.ok(B::PowerDeliveryReq(start)).await;
        let heard = chosen.next().await.unwrap();
        let profile = vec![PowerPoint { start: 0, power: 11_000.0 }];
        assert_eq!(*heard.args().unwrap().chosen(), ScheduleChoice { id, schedule: 1, profile });
    })
    .await;
}
