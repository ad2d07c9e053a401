//! `backup`: the whole store and its log in one stream, encrypted to the caller's recipient.

use std::{
    io::{self, Write},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
    routing,
};
use bytes::Bytes;
use coffer_api::{Problem, backup::BackupCreate};
use coffer_core::{
    Error,
    backup::{
        Packer,
        create::{Backup, BackupWanted, GivenUp, SealKeyPart},
    },
};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::{runtime::Handle, sync::mpsc};

use super::call::{Call, Json, NoQuery};
use crate::{app::App, error};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/backup", routing::post(backup_create))
}

/// A backup of the whole store at one revision, with the log, encrypted to the recipient: docs/CRYPTO.md has the layout. It
/// is whole only where its manifest, which comes last, fits what was before it: an error in the middle ends the stream, and is told
/// there where it can be.
#[utoipa::path(post, path = "/api/v1/backup", tag = "backup", operation_id = "backup_create",
    request_body = BackupCreate, security(("token" = [])),
    responses((status = 200, body = String, content_type = "application/octet-stream"),
        (status = "default", body = Problem)))]
pub(super) async fn backup_create(State(app): State<App>, call: Call<(), NoQuery, Json<BackupCreate>>) -> Response {
    let Call { caller, reply, body: Json(body), .. } = call;
    let seal_key = if body.with_seal_key { SealKeyPart::Enclosed } else { SealKeyPart::LeftOut };
    let begun = app.core().backup(&caller, &BackupWanted { recipient: body.recipient, seal_key }).await;
    caller.finish().await;
    match begun {
        Ok(backup) => streamed(backup),
        Err(error) => reply.error(&error),
    }
}

fn streamed(backup: Backup) -> Response {
    let (sender, receiver) = mpsc::channel(WAITING);
    // It waits for the store and for the client, and may not keep the runtime's threads meanwhile.
    tokio::task::spawn_blocking(move || {
        if let Err(Untold(error)) = run(backup, &sender) {
            tracing::warn!(cause = ?error, "a backup was cut off");
            // The client sees the connection end, and no manifest.
            let cut = io::Error::other("the backup came to no good end; the server's log says why");
            let _ = Handle::current().block_on(sender.send_timeout(Err(cut), PATIENCE));
        }
    });
    let frames = futures_util::stream::unfold(receiver, async |mut receiver| {
        let next: Option<io::Result<Bytes>> = receiver.recv().await;
        next.map(|bytes| (bytes.map(Frame::data), receiver))
    });
    let mut response = error::respond(error::success(error::Success::Body), OCTETS, Bytes::new());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::new(StreamBody::new(frames));
    response
}

/// What went wrong, and the client was not told.
struct Untold(Error);

fn run(backup: Backup, sender: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), Untold> {
    let internal = |error: io::Error| Untold(Error::internal(error));
    let pieces = Pieces { sender, waiting: Vec::with_capacity(PIECE), given_up: backup.given_up() };
    let mut packer = Packer::new(pieces).map_err(internal)?;
    let Err(error) = backup.run(&mut packer) else { return packer.finish().map(drop).map_err(internal) };
    match packer.give_up(error.public()) {
        Ok(_) => {
            tracing::warn!(cause = ?error, "a backup was given up");
            Ok(())
        }
        Err(_) => Err(Untold(error)),
    }
}

/// Sends what is written in pieces; a client that does not read keeps the backup waiting, for a while.
struct Pieces<'a> {
    sender: &'a mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
    given_up: GivenUp,
}

impl Pieces<'_> {
    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE));
        let (sender, given_up) = (self.sender, &mut self.given_up);
        Handle::current().block_on(async {
            tokio::select! {
                sent = sender.send_timeout(Ok(piece.into()), PATIENCE) => {
                    sent.map_err(|_| io::Error::other("the client went away, or did not read for a minute"))
                }
                // Keys stay in memory for nobody's sake.
                () = given_up.wait() => Err(io::Error::other("the node stopped being active")),
            }
        })
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (some, _) = bytes.split_at(bytes.len().min(PIECE - self.waiting.len()));
        self.waiting.extend_from_slice(some);
        if self.waiting.len() == PIECE {
            self.send()?;
        }
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Bytes of a piece, and how many of them wait for the client at most.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;
/// How long the client may leave the backup waiting.
const PATIENCE: Duration = Duration::from_secs(60);
