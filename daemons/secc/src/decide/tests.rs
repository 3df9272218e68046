use super::*;

#[test]
fn one_sentence_says_which_side_ended_it_where_and_why() {
    let order = |request, stage| Cause::Order { request, stage };
    let silent = Cause::Silent(Duration::from_millis(500));
    let offers = "urn:iso:15118:2:2010:MsgDef".to_owned();
    for (cause, phase, sentence) in [
        (
            Cause::Aborted("over-voltage".into()),
            Some(LinkPhase::Charging),
            "the station ended it in charging: over-voltage",
        ),
        (
            order("PreChargeReq", Stage::Charging),
            Some(LinkPhase::Charging),
            "the station ended it in charging: PreChargeReq is out of order in the charge loop",
        ),
        (
            order("PreChargeReq", Stage::CableCheck { passed: false }),
            Some(LinkPhase::CableCheck),
            "the station ended it in cable-check: PreChargeReq is out of order before CableCheck is finished",
        ),
        (silent, Some(LinkPhase::Charging), "in charging the vehicle sent nothing for 0.5 s"),
        (
            Cause::Disconnected("the vehicle closed it"),
            Some(LinkPhase::CableCheck),
            "in cable-check the connection ended: the vehicle closed it",
        ),
        (
            Cause::Wire(WireError::NoCommonProtocol(offers)),
            None,
            "the station ended it in the handshake: no protocol in common; the vehicle offers \
             urn:iso:15118:2:2010:MsgDef",
        ),
    ] {
        assert_eq!(cause.sentence(phase), sentence);
    }
}

#[test]
fn a_goodbye_says_where_the_vehicle_came_from_and_what_is_known_of_why() {
    let charging = Some(LinkPhase::PowerOff);
    assert_eq!(goodbye(false, charging, "", None), "the vehicle ended it in power-off with SessionStop");
    assert_eq!(goodbye(true, charging, "", None), "the vehicle paused it in power-off with SessionStop");
    assert_eq!(
        goodbye(false, Some(LinkPhase::CableCheck), "FAILED_RESSTemperatureInhibit", Some("out of service")),
        "the vehicle ended it in cable-check with SessionStop, as the station had asked: out of service; it \
         says FAILED_RESSTemperatureInhibit"
    );
}
