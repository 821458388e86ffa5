//! Masks that grow and shrink by a distance.

use rayon::prelude::*;

use super::distance::{Envelope, FAR, by_columns, to_others};

/// Gives pixels of no chosen class to the nearest one within `reach_px`: see [`MaskOptions::grow`](super::MaskOptions::grow).
pub(super) fn grow(labels: &[u8], width: usize, reach_px: f64, is_chosen: &[bool; 256]) -> Vec<u8> {
    let height = labels.len() / width;
    let most = (reach_px * reach_px).floor() as i64;
    // For each pixel how far the nearest chosen one of its row is, and of which class.
    let mut across = vec![FAR; labels.len()];
    let mut classes = vec![0_u8; labels.len()];
    across
        .par_chunks_exact_mut(width)
        .zip(classes.par_chunks_exact_mut(width))
        .zip(labels.par_chunks_exact(width))
        .for_each(|((distances, classes), labels)| nearest_of_row(labels, is_chosen, distances, classes));
    by_columns(width, height, |envelope: &mut Envelope, x, line| {
        let at = |y: usize| y * width + x;
        envelope.clear();
        for y in 0..height {
            let distance = across[at(y)];
            // Within an area nothing is nearest to anything outside it.
            let is_within =
                distance == 0 && y > 0 && y + 1 < height && across[at(y - 1)] == 0 && across[at(y + 1)] == 0;
            if f64::from(distance) <= reach_px && !is_within {
                envelope.push(y as i64, distance);
            }
            line[y] = labels[at(y)];
        }
        envelope.read(0, height as i64, |y, place, square| {
            let label = &mut line[y as usize];
            if square <= most && !is_chosen[usize::from(*label)] {
                *label = classes[at(place as usize)];
            }
        });
    })
}

/// Takes pixels off the chosen classes that are within `reach_px` of one of another class.
pub(super) fn shrink(labels: &[u8], width: usize, reach_px: f64, is_chosen: &[bool; 256]) -> Vec<u8> {
    to_others(
        labels,
        width,
        reach_px,
        |label, square| {
            if square.is_some() && is_chosen[usize::from(label)] { 0 } else { label }
        },
    )
}

/// For each pixel of a row how far the nearest chosen one is, of two the left one, and its class.
fn nearest_of_row(labels: &[u8], is_chosen: &[bool; 256], distances: &mut [u16], classes: &mut [u8]) {
    let (mut distance, mut class) = (FAR, 0);
    for ((label, to), of) in labels.iter().zip(distances.iter_mut()).zip(classes.iter_mut()) {
        if is_chosen[usize::from(*label)] {
            (distance, class) = (0, *label);
        } else {
            distance = distance.saturating_add(1);
        }
        (*to, *of) = (distance, class);
    }
    (distance, class) = (FAR, 0);
    for ((label, to), of) in labels.iter().zip(distances.iter_mut()).zip(classes.iter_mut()).rev() {
        if is_chosen[usize::from(*label)] {
            (distance, class) = (0, *label);
        } else {
            distance = distance.saturating_add(1);
        }
        if distance < *to {
            (*to, *of) = (distance, class);
        }
    }
}
