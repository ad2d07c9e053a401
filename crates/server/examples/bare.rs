//! The least that a server of this kind can do, for `make bench` to compare with: axum takes every request whole and
//! answers it with the same body, without looking at it. Prints the address it listens on.
//!
//! Usage: `bare BODY_BYTES`

use std::error::Error;
use std::io::Write;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let size: usize = std::env::args().nth(1).ok_or("usage: bare BODY_BYTES")?.parse()?;
    let body = Bytes::from(vec![b'x'; size]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    // As Coffer does: an answer goes out at once.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let app = Router::new().fallback(async move |_: Bytes| ([(CONTENT_TYPE, "application/json")], body.clone()));
    axum::serve(listener, app).await?;
    Ok(())
}
