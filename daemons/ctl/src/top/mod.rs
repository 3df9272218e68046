//! `voltryctl top`: the whole station in a terminal.
//!
//! [`sources`] asks, each part for itself, so that one daemon that hangs or is away takes nothing else along;
//! [`picture`] is what is known, and [`draw`] lays it out: both are pure. Only what changed since the last frame goes
//! to the terminal, and no frame comes sooner than it was asked for.

mod draw;
mod keys;
mod picture;
mod sources;

use std::io::IsTerminal as _;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use zbus::Connection;

use crate::outcome::{Failure, Outcome};
use draw::Colours;
use picture::Picture;
use sources::Sources;

/// As wide as a page of paper: what is printed once is meant for a mail or a file.
const PRINTED_WIDTH: u16 = 100;
/// For the first answers; what has not come by then is shown as away.
const FIRST: Duration = Duration::from_secs(6);

/// Shows the station until somebody ends it, drawn anew each so many milliseconds; where standard output is no
/// terminal, once.
pub(crate) async fn run(
    connection: &Connection,
    every_ms: u64,
    plain: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    if json {
        return Err(Failure::Refused("top is for people; scripts ask `voltryctl --json status`".to_owned()));
    }
    let every = Duration::from_millis(every_ms);
    let (sources, asking) = Sources::follow(connection, every);
    tokio::select! {
        () = asking => Ok(Outcome::Done),
        outcome = show_or_print(&sources, every, plain) => outcome,
    }
}

async fn show_or_print(sources: &Sources, every: Duration, plain: bool) -> Result<Outcome, Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let _ = tokio::time::timeout(FIRST, sources.all_asked()).await;
        print!("{}", printed(&sources.picture()));
        return Ok(Outcome::Done);
    }
    let colours = if plain || std::env::var_os("NO_COLOR").is_some() { Colours::None } else { Colours::Some };
    // Leaves the terminal as it was, also when this program panics.
    let mut terminal = ratatui::try_init().map_err(|error| Failure::Other(error.to_string()))?;
    let shown = show(&mut terminal, sources, every, colours).await;
    ratatui::restore();
    shown.map(|()| Outcome::Done).map_err(|error| Failure::Other(error.to_string()))
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    sources: &Sources,
    every: Duration,
    colours: Colours,
) -> std::io::Result<()> {
    let mut keys = keys::listen();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut frames = tokio::time::interval(every);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first frame has something to show.
    let _ = tokio::time::timeout(every, sources.all_asked()).await;
    loop {
        tokio::select! {
            _ = frames.tick() => {
                let picture = sources.picture();
                terminal.draw(|frame| draw::draw(frame, &picture, colours))?;
            }
            Some(key) = keys.recv() => match key {
                keys::Key::Quit => return Ok(()),
                // The line was garbled, or another program wrote to it.
                keys::Key::Redraw => terminal.clear()?,
            },
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
        }
    }
}

/// One frame as lines of text, as high as it has to be.
fn printed(picture: &Picture) -> String {
    let height = draw::height(picture);
    let mut terminal = Terminal::new(TestBackend::new(PRINTED_WIDTH, height)).expect("memory has no errors");
    let drawn = terminal.draw(|frame| draw::draw(frame, picture, Colours::None));
    let buffer = drawn.expect("memory has no errors").buffer;
    let width = usize::from(PRINTED_WIDTH);
    buffer
        .content()
        .chunks(width)
        .map(|row| {
            row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned() + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests;
