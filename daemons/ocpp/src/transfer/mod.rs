//! Carries what [`crate::files`] orders: the I/O of logs and firmware.

mod collect;
mod http;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use hyper::StatusCode;
use tracing::warn;
use url::Url;

use crate::connection::Proxy;
use crate::files::{Failure, Upload};
use crate::station::Station;

pub(crate) use collect::Snapshot;
use collect::Span;
use http::HttpError;

/// Where files are made, and whom file servers must be known by.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder of the uplink's state.
    pub(crate) folder: PathBuf,
    /// PEM file of the roots that a file server's certificate may lead to.
    pub(crate) roots: PathBuf,
    /// Through whom they are reached.
    pub(crate) proxy: Option<Proxy>,
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
