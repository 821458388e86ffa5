//! A quick exponential with a known error.

/// Bound of the relative error of [`exp`].
pub(super) const EXP_ERROR: f32 = 1.0 / (1 << 21) as f32;

/// e^x for x <= 0, without branches or calls, so that loops over it are vectorised. The relative error is below
/// [`EXP_ERROR`] down to x = -87; below that the result is e^-87 (1.6e-38).
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor polynomial of degree 6 for e^r (the rest is below 1.3e-7 of it), and n
/// added to the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; n times the first is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut sum = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_stays_below_its_bound() {
        // Every 251st of the numbers from -87 to 0, and all near 0.
        let steps = (0..=(-87.0_f32).to_bits() - 0x8000_0000).step_by(251).map(|bits| -f32::from_bits(bits));
        for x in steps.chain((0..1000).map(|step| -(step as f32) * 1e-7)) {
            let (value, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((value / exact - 1.0).abs() < f64::from(EXP_ERROR), "{x}: {value} for {exact}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e30), exp(-87.0));
    }
}
