//! Euclidean distances between the centres of pixels, exact and in linear time: along the rows first, then down the columns,
//! where the smallest of parabolas is found as their lower envelope.
//!
//! After Meijster, Roerdink and Hesselink, "A general algorithm for computing distance transforms in linear time" (2000).
//! Columns are worked on in strips, so that the rows of a strip lie in the cache.

use rayon::prelude::*;

/// A distance along a row that is too long to matter.
pub(super) const FAR: u16 = u16::MAX;

/// Columns of a strip: the bytes of a cache line.
const STRIP: usize = 64;

/// The lower envelope of parabolas (at - place)^2 + height^2 over whole numbers from 0 on.
#[derive(Default)]
pub(super) struct Envelope {
    /// Place and square of the height of each parabola, and from where on it is the lowest.
    parts: Vec<(i64, i64, i64)>,
}

impl Envelope {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Adds a parabola at a place after all others. Where two are equally low, the first one counts.
    #[inline(always)]
    pub(super) fn push(&mut self, place: i64, height: u16) {
        let square = i64::from(height) * i64::from(height);
        while let Some(&(other, other_square, from)) = self.parts.last() {
            let at = |place: i64, square: i64| (from - place) * (from - place) + square;
            if at(other, other_square) > at(place, square) {
                self.parts.pop();
                continue;
            }
            // The last whole number at which the other one is as low.
            let last = (place * place - other * other + square - other_square).div_euclid(2 * (place - other));
            self.parts.push((place, square, last + 1));
            return;
        }
        self.parts.push((place, square, 0));
    }

    /// Calls `each` with every number of a range, the place of its lowest parabola and the square of the distance.
    #[inline(always)]
    pub(super) fn read(&self, from: i64, to: i64, mut each: impl FnMut(i64, i64, i64)) {
        let mut part = 0;
        if self.parts.is_empty() {
            return;
        }
        for at in from..to {
            while part + 1 < self.parts.len() && self.parts[part + 1].2 <= at {
                part += 1;
            }
            let (place, square, _) = self.parts[part];
            each(at, place, (at - place) * (at - place) + square);
        }
    }
}

/// Makes an image, strip of columns by strip: `column` fills one column from top to bottom.
pub(super) fn by_columns<S: Default, T: Copy + Default + Send + Sync>(
    width: usize,
    height: usize,
    column: impl Fn(&mut S, usize, &mut [T]) + Sync,
) -> Vec<T> {
    let strips: Vec<Vec<T>> = (0..width.div_ceil(STRIP))
        .into_par_iter()
        .map(|strip| {
            let columns = strip * STRIP..((strip + 1) * STRIP).min(width);
            let across = columns.len();
            let (mut state, mut line, mut pixels) =
                (S::default(), vec![T::default(); height], vec![T::default(); across * height]);
            for (offset, x) in columns.enumerate() {
                column(&mut state, x, &mut line);
                for (row, value) in pixels.chunks_exact_mut(across).zip(&line) {
                    row[offset] = *value;
                }
            }
            pixels
        })
        .collect();
    let mut image = vec![T::default(); width * height];
    image.par_chunks_exact_mut(width.max(1)).enumerate().for_each(|(y, row)| {
        for (part, strip) in row.chunks_mut(STRIP).zip(&strips) {
            let across = part.len();
            part.copy_from_slice(&strip[y * across..][..across]);
        }
    });
    image
}

/// For each pixel of a row how far the nearest one of another label is; [`FAR`] where there is none.
fn to_others_of_row(labels: &[u8], distances: &mut [u16]) {
    for (start, end, _) in crate::postprocess::runs(labels) {
        let (start, end) = (start as usize, end as usize);
        for (at, distance) in distances.iter_mut().enumerate().take(end).skip(start) {
            let left = if start > 0 { at - start + 1 } else { usize::MAX };
            let right = if end < labels.len() { end - at } else { usize::MAX };
            *distance = u16::try_from(left.min(right)).unwrap_or(FAR);
        }
    }
}

/// For each pixel `level(label, square of the distance to the nearest pixel of another label)`; the square is nothing where
/// there is none within `reach_px`.
pub(super) fn to_others(
    labels: &[u8],
    width: usize,
    reach_px: f64,
    level: impl Fn(u8, Option<i64>) -> u8 + Sync,
) -> Vec<u8> {
    let height = labels.len() / width;
    let most = (reach_px * reach_px).floor() as i64;
    let mut across = vec![FAR; labels.len()];
    let rows = across.par_chunks_exact_mut(width).zip(labels.par_chunks_exact(width));
    rows.for_each(|(distances, labels)| to_others_of_row(labels, distances));
    by_columns(width, height, |envelope: &mut Envelope, x, line| {
        let label = |y: usize| labels[y * width + x];
        let mut start = 0;
        while start < height {
            let own = label(start);
            let end = (start..height).find(|y| label(*y) != own).unwrap_or(height);
            envelope.clear();
            // What is beyond the ends of the run is no nearer than the ends.
            if start > 0 {
                envelope.push(start as i64 - 1, 0);
            }
            for y in start..end {
                let distance = across[y * width + x];
                if f64::from(distance) <= reach_px {
                    envelope.push(y as i64, distance);
                }
            }
            if end < height {
                envelope.push(end as i64, 0);
            }
            line[start..end].fill(level(own, None));
            envelope.read(start as i64, end as i64, |y, _, square| {
                line[y as usize] = level(own, (square <= most).then_some(square));
            });
            start = end;
        }
    })
}
