//! Blocks of frequencies to fewer pixels than they have: the inverse transform of the lowest frequencies only.
//!
//! The N lowest of 8 frequencies, transformed back with N points, give what an ideal low-pass filter and every
//! (8 / N)-th sample would (Naik and Mukherjee 1994 call it the DCT-domain scaling; libjpeg's `scale_num` is the same).
//! N = 1 is the mean of the block.

use std::f32::consts::PI;
use std::sync::LazyLock;

/// Writes the pixels of a block: coefficients row by row (dequantized), the plane from the block's first pixel on, and
/// the plane's width.
pub(super) type Transform = fn(&[f32; 64], &mut [u8], usize);

/// The order in which coefficients are stored: position in the block, row by row.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The transform to so many pixels across and down, each 1, 2, 4 or 8.
pub(super) fn transform([across, down]: [u32; 2]) -> Option<Transform> {
    fn of_width<const ACROSS: usize>(down: u32) -> Option<Transform> {
        match down {
            1 => Some(inverse::<ACROSS, 1>),
            2 => Some(inverse::<ACROSS, 2>),
            4 => Some(inverse::<ACROSS, 4>),
            8 => Some(inverse::<ACROSS, 8>),
            _ => None,
        }
    }
    match across {
        1 => of_width::<1>(down),
        2 => of_width::<2>(down),
        4 => of_width::<4>(down),
        8 => of_width::<8>(down),
        _ => None,
    }
}

/// How many coefficients in zigzag order hold all that a block of so many pixels needs.
pub(super) fn coefficients_needed([across, down]: [u32; 2]) -> usize {
    let needed = |place: u8| u32::from(place) % 8 < across && u32::from(place) / 8 < down;
    ZIGZAG.iter().rposition(|place| needed(*place)).map_or(0, |last| last + 1)
}

/// The value of a pixel from its difference to the middle.
#[inline(always)]
pub(super) fn to_pixel(value: f32) -> u8 {
    // Clamping first makes the conversion a plain one, which is done for several pixels at once.
    (value + 128.5).clamp(0.0, 255.0) as i32 as u8
}

/// By points (as a power of two), frequency and point: C(u) / 2 x cos((2 x + 1) u pi / 2N), with C(0) = 1 / sqrt(2).
static BASES: LazyLock<[[[f32; 8]; 8]; 4]> = LazyLock::new(|| {
    std::array::from_fn(|power| {
        let points = (1 << power) as f32;
        std::array::from_fn(|u| {
            std::array::from_fn(|x| {
                let norm = if u == 0 { 0.5_f32.sqrt() / 2.0 } else { 0.5 };
                norm * ((2 * x + 1) as f32 * u as f32 * PI / (2.0 * points)).cos()
            })
        })
    })
});

fn inverse<const ACROSS: usize, const DOWN: usize>(block: &[f32; 64], plane: &mut [u8], stride: usize) {
    let bases = &*BASES;
    let across = &bases[ACROSS.trailing_zeros() as usize];
    let down = &bases[DOWN.trailing_zeros() as usize];
    let mut sums = [[0.0_f32; ACROSS]; DOWN];
    // Sums run along the pixels, so that several are made at once; most high frequencies are zero.
    for (v, frequencies) in block.chunks_exact(8).take(DOWN).enumerate() {
        let frequencies = &frequencies[..ACROSS];
        if v > 0 && frequencies.iter().all(|value| *value == 0.0) {
            continue;
        }
        let mut row = [0.0_f32; ACROSS];
        for (basis, frequency) in across.iter().zip(frequencies) {
            for (value, wave) in row.iter_mut().zip(basis) {
                *value += wave * frequency;
            }
        }
        for (sum, wave) in sums.iter_mut().zip(&down[v]) {
            for (value, across) in sum.iter_mut().zip(&row) {
                *value += wave * across;
            }
        }
    }
    for (pixels, sum) in plane.chunks_mut(stride.max(1)).zip(&sums) {
        for (pixel, value) in pixels.iter_mut().zip(sum) {
            *pixel = to_pixel(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_part_is_the_mean_at_every_size() {
        let mut block = [0.0; 64];
        block[0] = 8.0 * 50.0;
        for (across, down) in [(1, 1), (2, 2), (4, 4), (8, 8), (2, 1), (4, 8)] {
            let mut plane = [0; 64];
            transform([across, down]).unwrap()(&block, &mut plane, across as usize);
            assert!(plane[..(across * down) as usize].iter().all(|pixel| *pixel == 178), "{across} x {down}");
        }
    }

    #[test]
    fn eight_points_are_the_formula_of_the_standard() {
        let mut block = [0.0; 64];
        (block[0], block[1], block[16], block[27]) = (80.0, -120.0, 60.0, 200.0);
        let mut plane = [0; 64];
        transform([8, 8]).unwrap()(&block, &mut plane, 8);
        for (at, pixel) in plane.iter().enumerate() {
            let (x, y) = ((at % 8) as f64, (at / 8) as f64);
            let mut sum = 0.0;
            for (place, value) in block.iter().enumerate() {
                let (u, v) = ((place % 8) as f64, (place / 8) as f64);
                let norm = |frequency: f64| if frequency == 0.0 { 0.5_f64.sqrt() } else { 1.0 };
                let wave = |at: f64, frequency: f64| ((2.0 * at + 1.0) * frequency * std::f64::consts::PI / 16.0).cos();
                sum += 0.25 * norm(u) * norm(v) * f64::from(*value) * wave(x, u) * wave(y, v);
            }
            assert!((f64::from(*pixel) - (sum + 128.0)).abs() < 0.51, "{x} {y}");
        }
    }

    #[test]
    fn only_the_coefficients_of_the_low_corner_are_needed() {
        assert_eq!([[1, 1], [2, 2], [4, 4], [8, 8], [2, 1]].map(coefficients_needed), [1, 5, 25, 64, 2]);
    }
}
