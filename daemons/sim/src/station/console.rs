//! Lines on standard input, for people and for foreign test suites. Each is answered by one line
//! that begins with `ok` or `error`.

use std::str::FromStr;

use super::Station;
use crate::electrical::MatrixWear;

/// What the lines are, for `--help` and for a wrong one.
pub const HELP: &str = "plug [N] | unplug [N] | load OHMS [N] | air CELSIUS [N] | others PHASE AMPERES | swipe TOKEN [N] | fault NAME [N] | clear NAME [N] | \
     status [N] | truth [N] | bus [N] | matrix | power-cut | kill DAEMON | quit";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A vehicle plugs in.
    Plug(u32),
    /// It is unplugged.
    Unplug(u32),
    /// A load bank of so many ohms is plugged in; of none, unplugged.
    Load(u32, u32),
    /// The air at an EVSE's modules has so many degrees.
    Air(u32, u32),
    /// Others at the grid connection take of this phase so many amperes.
    Others(u32, u32),
    /// A card is held to the reader; EVSE 0: the station finds out which is meant.
    Swipe(String, u32),
    /// Something breaks.
    Fault(String, u32),
    /// It is mended.
    Clear(String, u32),
    /// What the EVSE says, and what is true.
    Status(u32),
    /// What is true, whatever the bus does.
    Truth(u32),
    /// What the bus of the EVSE's modules has carried.
    Bus(u32),
    /// What is true of the matrix, where EVSEs share modules.
    Matrix,
    /// Mains are lost and come back.
    PowerCut,
    /// A daemon crashes.
    Kill(String),
    /// The end.
    Quit,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let mut name = || words.next().map(str::to_owned).ok_or_else(|| format!("{verb} what? {HELP}"));
        let line = match verb {
            "plug" => Self::Plug(number(words.next(), 1)?),
            "unplug" => Self::Unplug(number(words.next(), 1)?),
            "load" => Self::Load(number(words.next(), 0)?, number(words.next(), 1)?),
            "air" => Self::Air(number(words.next(), 25)?, number(words.next(), 1)?),
            "others" => Self::Others(number(words.next(), 1)?, number(words.next(), 0)?),
            "swipe" => Self::Swipe(name()?, number(words.next(), 0)?),
            "fault" => Self::Fault(name()?, number(words.next(), 1)?),
            "clear" => Self::Clear(name()?, number(words.next(), 1)?),
            "status" => Self::Status(number(words.next(), 1)?),
            "truth" => Self::Truth(number(words.next(), 1)?),
            "bus" => Self::Bus(number(words.next(), 1)?),
            "kill" => Self::Kill(name()?),
            "matrix" => Self::Matrix,
            "power-cut" => Self::PowerCut,
            "quit" => Self::Quit,
            other => return Err(format!("{other:?} is no command: {HELP}")),
        };
        match words.next() {
            Some(extra) => Err(format!("{extra:?} is too much: {HELP}")),
            None => Ok(line),
        }
    }
}

fn number(word: Option<&str>, default: u32) -> Result<u32, String> {
    word.map_or(Ok(default), |word| word.parse().map_err(|_| format!("{word:?} is no EVSE's number")))
}

impl Station {
    /// Does what a line says; the answer is for standard output. [`Line::Quit`] is the caller's.
    pub async fn obey(&mut self, line: Line) -> String {
        let result = match line {
            Line::Plug(evse) => self.control.plug(evse).map_err(text).map(|()| format!("plugged {evse}")),
            Line::Unplug(evse) => {
                self.control.unplug(evse).map_err(text).map(|()| format!("unplugged {evse}"))
            }
            Line::Load(ohms, evse) => {
                let loaded = self.control.load(f64::from(ohms), evse);
                loaded.map_err(text).map(|()| format!("{ohms} ohms at {evse}"))
            }
            Line::Air(celsius, evse) => {
                self.control.air(celsius, evse).map_err(text).map(|()| format!("{celsius} degrees at {evse}"))
            }
            Line::Others(phase, amps) => {
                self.control.others(phase, amps).map_err(text).map(|()| format!("{amps} A of phase {phase}"))
            }
            Line::Swipe(token, evse) => self.control.swipe(&token, evse).await.map_err(text),
            Line::Fault(name, evse) => {
                self.control.inject(&name, evse).map_err(text).map(|()| format!("{name} {evse}"))
            }
            Line::Clear(name, evse) => {
                self.control.clear(&name, evse).map_err(text).map(|()| format!("cleared {name} {evse}"))
            }
            Line::Status(evse) => self.describe(evse).await,
            Line::Truth(evse) => self.true_of(evse),
            Line::Bus(evse) => self.carried(evse),
            Line::Matrix => self.true_of_matrix(),
            Line::PowerCut => self
                .power_cut()
                .await
                .map(|()| "power is back".to_owned())
                .map_err(|error| format!("{error:#}")),
            Line::Kill(name) => {
                self.kill(&name).map(|()| format!("killed {name}")).map_err(|error| error.to_string())
            }
            Line::Quit => Ok("bye".to_owned()),
        };
        match result {
            Ok(words) => format!("ok {words}"),
            Err(words) => format!("error {}", words.replace('\n', "; ")),
        }
    }

