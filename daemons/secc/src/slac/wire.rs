//! HomePlug management messages: Ethernet frames to what they say, and back. The only module of
//! SLAC that names the `iso15118` crate, of which the message layouts are.
//!
//! The crate's matching engine for stations is not used: it knows one vehicle at a time, so that
//! the first to be heard shuts out the right one; it repeats neither a lost CM_ATTEN_CHAR.IND nor
//! a lost CM_SLAC_MATCH.CNF (a repeated request is a failure to it); and it calls a modem's
//! CM_SET_KEY.CNF with result 1 a failure, which is what every QCA7000 says that took the key.

use iso15118::slac::{
    AAG_LEN, AttenCharInd, AttenCharRsp, AttenProfile, AttenProfileInd, BROADCAST, Mmtype, Mmv, MnbcSoundInd,
    SetKeyCnf, SetKeyReq, SlacError, SlacMatchCnf, SlacMatchReq, SlacParmCnf, SlacParmReq, StartAttenCharInd,
    ValidateCnf, ValidateReq, parse_frame, timers, write_frame,
};
use std::time::Duration;

/// The EtherType of management messages.
pub const ETHERTYPE: u16 = iso15118::slac::ETHERTYPE_HOMEPLUG_AV;
/// Longest frame read; the longest message has 129 bytes.
pub const FRAME_MAX: usize = 512;
/// An Ethernet address.
pub type Mac = iso15118::slac::MacAddr;
/// A matching run's identifier: the vehicle's choice, and not always a choice. Some send zeros,
/// or the same text for ever, so that only address and identifier together name a run.
pub type RunId = iso15118::slac::RunId;
/// A station's identifier: a VIN or an EVSEID, or, in every recording of a real car, zeros.
pub type StationId = iso15118::slac::StationId;
/// A network membership key.
pub type Nmk = [u8; iso15118::slac::NMK_LEN];
/// A network identifier.
pub type Nid = [u8; iso15118::slac::NID_LEN];

/// The local modem's address, whatever its own is: Qualcomm's, and Lumissil's answers to it too.
pub const LOCAL_MODEM: Mac = [0x00, 0xb0, 0x52, 0x00, 0x00, 0x01];

/// Sounds in a burst (C_EV_match_MNBC).
pub const SOUNDS: u8 = timers::C_EV_MATCH_MNBC;
/// The window for a burst, from its announcement (TT_EVSE_match_MNBC).
pub const SOUNDING: Duration = ms(timers::TT_EVSE_MATCH_MNBC_MS);
/// A peer answers within this (TT_match_response).
pub const RESPONSE: Duration = ms(timers::TT_MATCH_RESPONSE_MS);
/// From a report to the vehicle's choice (TT_EVSE_match_session).
pub const SESSION: Duration = ms(timers::TT_EVSE_MATCH_SESSION_MS);
/// From the match to the link (TT_match_join).
pub const JOIN: Duration = ms(timers::TT_MATCH_JOIN_MS);
/// Least time in state E or F (T_step_EF).
pub const STEP_EF: Duration = ms(timers::T_STEP_EF_MS);

const fn ms(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds as u64)
}

/// Key type, and select of the key's encryption: a network membership key (HomePlug GP table 11-88).
const KEY_TYPE_NMK: u8 = 0x01;
/// Protocol: the higher layers provide the key.
const PID_HLE: u8 = 0x04;
/// The station sends CM_ATTEN_CHAR.IND to the vehicle (ISO 15118-3 table A.2).
const RESP_TYPE: u8 = 0x01;
/// CM_VALIDATE.CNF: validation is not required.
const VALIDATION_NOT_REQUIRED: u8 = 0x04;

/// What makes the modem, and thereby which of its own messages it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModemKind {
    /// Qualcomm QCA7000, QCA7005.
    Qca7000,
    /// Lumissil CG5317, IS32CG5317.
    Cg5317,
    /// Any other HomePlug Green PHY modem. Whether its link is up is not asked: it is taken to be
    /// from the match on.
    Generic,
}

impl ModemKind {
    /// Maker and model.
    #[must_use]
    pub const fn maker_and_model(self) -> (&'static str, &'static str) {
        match self {
            Self::Qca7000 => ("Qualcomm", "QCA7000"),
            Self::Cg5317 => ("Lumissil", "CG5317"),
            Self::Generic => ("", "HomePlug Green PHY modem"),
        }
    }

    /// Whether it can be asked for its link.
    #[must_use]
    pub const fn tells_link(self) -> bool {
        match self {
            Self::Qca7000 | Self::Cg5317 => true,
            Self::Generic => false,
        }
    }
}

/// A frame that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Who sent it, by the Ethernet header.
    pub source: Mac,
    /// What it says.
    pub message: Message,
}

