//! A request's body on its way in, and whether all of it is here once the request is answered: where it is not, the
//! connection ends with the answer, which must say so.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// A body that leaves behind what nobody read of it.
pub(crate) struct Arriving {
    body: Option<Incoming>,
    rest: Option<Left>,
}

/// What is left of a body, where there was one.
pub(crate) struct Rest(Option<Left>);

type Left = Arc<Mutex<Option<Incoming>>>;

impl Arriving {
    /// The body, and what will be left of it when it is dropped.
    pub(crate) fn of(body: Incoming) -> (Self, Rest) {
        let rest = (!body.is_end_stream()).then(Arc::default);
        (Self { body: Some(body), rest: rest.clone() }, Rest(rest))
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(rest) = &self.rest {
            *lock(rest) = self.body.take();
        }
    }
}

impl Rest {
    /// Whether all of the body was read.
    pub(crate) fn is_read(&self) -> bool {
        self.0.as_ref().is_none_or(|rest| lock(rest).as_ref().is_some_and(Body::is_end_stream))
    }

    /// Passes over the rest where it came along with its request; nobody waits for one that comes late. Whether nothing of it
    /// is to come any more.
    pub(crate) async fn pass_over(self) -> bool {
        let Some(rest) = self.0 else { return true };
        // Where somebody still reads it, its end is not known.
        let Some(mut body) = lock(&rest).take() else { return false };
        let (mut passed, mut turns) = (0, 0);
        while !body.is_end_stream() {
            match body.frame().now_or_never() {
                Some(None) => return true,
                Some(Some(Ok(frame))) => passed += frame.data_ref().map_or(0, Bytes::len),
                Some(Some(Err(_))) => return false,
                // The connection gives out what it holds when it is its turn again.
                None if turns < TURNS => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
                None => return false,
            }
            if passed > MOST {
                return false;
            }
        }
        true
    }
}

/// Nothing panics while it is held.
fn lock(left: &Left) -> MutexGuard<'_, Option<Incoming>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As much of a rest is passed over.
const MOST: usize = 64 << 10;
const TURNS: u8 = 4;
