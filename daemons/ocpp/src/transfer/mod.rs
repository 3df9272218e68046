//! Carries what [`crate::files`] orders: the I/O of logs and firmware.

mod collect;
mod http;
mod install;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

use hyper::StatusCode;
use tracing::warn;
use url::Url;

use crate::connection::Proxy;
use crate::files::{Failure, Order, Progress, Upload};
use crate::station::Station;
use crate::uplink::Outcome;

pub(crate) use collect::Snapshot;
use collect::Span;
use http::HttpError;
pub(crate) use install::Installer;
pub(crate) use verify::MakerRoots;

/// Where files are made, and whom file servers must be known by.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder of the uplink's state.
    pub(crate) folder: PathBuf,
    /// PEM file of the roots that a file server's certificate may lead to.
    pub(crate) roots: PathBuf,
    /// The roots of whoever makes the firmware.
    pub(crate) maker: MakerRoots,
    /// Through whom file servers are reached.
    pub(crate) proxy: Option<Proxy>,
}

/// The largest firmware, bytes.
const FIRMWARE_MAX: u64 = 4 << 30;

impl Place {
    /// What was downloaded.
    pub(crate) fn firmware(&self) -> PathBuf {
        self.folder.join("firmware.bundle")
    }
}

/// Whether a firmware could be installed that is signed by this certificate (PEM), at this time,
/// microseconds of Unix time.
pub(crate) async fn check_update(
    place: Place,
    installer: Installer,
    certificate: Option<String>,
    at: i64,
) -> Outcome {
    if installer.version().await.is_none() {
        return Outcome::NotSupported;
    }
    let Some(certificate) = certificate else { return Outcome::Done };
    let checked =
        tokio::task::spawn_blocking(move || verify::check_signer(&certificate, &place.maker, at)).await;
    match checked {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(why)) => Outcome::Refused(why),
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

/// Does what is ordered for a firmware.
pub(crate) async fn update(place: Place, installer: Installer, order: Order) -> Option<(u64, Progress)> {
    match order {
        Order::Download { number, url } => Some((number, Progress::Downloaded(download(&place, &url).await))),
        Order::Verify { number, signature } => {
            let file = place.firmware();
            let checked = tokio::task::spawn_blocking(move || {
                verify::check_file(&file, &signature.certificate, &signature.signature)
            });
            let verified = checked.await.map_err(|error| error.to_string()).and_then(|checked| checked);
            let verified = verified.map_err(|why| warn!(why, "the firmware is not its signer's"));
            if verified.is_err() {
                remove(&place.firmware()).await;
            }
            Some((number, Progress::Verified(verified)))
        }
        Order::Install { number } => {
            let version = installer.version().await.unwrap_or_default();
            let outcome = installer.install(&place.firmware()).await;
            remove(&place.firmware()).await;
            Some((number, Progress::Installed { outcome, version }))
        }
        Order::AskVersion { number } => Some((number, Progress::Runs(installer.runs().await))),
        Order::Restart => {
            installer.restart().await;
            None
        }
        Order::Upload { .. } => None,
    }
}

async fn download(place: &Place, url: &str) -> Result<(), ()> {
    let file = place.firmware();
    let downloaded = match Url::parse(url) {
        Ok(url) => http::download(&url, place, &file, FIRMWARE_MAX).await.map_err(TransferError::from),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = downloaded {
        warn!(%error, "the firmware is not downloaded");
        remove(&file).await;
        return Err(());
    }
    Ok(())
}

async fn remove(file: &Path) {
    // It may not be there.
    let _ = tokio::fs::remove_file(file).await;
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error("no URL: {0}")]
    Url(#[from] url::ParseError),
    #[error("collecting it: {0}")]
    Collect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] HttpError),
}

/// Collects a log and uploads it.
///
/// # Errors
/// Why it is not there, in OCPP's distinctions; the journal has the words.
pub(crate) async fn upload(
    place: Place,
    upload: Upload,
    snapshot: Snapshot,
    station: Option<Station>,
) -> Result<(), Failure> {
    let file = place.folder.join("log-upload.gz");
    let carried = carry(&place, &file, &upload, &snapshot, station.as_ref()).await;
    // It holds what a person may read, and the disk is small.
    let _ = tokio::fs::remove_file(&file).await;
    carried.map_err(|error| {
        warn!(%error, ?upload, "a log is not uploaded");
        failure(&error)
    })
}

async fn carry(
    place: &Place,
    file: &Path,
    upload: &Upload,
    snapshot: &Snapshot,
    station: Option<&Station>,
) -> Result<(), TransferError> {
    let url = Url::parse(&upload.url)?;
    let span = Span { oldest: upload.oldest, latest: upload.latest };
    collect::collect(file, upload.log, span, snapshot, station).await?;
    Ok(http::upload(&url, place, file, &upload.file).await?)
}

fn failure(error: &TransferError) -> Failure {
    match error {
        TransferError::Http(HttpError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
            Failure::PermissionDenied
        }
        TransferError::Http(HttpError::Status(StatusCode::BAD_REQUEST)) => Failure::BadMessage,
        TransferError::Http(HttpError::Status(
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED,
        )) => Failure::NotSupportedOperation,
        TransferError::Http(_) | TransferError::Url(_) | TransferError::Collect(_) => Failure::UploadFailure,
    }
}
