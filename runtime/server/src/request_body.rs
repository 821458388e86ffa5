//! The body of a request, lent to what answers it.
//!
//! A server that closes a connection while the client still sends resets it, and the client may never see the answer. So what an
//! early answer has left unread is read and thrown away, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest time for what is thrown away.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// Most bytes that are thrown away.
const DRAIN_BYTES: usize = 256 << 20;

/// A body that comes back when it is dropped before its end.
pub struct ReturnedBody {
    body: Option<Body>,
    is_begun: bool,
    back: Option<oneshot::Sender<Rest>>,
}

/// What was left of a body.
pub struct Rest {
    body: Body,
    is_begun: bool,
}

/// Lends a body. What is left of it comes back through the receiver.
pub fn lend(body: Body) -> (Body, oneshot::Receiver<Rest>) {
    let (back, rest) = oneshot::channel();
    (Body::new(ReturnedBody { body: Some(body), is_begun: false, back: Some(back) }), rest)
}

impl http_body::Body for ReturnedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        let is_begun = self.is_begun;
        let rest = self.body.take().filter(|body| !http_body::Body::is_end_stream(body));
        if let (Some(body), Some(back)) = (rest, self.back.take()) {
            // Nobody waits for it where the connection has gone.
            let _ = back.send(Rest { body, is_begun });
        }
    }
}

impl Rest {
    /// Reads and throws away what is left. A client that waits for `100 Continue` has sent nothing yet, and will not.
    pub async fn drain(self, expects_continue: bool) {
        if expects_continue && !self.is_begun {
            return;
        }
        let mut body = self.body;
        let drain = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > DRAIN_BYTES {
                    break;
                }
            }
        };
        let _ = timeout(DRAIN_TIME, drain).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_read_comes_back() {
        let (body, rest) = lend(Body::from("photo"));
        drop(body);
        let rest = rest.await.unwrap();
        assert!(!rest.is_begun);
        rest.drain(false).await;
    }

    #[tokio::test]
    async fn what_was_read_does_not() {
        let (body, rest) = lend(Body::from("photo"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "photo");
        assert!(rest.await.is_err());
    }
}
