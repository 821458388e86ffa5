//! Who does what next: any number of workers, each at the stage that is most urgent.
//!
//! A photo goes through reading, decoding, the network and writing. Workers are not bound to a stage: whoever is free takes
//! a run of the network if one is due, else results to write, else a file to decode, else a new photo to read. So the
//! network never waits while there is something for it, results leave as soon as they are there, and what is held is
//! bounded twice: in photos, and in bytes of pixels.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The stages of one photo. Where a stage ends a photo, by failing or because there is nothing to do, it says so itself and
/// returns nothing.
pub(super) trait Stages: Sync {
    type Loaded: Send;
    type Decoded: Send;
    type Segmented: Send;

    /// Reads the photo at this place in the order of inputs.
    fn read(&self, index: usize) -> Option<Self::Loaded>;
    /// Bytes that this photo holds from decoding until it is written.
    fn cost_bytes(&self, loaded: &Self::Loaded) -> u64;
    fn decode(&self, loaded: Self::Loaded) -> Decoding<Self::Loaded, Self::Decoded>;
    /// Runs the network; as many answers as photos.
    fn segment(&self, decoded: Vec<Self::Decoded>) -> Vec<Option<Self::Segmented>>;
    fn write(&self, segmented: Self::Segmented);
    /// Whether no more photos are to be begun.
    fn stops(&self) -> bool;
}

/// How decoding a photo ended.
pub(super) enum Decoding<Loaded, Decoded> {
    Done(Decoded),
    /// It takes more than was thought: it waits for as much room as it costs now.
    Again(Loaded),
    /// The photo has ended.
    Ended,
}

/// How much may be in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Photos of the run.
    pub(super) photos: usize,
    /// Photos in work.
    pub(super) in_flight: usize,
    /// Photos in one run of the network.
    pub(super) batch: usize,
    /// Runs of the network at a time.
    pub(super) network_runs: usize,
    /// What photos may hold together, as [`Stages::cost_bytes`] counts it. One photo alone may be larger.
    pub(super) bytes: u64,
}

pub(super) struct Pipeline<'a, S: Stages> {
    stages: &'a S,
    bounds: Bounds,
    state: Mutex<State<S>>,
    changed: Condvar,
}

struct QueueItem<T> {
    item: T,
    bytes: u64,
}

struct State<S: Stages> {
    /// The next photo to read.
    next: usize,
    in_flight: usize,
    /// Held by photos that are decoded, or being decoded.
    bytes: u64,
    network_runs: usize,
    loaded: VecDeque<QueueItem<S::Loaded>>,
    decoded: VecDeque<QueueItem<S::Decoded>>,
    segmented: VecDeque<QueueItem<S::Segmented>>,
    /// A worker broke down: nothing will come of the photos that it had.
    broken: bool,
}

enum Task<S: Stages> {
    Segment(Vec<QueueItem<S::Decoded>>),
    Write(QueueItem<S::Segmented>),
    Decode(QueueItem<S::Loaded>),
    Read(usize),
    Wait,
    End,
}

impl<S: Stages> State<S> {
    /// The most urgent thing to do, taken out of the state.
    fn take_task(&mut self, bounds: &Bounds, stops: bool) -> Task<S> {
        if self.broken {
            return Task::End;
        }
        if !self.decoded.is_empty() && self.network_runs < bounds.network_runs {
            self.network_runs += 1;
            // Whatever is there, up to a batch: waiting for a full one would only help where the network is not the
            // bottleneck anyway.
            let count = self.decoded.len().min(bounds.batch);
            return Task::Segment(self.decoded.drain(..count).collect());
        }
        if let Some(item) = self.segmented.pop_front() {
            return Task::Write(item);
        }
        // Only what is not decoded yet waits for room, and what holds the room goes on without: this cannot lock up.
        let fits = |bytes: u64| self.bytes == 0 || self.bytes.saturating_add(bytes) <= bounds.bytes;
        if let Some(item) = self.loaded.pop_front_if(|item| fits(item.bytes)) {
            self.bytes += item.bytes;
            return Task::Decode(item);
        }
        let more = self.next < bounds.photos && !stops;
        // A file that waits for room is no reason to read another.
        if more && self.loaded.is_empty() && self.in_flight < bounds.in_flight {
            self.in_flight += 1;
            self.next += 1;
            return Task::Read(self.next - 1);
        }
        if !more && self.in_flight == 0 { Task::End } else { Task::Wait }
    }

    fn end_photo(&mut self, bytes: u64) {
        self.in_flight -= 1;
        self.bytes -= bytes;
    }
}

