//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout_at};

use crate::access::Access;
use crate::engines::Engines;
use crate::metrics::{self, Metrics};
use crate::options::Limits;
use crate::problem::Problem;

/// What all requests share.
pub struct State {
    /// The open model.
    pub engines: Engines,
    /// What requests may cost.
    pub limits: Limits,
    /// Who may ask.
    pub access: Access,
    /// What is counted.
    pub metrics: Metrics,
    /// Places for photos, those in work and those that wait.
    places: Arc<Semaphore>,
    /// Places in work.
    work: Arc<Semaphore>,
    queue: usize,
}

/// The shared state.
pub type Shared = Arc<State>;

/// A place for a photo. It is taken before the upload is read, and kept until the work is done, even if the client has gone, and
/// until the answer is sent.
pub struct Place(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

#[cfg(test)]
impl Place {
    /// One of no state.
    pub fn outside() -> Self {
        let semaphore = Arc::new(Semaphore::new(1));
        Self(semaphore.try_acquire_owned().unwrap_or_else(|_| unreachable!("one place is free")))
    }
}

impl State {
    /// Nothing in work yet. `queue` photos may wait besides those in work.
    pub fn new(engines: Engines, limits: Limits, access: Access, queue: usize) -> Shared {
        let jobs = engines.jobs;
        Arc::new(Self {
            engines,
            limits,
            access,
            metrics: Metrics::default(),
            places: Arc::new(Semaphore::new(jobs.saturating_add(queue).min(Semaphore::MAX_PERMITS))),
            work: Arc::new(Semaphore::new(jobs.min(Semaphore::MAX_PERMITS))),
            queue,
        })
    }

    /// Photos in work.
    pub fn running(&self) -> usize {
        self.engines.jobs - self.work.available_permits().min(self.engines.jobs)
    }

    /// Photos that are being uploaded, wait or are in work.
    pub fn places_taken(&self) -> usize {
        self.engines.jobs.saturating_add(self.queue).saturating_sub(self.places.available_permits())
    }

    /// All metrics, as Prometheus reads them.
    pub fn metrics_text(&self) -> String {
        let running = self.running();
        let waiting = self.places_taken().saturating_sub(running);
        let segmenter = self.engines.get(Some(clothseg::Quality::Fast)).ok();
        let model = segmenter.map(|segmenter| (segmenter.spec().name.as_str(), segmenter.engine_info().provider));
        metrics::text(&self.metrics, &metrics::Now { running, waiting, model })
    }

    /// Takes a place for a photo.
    ///
    /// # Errors
    /// 503 where all are taken.
    pub fn enter(&self) -> Result<Arc<Place>, Problem> {
        self.places.clone().try_acquire_owned().map(|permit| Arc::new(Place(permit))).map_err(|_| {
            self.metrics.refused();
            self.busy("all places for photos are taken; try again later")
        })
    }

    /// Runs what takes time on a thread of its own, when it is its turn. What has begun goes on to its end, whatever becomes of
    /// the request.
    ///
    /// # Errors
    /// Its own; 503 and 504 once the deadline has passed; 500 for a panic.
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        place: Arc<Place>,
        deadline: Instant,
        job: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let queued = Instant::now();
        let turn = timeout_at(deadline, self.work.clone().acquire_owned()).await;
        // A turn that is free is given even after the deadline.
        let (Ok(Ok(turn)), true) = (turn, Instant::now() < deadline) else {
            self.metrics.refused();
            return Err(self.busy("the photo waited too long for its turn; try again later"));
        };
        self.metrics.stage("queue", queued.elapsed());
        let state = Arc::clone(self);
        let running = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            let started = Instant::now();
            let result = job(&state);
            state.metrics.stage("work", started.elapsed());
            result
        });
        match timeout_at(deadline, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(too_slow(self.limits.request_time)),
        }
    }

    /// How long those in line will take, as far as earlier ones tell.
    fn busy(&self, detail: &str) -> Problem {
        let in_line = self.places_taken().div_ceil(self.engines.jobs.max(1)) as f64;
        let seconds = (self.metrics.mean_seconds("work") * in_line).ceil().clamp(1.0, 60.0);
        Problem::busy(detail, seconds as u64)
    }
}

fn too_slow(limit: Duration) -> Problem {
    let detail = format!("the answer took longer than {} s; send a smaller photo", limit.as_secs_f64());
    Problem::new(axum::http::StatusCode::GATEWAY_TIMEOUT, "too_slow", detail)
}

fn broken(error: &JoinError) -> Problem {
    let reason = if error.is_panic() { "a panic; this is a bug, please report it" } else { "it was cancelled" };
    Problem::internal("segmentation", reason)
}
