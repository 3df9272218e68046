//! The configuration, file by file, and a text that is tried in place of one of them.
//!
//! What is tried is checked as the files are: by every daemon that is installed, with `--check-config`, on a copy. It
//! is written only if nothing is wrong that was not wrong before, and only where this daemon's user may write: as
//! packaged it may not, and says so.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path as FilePath, PathBuf};

use axum::Extension;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use voltry_service::{Config, Problem, config_check};

use super::accounts::Role;
use super::page;
use super::routes::{LoggedIn, Shared};
use super::sessions::Session;

/// Bytes of a form with a file in it.
pub(super) const FORM_MAX: usize = 256 * 1024;
/// The vendor's files come with packages and are not edited.
const VENDOR: &str = "/usr/lib/voltry";

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    file: String,
    text: String,
    wrong: Vec<Problem>,
    /// What came of it.
    told: String,
    good: bool,
}

#[derive(Deserialize)]
pub(super) struct Try {
    key: String,
    file: String,
    text: String,
    /// `save`, or only checked.
    #[serde(default)]
    then: String,
}

pub(super) async fn show(who: LoggedIn, State(it): State<Shared>) -> Response {
    if let Some(refused) = who.lacks(Role::Configure) {
        return refused;
    }
    answer(&who, &it, &Tried::default(), StatusCode::OK)
}

pub(super) async fn attempt(
    who: LoggedIn,
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    Form(form): Form<Try>,
) -> Response {
    if let Some(refused) = who.may_not(Role::Configure, &form.key) {
        return refused;
    }
    let from = it.configuration.as_deref();
    let files = match Config::files(from) {
        Ok(files) => files,
        Err(error) => return (StatusCode::CONFLICT, error.to_string()).into_response(),
    };
    // Only what is read anyway can be written: a form names no other file.
    if !files.iter().any(|(file, _)| *file == form.file && is_ours(file)) {
        return (StatusCode::BAD_REQUEST, "there is no such file of configuration").into_response();
    }
    let text = form.text.replace("\r\n", "\n");
    let mut tried = Tried { file: form.file, text, ..Tried::default() };
    let Ok(_turn) = it.checking.try_acquire() else {
        return (StatusCode::CONFLICT, "another configuration is being checked").into_response();
    };
    match wrong_with(&files, &tried).await {
        Err(why) => tried.told = format!("It could not be checked: {why}"),
        Ok(wrong) if !wrong.is_empty() => (tried.wrong, tried.told) = (wrong, "It was not taken.".to_owned()),
        Ok(_) if form.then == "save" => {
            let saved = write(FilePath::new(&tried.file), &tried.text);
            tried.good = saved.is_ok();
            tried.told = match saved {
                Ok(()) => "Saved. Each daemon reads it when it starts next.".to_owned(),
                Err(error) => format!("Nothing is wrong with it, but this user may not write it: {error}"),
            };
            let what = format!("configuration {}: {}", tried.file, tried.told);
            it.audit.noted(&who.session.name, peer.ip(), what).await;
        }
        Ok(_) => (tried.good, tried.told) = (true, "Nothing is wrong with it. It was not saved.".to_owned()),
    }
    let status = if tried.good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    answer(&who, &it, &tried, status)
}

fn is_ours(file: &str) -> bool {
    !FilePath::new(file).starts_with(VENDOR)
}

/// What would be wrong, and is not wrong now, as with keys that only another daemon's user may read.
async fn wrong_with(files: &[(String, String)], tried: &Tried) -> Result<Vec<Problem>, String> {
    let folder = config_check::beside_us().map_err(|error| error.to_string())?;
    let now = check(files, &folder).await?;
    let then: Vec<_> = files
        .iter()
        .map(|(file, text)| (file.clone(), if *file == tried.file { &tried.text } else { text }.clone()))
        .collect();
    let mut wrong = check(&then, &folder).await?;
    wrong.retain(|new| !now.iter().any(|old| (&old.file, &old.message) == (&new.file, &new.message)));
    Ok(wrong)
}

/// Has these files checked, in a folder of their own; problems name them as they are.
async fn check(files: &[(String, String)], daemons: &FilePath) -> Result<Vec<Problem>, String> {
    let copy = Trial::of(files).map_err(|error| format!("copying the configuration: {error}"))?;
    let mut found = config_check::check(Some(&copy.folder), daemons).await?.problems;
    for problem in &mut found {
        for (number, (file, _)) in files.iter().enumerate() {
            let copied = copy.file(number).display().to_string();
            problem.message = problem.message.replace(&copied, file);
            if problem.file.as_ref() == Some(&copied) {
                problem.file = Some(file.clone());
            }
        }
    }
    Ok(found)
}