impl<'a, S: Stages> Pipeline<'a, S> {
    pub(super) fn new(stages: &'a S, bounds: Bounds) -> Self {
        let state = State {
            next: 0,
            in_flight: 0,
            bytes: 0,
            network_runs: 0,
            loaded: VecDeque::new(),
            decoded: VecDeque::new(),
            segmented: VecDeque::new(),
            broken: false,
        };
        Self { stages, bounds, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Works until there is nothing left; for as many threads as should work.
    pub(super) fn work(&self) {
        let _stop = StopOnPanic(self);
        loop {
            match self.next_task() {
                Task::End => return,
                Task::Wait => {}
                Task::Read(index) => self.read(index),
                Task::Decode(item) => self.decode(item),
                Task::Segment(items) => self.segment(items),
                Task::Write(item) => {
                    self.stages.write(item.item);
                    self.update(|state| state.end_photo(item.bytes));
                }
            }
        }
    }

    fn next_task(&self) -> Task<S> {
        let mut state = self.lock();
        loop {
            match state.take_task(&self.bounds, self.stages.stops()) {
                Task::Wait => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                task => return task,
            }
        }
    }

    fn read(&self, index: usize) {
        let loaded = self.stages.read(index).map(|item| QueueItem { bytes: self.stages.cost_bytes(&item), item });
        self.update(|state| match loaded {
            Some(held) => state.loaded.push_back(held),
            None => state.end_photo(0),
        });
    }

    fn decode(&self, QueueItem { item, bytes }: QueueItem<S::Loaded>) {
        let decoded = match self.stages.decode(item) {
            Decoding::Done(item) => Decoding::Done(QueueItem { item, bytes }),
            Decoding::Again(item) => Decoding::Again(QueueItem { bytes: self.stages.cost_bytes(&item), item }),
            Decoding::Ended => Decoding::Ended,
        };
        self.update(|state| match decoded {
            Decoding::Done(held) => state.decoded.push_back(held),
            Decoding::Again(held) => {
                // Nothing of it is held while it waits.
                state.bytes -= bytes;
                state.loaded.push_front(held);
            }
            Decoding::Ended => state.end_photo(bytes),
        });
    }

    fn segment(&self, held: Vec<QueueItem<S::Decoded>>) {
        let (items, bytes): (Vec<_>, Vec<_>) = held.into_iter().map(|held| (held.item, held.bytes)).unzip();
        let mut segmented = self.stages.segment(items).into_iter();
        self.update(|state| {
            state.network_runs -= 1;
            for bytes in bytes {
                match segmented.next().flatten() {
                    Some(item) => state.segmented.push_back(QueueItem { item, bytes }),
                    None => state.end_photo(bytes),
                }
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut State<S>)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the other workers go when one breaks down; they would wait for its photo for ever.
struct StopOnPanic<'p, 'a, S: Stages>(&'p Pipeline<'a, S>);

impl<S: Stages> Drop for StopOnPanic<'_, '_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.update(|state| state.broken = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

    /// Counts what is held, and what it was at most. Photo `i` costs `costs[i]` bytes; 0 ends at reading. One of a multiple of
    /// 5 is thought to cost 1 until it is decoded for the first time.
    #[derive(Default)]
    struct Counting {
        costs: Vec<u64>,
        held_bytes: AtomicU64,
        most_bytes: AtomicU64,
        in_flight: AtomicUsize,
        most_in_flight: AtomicUsize,
        runs: AtomicUsize,
        most_runs: AtomicUsize,
        largest_batch: AtomicUsize,
        written: Mutex<Vec<usize>>,
        stop_after: Option<usize>,
        stop: AtomicBool,
    }

    impl Counting {
        fn enter(&self, bytes: u64) {
            let held = self.held_bytes.fetch_add(bytes, SeqCst) + bytes;
            self.most_bytes.fetch_max(held, SeqCst);
        }

        fn leave(&self, index: usize) {
            self.held_bytes.fetch_sub(self.costs[index], SeqCst);
            self.in_flight.fetch_sub(1, SeqCst);
        }
    }

    impl Stages for Counting {
        /// With whether its cost is known.
        type Loaded = (usize, bool);
        type Decoded = usize;
        type Segmented = usize;

        fn read(&self, index: usize) -> Option<(usize, bool)> {
            let flying = self.in_flight.fetch_add(1, SeqCst) + 1;
            self.most_in_flight.fetch_max(flying, SeqCst);
            std::thread::yield_now();
            if self.costs[index] == 0 {
                self.in_flight.fetch_sub(1, SeqCst);
                return None;
            }
            Some((index, !self.costs[index].is_multiple_of(5)))
        }

        fn cost_bytes(&self, (index, known): &(usize, bool)) -> u64 {
            if *known { self.costs[*index] } else { 1 }
        }

        fn decode(&self, (index, known): (usize, bool)) -> Decoding<(usize, bool), usize> {
            if !known {
                self.enter(1);
                std::thread::yield_now();
                self.held_bytes.fetch_sub(1, SeqCst);
                return Decoding::Again((index, true));
            }
            self.enter(self.costs[index]);
            std::thread::yield_now();
            if self.costs[index].is_multiple_of(7) {
                self.leave(index);
                return Decoding::Ended;
            }
            Decoding::Done(index)
        }

        fn segment(&self, decoded: Vec<usize>) -> Vec<Option<usize>> {
            let runs = self.runs.fetch_add(1, SeqCst) + 1;
            self.most_runs.fetch_max(runs, SeqCst);
            self.largest_batch.fetch_max(decoded.len(), SeqCst);
            std::thread::yield_now();
            self.runs.fetch_sub(1, SeqCst);
            let failing = |index: &usize| self.costs[*index].is_multiple_of(11);
            decoded.iter().filter(|index| failing(index)).for_each(|index| self.leave(*index));
            decoded.into_iter().map(|index| (!failing(&index)).then_some(index)).collect()
        }

        fn write(&self, index: usize) {
            let mut written = self.written.lock().unwrap();
            written.push(index);
            self.leave(index);
            if self.stop_after.is_some_and(|count| written.len() >= count) {
                self.stop.store(true, SeqCst);
            }
        }

        fn stops(&self) -> bool {
            self.stop.load(SeqCst)
        }
    }

    fn run(stages: &Counting, workers: usize, bounds: Bounds) {
        let pipeline = Pipeline::new(stages, bounds);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| pipeline.work());
            }
        });
    }

    fn bounds(photos: usize) -> Bounds {
        Bounds { photos, in_flight: 4, batch: 1, network_runs: 2, bytes: 100 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_photo_is_done_once_and_nothing_goes_over_its_bound(
            costs in prop::collection::vec(0_u64..150, 0..60),
            workers in 1_usize..5,
            in_flight in 1_usize..6,
            batch in 1_usize..4,
            network_runs in 1_usize..3,
        ) {
            let stages = Counting { costs: costs.clone(), ..Counting::default() };
            let bounds = Bounds { photos: costs.len(), in_flight, batch, network_runs, bytes: 100 };
            run(&stages, workers, bounds);
            let mut written = stages.written.into_inner().unwrap();
            written.sort_unstable();
            let expected: Vec<usize> =
                (0..costs.len()).filter(|&i| !costs[i].is_multiple_of(7) && !costs[i].is_multiple_of(11)).collect();
            prop_assert_eq!(written, expected);
            prop_assert!(stages.most_in_flight.into_inner() <= in_flight);
            prop_assert!(stages.most_runs.into_inner() <= network_runs);
            prop_assert!(stages.largest_batch.into_inner() <= batch);
            let largest = costs.iter().copied().max().unwrap_or_default();
            prop_assert!(stages.most_bytes.into_inner() <= largest.max(100));
            prop_assert_eq!(stages.held_bytes.into_inner(), 0);
        }
    }

    #[test]
    fn photos_larger_than_the_budget_go_one_at_a_time() {
        let stages = Counting { costs: vec![1000; 12], ..Counting::default() };
        run(&stages, 4, bounds(12));
        assert_eq!((stages.written.into_inner().unwrap().len(), stages.most_bytes.into_inner()), (12, 1000));
    }

    #[test]
    fn what_waits_goes_through_the_network_together() {
        let mut state = Pipeline::new(&Counting::default(), bounds(9)).state.into_inner().unwrap();
        state.decoded.extend((0..5).map(|item| QueueItem { item, bytes: 1 }));
        let bounds = Bounds { batch: 3, network_runs: 1, ..bounds(9) };
        let Task::Segment(first) = state.take_task(&bounds, false) else { panic!("no run of the network") };
        assert_eq!(first.iter().map(|held| held.item).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!matches!(state.take_task(&bounds, false), Task::Segment(_)), "one run at a time");
    }

    #[test]
    fn a_stop_finishes_what_is_in_flight() {
        let stages = Counting { costs: vec![1; 500], stop_after: Some(10), ..Counting::default() };
        run(&stages, 3, bounds(500));
        let written = stages.written.into_inner().unwrap().len();
        assert!((10..=14).contains(&written), "{written}");
        assert_eq!(stages.in_flight.into_inner(), 0);
    }
}
