//! Connections, and how the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::state::Shared;
use crate::steady::Steady;

/// Longest head of a request.
const HEAD_BYTES: usize = 64 << 10;
/// A client must read something of its answer within this time.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// A pause when no connection can be accepted: most often there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is asked to stop. Returns whether all requests in work were answered.
pub async fn serve(listener: TcpListener, router: Router, state: Shared) -> io::Result<bool> {
    let mut signals = Signals::listen()?;
    let slots = Arc::new(Semaphore::new(state.limits.connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = signals.next() => break,
            (slot, accepted) = next => match (slot, accepted) {
                (Ok(slot), Ok((stream, _))) => {
                    tokio::spawn(connection(stream, router.clone(), Arc::clone(&state), slot, graceful.watcher()));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
                (Err(_), _) => {}
            },
        }
    }
    // From here on nobody new gets in.
    drop(listener);
    tracing::info!("stopping after the requests that have begun");
    Ok(tokio::select! {
        () = graceful.shutdown() => true,
        () = sleep(state.limits.stop_time) => false,
        () = signals.next() => false,
    })
}

async fn connection(stream: TcpStream, router: Router, state: Shared, slot: OwnedSemaphorePermit, watcher: Watcher) {
    let _slot = slot;
    let _counted = state.metrics.connection();
    // Without it small answers wait for the client's acknowledgement; a socket that refuses works all the same.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Steady::new(stream, WRITE_TIME));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.limits.head_time)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(stream, TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