/// What a frame says, as far as it concerns a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// CM_SET_KEY.CNF.
    KeySet {
        /// The nonce of the request that it answers.
        nonce: u32,
        /// 0 by the standard; QCA7000 says 1 when it took the key.
        result: u8,
    },
    /// The modem's own answer on its link.
    LinkStatus {
        /// It is in a network with another station.
        up: bool,
    },
    /// CM_ATTEN_PROFILE.IND of the local modem: it heard a sound.
    Profile {
        /// Whose.
        vehicle: Mac,
        /// How weak.
        groups: Groups,
    },
    /// CM_SLAC_PARM.REQ.
    ParmReq(RunId),
    /// CM_START_ATTEN_CHAR.IND.
    StartAttenChar {
        /// The run.
        run: RunId,
        /// How many sounds follow.
        sounds: u8,
    },
    /// CM_MNBC_SOUND.IND.
    Sound {
        /// The run.
        run: RunId,
        /// What the vehicle calls itself.
        sender: StationId,
    },
    /// CM_ATTEN_CHAR.RSP.
    AttenCharRsp {
        /// The run.
        run: RunId,
        /// 0: the report was taken.
        result: u8,
    },
    /// CM_SLAC_MATCH.REQ: the vehicle chose a station.
    MatchReq(MatchReq),
    /// CM_VALIDATE.REQ.
    ValidateReq,
}

/// CM_SLAC_MATCH.REQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchReq(SlacMatchReq);

impl MatchReq {
    /// The run.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.0.run_id
    }

    /// The station that was chosen.
    #[must_use]
    pub const fn station(&self) -> Mac {
        self.0.evse_mac
    }
}

/// Attenuation of each group of carriers, in dB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    count: usize,
    db: [u8; AAG_LEN],
}

impl Groups {
    /// From one value for each group; at most 58.
    #[must_use]
    pub fn new(values: &[u8]) -> Self {
        let mut db = [0; AAG_LEN];
        let count = values.len().min(AAG_LEN);
        db[..count].copy_from_slice(&values[..count]);
        Self { count, db }
    }

    /// One value for each group.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.db[..self.count]
    }
}

/// Why a frame is of no use. Ordinary on a shared medium: counted, not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No management message, or one that is cut or has values outside of ISO 15118-3.
    #[error("{0}")]
    Malformed(SlacError),
    /// A message that does not concern a station.
    #[error("message type {0:#06x}")]
    Foreign(u16),
}

impl From<SlacError> for Unusable {
    fn from(error: SlacError) -> Self {
        Self::Malformed(error)
    }
}

/// VS_LINK_STATUS of Qualcomm, NSCM_GET_D_LINK_STATUS of Lumissil: the request, and one more
/// for the confirmation.
const QUALCOMM_LINK_STATUS: u16 = 0xa0b8;
const LUMISSIL_LINK_STATUS: u16 = 0xac9c;
const QUALCOMM: [u8; 3] = [0x00, 0xb0, 0x52];
const LUMISSIL: [u8; 3] = [0x00, 0x16, 0xe8];
/// Lumissil's header after the maker's code: version, reserved, request, reserved.
const LUMISSIL_HEADER: usize = 19;
const LINKED: u8 = 0x01;

/// Reads one Ethernet frame.
///
/// # Errors
/// See [`Unusable`].
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever a station does not take is foreign")]
pub fn parse(frame: &[u8]) -> Result<Received, Unusable> {
    let frame = parse_frame(frame)?;
    let payload = frame.payload;
    let message = match frame.mmtype {
        Mmtype::SetKeyCnf => {
            let cnf = SetKeyCnf::decode(payload)?;
            Message::KeySet { nonce: cnf.your_nonce, result: cnf.result }
        }
        Mmtype::SlacParmReq => Message::ParmReq(SlacParmReq::decode(payload)?.run_id),
        Mmtype::StartAttenCharInd => {
            let ind = StartAttenCharInd::decode(payload)?;
            Message::StartAttenChar { run: ind.run_id, sounds: ind.num_sounds }
        }
        Mmtype::MnbcSoundInd => {
            let ind = MnbcSoundInd::decode(payload)?;
            Message::Sound { run: ind.run_id, sender: ind.sender_id }
        }
        Mmtype::AttenProfileInd => {
            let ind = AttenProfileInd::decode(payload)?;
            Message::Profile { vehicle: ind.pev_mac, groups: Groups::new(ind.profile.groups()) }
        }
        Mmtype::AttenCharRsp => {
            let rsp = AttenCharRsp::decode(payload)?;
            Message::AttenCharRsp { run: rsp.run_id, result: rsp.result }
        }
        Mmtype::SlacMatchReq => Message::MatchReq(MatchReq(SlacMatchReq::decode(payload)?)),
        Mmtype::ValidateReq => {
            ValidateReq::decode(payload)?;
            Message::ValidateReq
        }
        other => link_status(other.as_u16(), payload)?,
    };
    Ok(Received { source: frame.source, message })
}

fn link_status(mmtype: u16, payload: &[u8]) -> Result<Message, Unusable> {
    let (maker, offset) = match mmtype.wrapping_sub(1) {
        QUALCOMM_LINK_STATUS => (QUALCOMM, 4),
        LUMISSIL_LINK_STATUS => (LUMISSIL, 3 + LUMISSIL_HEADER),
        _ => return Err(Unusable::Foreign(mmtype)),
    };
    if !payload.starts_with(&maker) {
        return Err(Unusable::Foreign(mmtype));
    }
    let status = payload.get(offset).ok_or(SlacError::Truncated)?;
    Ok(Message::LinkStatus { up: *status == LINKED })
}