    /// For whoever kills the bus.
    fn true_of(&self, evse: u32) -> Result<String, String> {
        let truth = self.control.truth(evse).map_err(text)?;
        let closed = u8::from(truth.contactors_closed);
        Ok(format!("{} {closed} {}", truth.current, truth.register))
    }

    /// Frames, bits and microseconds since the bus was plugged in.
    fn carried(&self, evse: u32) -> Result<String, String> {
        let load = self.control.place(evse).map_err(text)?.bus.now();
        Ok(format!("{} {} {}", load.frames, load.bits, load.time.as_micros()))
    }

    /// Volts that a contactor closed across at the most, openings under load, EVSEs joined; then how many
    /// modules feed each EVSE.
    fn true_of_matrix(&self) -> Result<String, String> {
        let (wear, feeding) = self.control.matrix().map_err(text)?;
        let feeding: Vec<String> = feeding.iter().map(ToString::to_string).collect();
        let MatrixWear { closed_across_v, opened_under_load, joined } = wear;
        Ok(format!("{closed_across_v:.1} {opened_under_load} {joined} {}", feeding.join(" ")))
    }

    async fn describe(&self, evse: u32) -> Result<String, String> {
        let truth = self.control.truth(evse).map_err(text)?;
        let state = self.evse_state(evse).await.map_or("absent", voltry_bus::EvseState::as_str);
        Ok(format!(
            "state={state} pilot={} voltage={:.1} current={:.1} contactors={} soc={:.1} register={:.0}",
            truth.pilot,
            truth.cable_voltage,
            truth.current,
            if truth.contactors_closed { "closed" } else { "open" },
            truth.soc,
            truth.register,
        ))
    }
}

// Taken by value so that it can stand in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn text(error: voltry_bus::Error) -> String {
    let full = error.to_string();
    // The prefix is for programs.
    full.strip_prefix("org.voltry.Error.").map_or(full.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_with_and_without_an_evse() {
        let parse = |text: &str| text.parse::<Line>().unwrap();
        assert_eq!(parse("plug 2"), Line::Plug(2));
        assert_eq!(parse("plug"), Line::Plug(1));
        assert_eq!(parse("swipe 04A1B2C3"), Line::Swipe("04A1B2C3".to_owned(), 0));
        assert_eq!(parse("  fault module-dead 1 "), Line::Fault("module-dead".to_owned(), 1));
        assert_eq!(parse("load 20 2"), Line::Load(20, 2));
        assert_eq!(parse("air 45 2"), Line::Air(45, 2));
        assert_eq!(parse("others 2 60"), Line::Others(2, 60));
        assert_eq!(parse("power-cut"), Line::PowerCut);
        assert_eq!(parse("truth 2"), Line::Truth(2));
        assert_eq!(parse("bus"), Line::Bus(1));
        assert_eq!(parse("kill evse-1"), Line::Kill("evse-1".to_owned()));
    }

    #[test]
    fn a_wrong_line_is_answered_with_what_is_right() {
        for text in ["", "plugg 1", "plug one", "plug 1 2", "swipe", "quit now"] {
            assert!(text.parse::<Line>().is_err(), "{text:?}");
        }
        assert!("dance".parse::<Line>().unwrap_err().contains("power-cut"));
    }
}
