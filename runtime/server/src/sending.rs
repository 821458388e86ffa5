//! The body of an answer that is large: it holds its photo's place until the client has it, so that answers which nobody reads are
//! bounded as photos are, and it must be read within a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::state::Place;

/// Bytes that are handed on at a time. The connection asks for more when it has sent most of what it has.
const PART_BYTES: usize = 64 << 10;

/// A body that holds a place.
pub struct Sending {
    rest: Bytes,
    until: Instant,
    _place: Arc<Place>,
}

/// Why an answer is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client reads its answer too slowly")
    }
}

impl std::error::Error for TooSlow {}

impl Sending {
    /// A body of these bytes, all of which must have been asked for by this time.
    pub fn new(content: Bytes, until: Instant, place: Arc<Place>) -> Self {
        Self { rest: content, until, _place: place }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if Instant::now() >= self.until {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let bytes = self.rest.len().min(PART_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn all_bytes_are_sent_and_none_too_late() {
        let content: Bytes = (0..200_000_u32).map(|at| at as u8).collect::<Vec<u8>>().into();
        let now = Instant::now();
        let sending = |until| Sending::new(content.clone(), until, Arc::new(Place::outside()));
        let body = sending(now + Duration::from_secs(600));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(200_000));
        assert_eq!(body.collect().await.unwrap().to_bytes(), content);
        assert_eq!(sending(now).collect().await.unwrap_err(), TooSlow);
    }

    #[tokio::test]
    async fn the_place_is_kept_until_the_last_byte() {
        let place = Arc::new(Place::outside());
        let mut body =
            Sending::new(vec![0; PART_BYTES + 1].into(), Instant::now() + Duration::from_secs(600), place.clone());
        assert!(body.frame().await.is_some());
        assert_eq!(Arc::strong_count(&place), 2);
        assert!(body.frame().await.is_some() && body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&place), 1);
    }
}
