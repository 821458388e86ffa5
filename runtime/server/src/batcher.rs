//! Photos of several requests in one run of the network, which pays on a GPU. While one run is under way, the next one gathers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

use clothseg::{Error, Photo, Quality, Result, Segmentation, Segmenter};

/// A thread that runs the network for all requests.
pub struct Batcher {
    waiting: Sender<Waiting>,
}

/// A photo that waits for the network, and where its result is to go.
struct Waiting {
    photo: Photo,
    quality: Quality,
    reply: SyncSender<(Photo, Result<Segmentation>)>,
}

impl Batcher {
    /// Starts the thread. It ends with the batcher.
    pub fn start(fast: &Segmenter, best: Option<&Segmenter>, batch: usize) -> Result<Self> {
        let segmenters: Vec<Segmenter> = std::iter::once(fast)
            .chain(best)
            .map(|segmenter| segmenter.at_quality(segmenter.quality()))
            .collect::<Result<_>>()?;
        let (waiting, photos) = mpsc::channel();
        let work = move || {
            while let Some(mut run) = next(&photos, batch) {
                for segmenter in &segmenters {
                    let mine = run.extract_if(.., |waiting| waiting.quality == segmenter.quality()).collect();
                    segment(segmenter, mine);
                }
            }
        };
        let thread = std::thread::Builder::new().name("batches".into()).spawn(work);
        thread.map_err(|error| Error::Invalid(format!("cannot start a thread: {error}")))?;
        Ok(Self { waiting })
    }

    /// Segments a photo with those that wait at the same time. Blocks until it is done.
    pub fn segment(&self, photo: Photo, quality: Quality) -> Result<(Photo, Segmentation)> {
        let broken = || Error::Invalid("the network broke down; this is a bug, please report it".into());
        let (reply, result) = mpsc::sync_channel(1);
        self.waiting.send(Waiting { photo, quality, reply }).map_err(|_| broken())?;
        let (photo, segmentation) = result.recv().map_err(|_| broken())?;
        Ok((photo, segmentation?))
    }
}

/// Waits for a photo, and takes those that wait with it, at most a batch. Nothing once nobody can send one.
fn next(photos: &Receiver<Waiting>, batch: usize) -> Option<Vec<Waiting>> {
    let mut run = vec![photos.recv().ok()?];
    run.extend(std::iter::from_fn(|| photos.try_recv().ok()).take(batch - 1));
    Some(run)
}

/// Replies to all of these. A panic costs these photos, whose requests then fail, and not the thread.
fn segment(segmenter: &Segmenter, run: Vec<Waiting>) {
    let (photos, replies): (Vec<Photo>, Vec<_>) = run.into_iter().map(|waiting| (waiting.photo, waiting.reply)).unzip();
    let Ok(segmentations) = catch_unwind(AssertUnwindSafe(|| segmenter.segment_batch(&photos))) else { return };
    for ((photo, segmentation), reply) in photos.into_iter().zip(segmentations).zip(replies) {
        // A request that has gone meanwhile needs none.
        let _ = reply.send((photo, segmentation));
    }
}