/// The files in the order in which they count, as drop-ins of a folder that ends with this.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn of(files: &[(String, String)]) -> std::io::Result<Self> {
        let mut secret = [0; 8];
        getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
        let name = format!("voltry-ui-{:016x}", u64::from_le_bytes(secret));
        let copy = Self { folder: std::env::temp_dir().join(name) };
        // Whoever made one of this name before is no friend.
        std::fs::create_dir(&copy.folder)?;
        std::fs::create_dir(copy.folder.join("voltry.d"))?;
        for (number, (_, text)) in files.iter().enumerate() {
            std::fs::write(copy.file(number), text)?;
        }
        Ok(copy)
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.join("voltry.d").join(format!("{number:03}.toml"))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It is in a folder that goes with the daemon.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Of a file that nobody had before: every daemon reads it, as its own user.
const MODE: u32 = 0o644;

/// Whole, or not at all.
fn write(file: &FilePath, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("toml.new");
    std::fs::write(&beside, text)?;
    keep_readers(&beside, file)?;
    std::fs::File::open(&beside)?.sync_all()?;
    std::fs::rename(&beside, file)
}

/// Whoever may read what is replaced may read what replaces it, whatever this process's umask.
fn keep_readers(new: &FilePath, replaced: &FilePath) -> std::io::Result<()> {
    let Ok(about) = std::fs::metadata(replaced) else {
        return std::fs::set_permissions(new, Permissions::from_mode(MODE));
    };
    let mode = about.mode() & 0o777;
    let group = std::os::unix::fs::chown(new, None, Some(about.gid()));
    // A group that is not ours cannot be given: that matters where the file is for it and not for all.
    if mode & 0o044 == 0o040 {
        group?;
    }
    std::fs::set_permissions(new, Permissions::from_mode(mode))
}

fn answer(who: &LoggedIn, it: &Shared, tried: &Tried, status: StatusCode) -> Response {
    let middle = match Config::files(it.configuration.as_deref()) {
        Ok(files) => all(&who.session, &files, tried),
        Err(error) => page::message("Configuration", &error.to_string()),
    };
    let whole = page::document(&who.session, "/configuration", "Configuration", &middle, false);
    (status, Html(whole.into_string())).into_response()
}

fn all(session: &Session, files: &[(String, String)], tried: &Tried) -> Markup {
    html! {
        h1 { "Configuration" }
        p { "The files in the order in which they are read: of a key that several have, the last one counts." }
        @if files.is_empty() { p { "There is none." } }
        @for (number, (file, text)) in files.iter().enumerate() {
            section.evse.bad[tried.file == *file && !tried.good] data-file=(file) {
                h2 { (file) }
                @if tried.file == *file { (outcome(tried)) }
                @if is_ours(file) { (editor(session, number, file, if tried.file == *file { &tried.text } else { text })) }
                @else { (numbered(text, &[])) }
            }
        }
    }
}

/// What is wrong, each with its line, and the lines themselves.
fn outcome(tried: &Tried) -> Markup {
    let own = |problem: &&Problem| problem.file.as_ref() == Some(&tried.file);
    let lines: Vec<usize> = tried.wrong.iter().filter(own).filter_map(|problem| problem.line).collect();
    html! {
        div.banner.offline[tried.good] role="alert" {
            p { (tried.told) }
            @if !tried.wrong.is_empty() {
                ul {
                    @for problem in &tried.wrong {
                        li {
                            @match (&problem.file, problem.line) {
                                (Some(file), Some(line)) if *file == tried.file => { "line " (line) ": " }
                                (Some(file), Some(line)) => { (file) ":" (line) ": " }
                                (Some(file), None) => { (file) ": " }
                                (None, _) => {}
                            }
                            (problem.message)
                        }
                    }
                }
            }
        }
        @if !lines.is_empty() { (numbered(&tried.text, &lines)) }
    }
}

fn editor(session: &Session, number: usize, file: &str, text: &str) -> Markup {
    let rows = text.lines().count().clamp(4, 40);
    html! {
        form.configuration method="post" action="/configuration" {
            (page::key(session))
            input type="hidden" name="file" value=(file);
            // The first line end after the tag is not part of the text.
            textarea id=(format!("file-{number}")) name="text" rows=(rows) spellcheck="false" aria-label=(file) { "\n" (text) }
            div.actions {
                button type="submit" name="then" value="check" { "Check" }
                button type="submit" name="then" value="save" { "Check and save" }
            }
        }
    }
}

/// Each line with its number; the bad ones marked.
fn numbered(text: &str, bad: &[usize]) -> Markup {
    html! {
        ol.lines tabindex="0" aria-label="The lines of the file" {
            @for (number, line) in (1..).zip(text.lines()) {
                li.wrong[bad.contains(&number)] { @if bad.contains(&number) { strong { (line) } } @else { (line) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_read_a_file_may_still_when_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |file: &FilePath| std::fs::metadata(file).unwrap().mode() & 0o7777;
        for before in [0o600, 0o640, 0o644, 0o664] {
            let file = folder.path().join(format!("{before:o}.toml"));
            std::fs::write(&file, "old").unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
            write(&file, "new").unwrap();
            assert_eq!((mode(&file), std::fs::read_to_string(&file).unwrap()), (before, "new".to_owned()));
        }
        let new = folder.path().join("new.toml");
        write(&new, "new").unwrap();
        assert_eq!(mode(&new), 0o644);
    }
}
