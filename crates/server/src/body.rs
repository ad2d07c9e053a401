//! Request bodies: read into memory that is wiped, within a limit for each and a budget for all.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::HeaderMap};
use coffer_api::Code;
use coffer_core::Error;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// What bounds bodies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bodies {
    limit: usize,
    within: Duration,
    /// Memory for large bodies, in [`UNIT`]s; a body takes all it may need at once, so two never wait for each other.
    budget: Arc<Semaphore>,
}

/// A body that was read, with its share of the budget.
pub(crate) struct Read {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Held as long as the bytes are.
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// `limit` bounds each body, in bytes, and `within` the time until it is here, its wait for memory included: who
    /// sends nothing more holds neither memory nor a place for longer.
    pub(crate) fn new(limit: usize, within: Duration) -> Self {
        Self { limit, within, budget: Arc::new(Semaphore::new(BUDGET / UNIT)) }
    }

    /// Reads a body from a caller who is known.
    ///
    /// # Errors
    /// [`Code::TooLarge`] beyond the limit, [`Code::Invalid`] where the client stops half-way or is too slow.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Read, Error> {
        self.read_within(self.limit, headers, body).await
    }

    /// Reads a body of which the values alone may be as long as any other body: there is room for names and escapes besides.
    ///
    /// # Errors
    /// As [`Bodies::read`].
    pub(crate) async fn read_values(&self, headers: &HeaderMap, body: Body) -> Result<Read, Error> {
        self.read_within(self.limit.saturating_add(self.limit / 2), headers, body).await
    }

    /// Reads a small body from anybody.
    ///
    /// # Errors
    /// As [`Bodies::read`].
    pub(crate) async fn read_small(&self, headers: &HeaderMap, body: Body) -> Result<Read, Error> {
        self.read_within(SMALL.min(self.limit), headers, body).await
    }

    async fn read_within(&self, limit: usize, headers: &HeaderMap, body: Body) -> Result<Read, Error> {
        let read = tokio::time::timeout(self.within, self.read_all(limit, headers, body)).await;
        read.unwrap_or_else(|_| {
            let within = self.within.as_secs();
            Err(Error::invalid(format!("the request's body was not here within {within} seconds")))
        })
    }

    async fn read_all(&self, limit: usize, headers: &HeaderMap, mut body: Body) -> Result<Read, Error> {
        let declared = declared_length(headers);
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let mut share = match declared {
            Some(length) if length > SMALL => self.share(length).await,
            Some(_) | None => None,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(declared.unwrap_or(0).min(SMALL)));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::invalid("the request's body ended early").caused_by(error))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > SMALL && share.is_none() {
                share = self.share(limit).await;
            }
            append(&mut bytes, &data);
        }
        Ok(Read { bytes, share })
    }

    async fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        // An error means a closed semaphore, and nobody closes it.
        self.budget.clone().acquire_many_owned(units).await.ok()
    }
}

/// Grows by doubling into fresh memory, and wipes what it leaves behind.
fn append(bytes: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    let needed = bytes.len() + data.len();
    if needed > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * bytes.capacity())));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Error {
    Error::new(Code::TooLarge, format!("the request's body is larger than {limit} bytes"))
}

/// Bodies up to this size are outside the budget; logins may not be larger.
const SMALL: usize = 64 << 10;
const UNIT: usize = 4 << 10;
/// Must hold at least one body of the largest size that can be configured.
const BUDGET: usize = 128 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::StreamBody;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(90);

    fn chunked(chunks: usize, size: usize) -> Body {
        let frame = move |_| Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(Bytes::from(vec![7; size])));
        Body::new(StreamBody::new(futures_util::stream::iter((0..chunks).map(frame))))
    }

    fn length(n: usize) -> HeaderMap {
        [(axum::http::header::CONTENT_LENGTH, n.into())].into_iter().collect()
    }

    #[tokio::test]
    async fn body_at_the_limit_is_read_and_beyond_it_refused() {
        let bodies = Bodies::new(100_000, WITHIN);
        assert_eq!(bodies.read(&HeaderMap::new(), chunked(10, 10_000)).await.unwrap().bytes.len(), 100_000);
        for (headers, body) in [
            (HeaderMap::new(), chunked(11, 10_000)),
            (length(100_001), Body::empty()),
            (length(0), chunked(11, 10_000)),
        ] {
            assert_eq!(bodies.read(&headers, body).await.err().unwrap().code(), Code::TooLarge);
        }
    }

    #[tokio::test]
    async fn body_of_anybody_is_small() {
        let bodies = Bodies::new(1 << 20, WITHIN);
        assert!(bodies.read_small(&HeaderMap::new(), chunked(1, SMALL)).await.is_ok());
        assert!(bodies.read_small(&HeaderMap::new(), chunked(1, SMALL + 1)).await.is_err());
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget() {
        let bodies = Bodies::new(32 << 20, WITHIN);
        let held: Vec<_> = [
            bodies.read(&length(32 << 20), Body::empty()).await,
            bodies.read(&HeaderMap::new(), chunked(2, SMALL)).await,
        ]
        .into_iter()
        .map(Result::unwrap)
        .collect();
        assert_eq!(bodies.budget.available_permits(), (64 << 20) / UNIT);
        assert!(held.iter().all(|read| read.share.is_some()));
        drop(held);
        assert_eq!(bodies.budget.available_permits(), BUDGET / UNIT);
    }

    #[tokio::test]
    async fn body_that_does_not_come_gives_its_memory_back() {
        let bodies = Bodies::new(32 << 20, Duration::from_millis(50));
        let stalled = || {
            let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(
                Bytes::from(vec![7; SMALL + 1]),
            ))]);
            Body::new(StreamBody::new(futures_util::StreamExt::chain(first, futures_util::stream::pending())))
        };
        let headers = HeaderMap::new();
        // One more than there is memory for.
        let reads = [0; 5].map(|_| bodies.read(&headers, stalled()));
        for read in futures_util::future::join_all(reads).await {
            assert_eq!(read.err().unwrap().code(), Code::Invalid);
        }
        assert_eq!(bodies.budget.available_permits(), BUDGET / UNIT);
    }
}
