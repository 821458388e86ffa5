//! Outputs that many threads write, each its own part.

use std::marker::PhantomData;

/// A buffer of floats to which several threads write at once.
pub struct SharedOutput<'a> {
    start: *mut f32,
    length: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: it only writes, through `write` and `part`, and every kernel's units keep to parts of their own.
unsafe impl Sync for SharedOutput<'_> {}
// SAFETY: as above.
unsafe impl Send for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    /// Writes at `index`. No two threads may write to the same place at the same time; every kernel gives each of its
    /// units rows or planes of their own.
    #[inline(always)]
    pub fn write(&self, index: usize, values: &[f32]) {
        assert!(index + values.len() <= self.length, "a kernel writes outside of its output");
        // SAFETY: it lies inside, the buffer is borrowed mutably as long as `self` lives, and nothing reads it.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(index), values.len()) }
    }

    /// The part `index..index + length`, for a unit that owns it.
    ///
    /// # Safety
    /// No other thread may touch the part as long as it is used.
    #[inline(always)]
    pub unsafe fn part(&self, index: usize, length: usize) -> &'a mut [f32] {
        assert!(index + length <= self.length, "a kernel writes outside of its output");
        // SAFETY: it lies inside, and the caller vouches that it is the only user.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(index), length) }
    }
}

/// A new buffer of which `fill` writes every element.
pub fn filled_by(length: usize, fill: impl FnOnce(&SharedOutput)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(length);
    fill(&SharedOutput { start: values.as_mut_ptr(), length, lifetime: PhantomData });
    // SAFETY: the capacity is there and every kernel writes every element of its output (the tests compare them all).
    unsafe { values.set_len(length) };
    values
}