/// Writes the station's frames; the station's address is in all of them.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// The station's address: that of the host's interface.
    pub station: Mac,
}

impl Writer {
    /// CM_SET_KEY.REQ to the local modem.
    #[must_use]
    pub fn set_key(&self, nmk: Nmk, nid: Nid, nonce: u32) -> Vec<u8> {
        let request = SetKeyReq {
            key_type: KEY_TYPE_NMK,
            my_nonce: nonce,
            your_nonce: 0,
            pid: PID_HLE,
            prn: 0,
            pmn: 0,
            cco_capability: 0,
            nid,
            new_eks: KEY_TYPE_NMK,
            new_key: nmk,
        };
        self.frame(LOCAL_MODEM, Mmtype::SetKeyReq, |out| request.encode(out))
    }

    /// Asks the local modem for its link; `None`: this kind cannot be asked.
    #[must_use]
    pub fn ask_link(&self, kind: ModemKind) -> Option<Vec<u8>> {
        let (mmv, mmtype, maker, length) = match kind {
            ModemKind::Qca7000 => (Mmv::Av1_0, QUALCOMM_LINK_STATUS, QUALCOMM, 3),
            ModemKind::Cg5317 => (Mmv::Av1_1, LUMISSIL_LINK_STATUS, LUMISSIL, 3 + LUMISSIL_HEADER),
            ModemKind::Generic => return None,
        };
        let mut payload = [0; 3 + LUMISSIL_HEADER];
        payload[..3].copy_from_slice(&maker);
        Some(write(LOCAL_MODEM, self.station, mmv, Mmtype::Other(mmtype), &payload[..length]))
    }

    /// CM_SLAC_PARM.CNF, each field as in ISO 15118-3 table A.2.
    #[must_use]
    pub fn parm_cnf(&self, vehicle: Mac, run: RunId) -> Vec<u8> {
        let cnf = SlacParmCnf {
            m_sound_target: BROADCAST,
            num_sounds: SOUNDS,
            timeout: u8::try_from(SOUNDING.as_millis() / 100).unwrap_or(u8::MAX),
            resp_type: RESP_TYPE,
            forwarding_sta: vehicle,
            run_id: run,
        };
        self.frame(vehicle, Mmtype::SlacParmCnf, |out| cnf.encode(out))
    }

    /// CM_ATTEN_CHAR.IND.
    #[must_use]
    pub fn atten_char_ind(
        &self,
        vehicle: Mac,
        run: RunId,
        sender: StationId,
        sounds: u8,
        groups: &Groups,
    ) -> Vec<u8> {
        let ind = AttenCharInd {
            source_address: vehicle,
            run_id: run,
            source_id: sender,
            resp_id: StationId::default(),
            num_sounds: sounds,
            profile: AttenProfile {
                num_groups: u8::try_from(groups.count).unwrap_or(u8::MAX),
                aag: groups.db,
            },
        };
        self.frame(vehicle, Mmtype::AttenCharInd, |out| ind.encode(out))
    }

    /// CM_SLAC_MATCH.CNF: hands the key over.
    #[must_use]
    pub fn match_cnf(&self, vehicle: Mac, request: &MatchReq, nmk: Nmk, nid: Nid) -> Vec<u8> {
        let MatchReq(request) = request;
        let cnf = SlacMatchCnf {
            pev_id: request.pev_id,
            pev_mac: request.pev_mac,
            evse_id: request.evse_id,
            evse_mac: self.station,
            run_id: request.run_id,
            nid,
            nmk,
        };
        self.frame(vehicle, Mmtype::SlacMatchCnf, |out| cnf.encode(out))
    }

    /// CM_VALIDATE.CNF: the attenuation is enough, no toggling of the pilot is needed.
    #[must_use]
    pub fn validate_cnf(&self, vehicle: Mac) -> Vec<u8> {
        let cnf = ValidateCnf { signal_type: 0, toggle_num: 0, result: VALIDATION_NOT_REQUIRED };
        self.frame(vehicle, Mmtype::ValidateCnf, |out| cnf.encode(out))
    }

    fn frame(
        &self,
        to: Mac,
        mmtype: Mmtype,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, SlacError>,
    ) -> Vec<u8> {
        let mut payload = [0; 128];
        let length =
            encode(&mut payload).expect("the longest message has 110 bytes, and groups are at most 58");
        write(to, self.station, Mmv::Av1_1, mmtype, &payload[..length])
    }
}

fn write(to: Mac, from: Mac, mmv: Mmv, mmtype: Mmtype, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 192];
    let length = write_frame(&mut frame, to, from, mmv, mmtype, payload).expect("headers take 19 bytes");
    frame.truncate(length);
    frame
}

/// An address as it is read aloud.
#[must_use]
pub fn spelled(mac: Mac) -> impl std::fmt::Display {
    std::fmt::from_fn(move |f| {
        let [a, b, c, d, e, g] = mac;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    })
}
