//! Outputs of kernels, in parts that threads fill beside each other.
//!
//! An output is not zeroed as a whole beforehand: that would be one more pass over its memory. It falls into [`Row`]s, each of
//! which one thread has to itself, and which know how far they have been written: what is left over is zeroed. So no element
//! stays uninitialised whatever a kernel writes, and no two threads have the same one.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// A part of an output, contiguous in memory, of which everything is 0 that has not been written yet.
#[derive(Debug)]
pub struct Row<'a> {
    values: &'a mut [MaybeUninit<f32>],
    /// Elements before this one are initialised.
    written: usize,
}

impl<'a> Row<'a> {
    fn new(values: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { values, written: 0 }
    }

    /// Writes `values` from index `start` on. Quickest where it goes on behind what was written last.
    #[inline(always)]
    pub fn write(&mut self, start: usize, values: &[f32]) {
        if start > self.written {
            self.zero_before(start);
        }
        self.values[start..start + values.len()].write_copy_of_slice(values);
        self.written = self.written.max(start + values.len());
    }

    /// Writes all of `values` behind what was written last.
    #[inline(always)]
    pub fn extend(&mut self, values: impl ExactSizeIterator<Item = f32>) {
        let to = &mut self.values[self.written..][..values.len()];
        let mut count = 0;
        to.iter_mut().zip(values).for_each(|(to, value)| {
            to.write(value);
            count += 1;
        });
        self.written += count;
    }

    /// The whole row. What has not been written is zeroed by the first call.
    #[inline(always)]
    pub fn zeroed(&mut self) -> &mut [f32] {
        self.zero_before(self.values.len());
        // SAFETY: `zero_before` has initialised all elements, or they were.
        unsafe { self.values.assume_init_mut() }
    }

    #[inline(always)]
    fn zero_before(&mut self, end: usize) {
        if self.written < end {
            self.values[self.written..end].fill(MaybeUninit::new(0.0));
            self.written = end;
        }
    }
}

/// A new output of `count` planes of `cells` floats. `fill` gets each plane once, by its index.
pub fn filled_planes(count: usize, cells: usize, fill: impl Fn(usize, &mut Row) + Sync) -> Vec<f32> {
    let length = count * cells;
    let mut output = Vec::with_capacity(length);
    let planes = output.spare_capacity_mut()[..length].par_chunks_mut(cells.max(1));
    planes.enumerate().for_each(|(index, plane)| {
        let mut plane = Row::new(plane);
        fill(index, &mut plane);
        plane.zeroed();
    });
    // SAFETY: the capacity is `length` or more, and the planes are all of it. Each was whole in the end: `fill` cannot put
    // another one into its place, as it can neither make nor keep one.
    unsafe { output.set_len(length) };
    output
}

/// How an output of `images` matrices falls into parts: ranges of columns, the same for every image.
#[derive(Clone, Debug)]
pub struct Parts {
    images: usize,
    rows: usize,
    /// The column before which each part ends, ascending.
    ends: Vec<usize>,
}

impl Parts {
    /// Matrices of `rows` rows, whose parts end before the columns `ends`. The last of them is the number of columns.
    pub fn new(images: usize, rows: usize, ends: Vec<usize>) -> Self {
        Self { images, rows, ends }
    }

    /// Parts of `width` columns; the last one may have fewer.
    pub fn every(images: usize, rows: usize, columns: usize, width: usize) -> Self {
        let ends = (1..=columns.div_ceil(width)).map(|part| columns.min(part * width)).collect();
        Self::new(images, rows, ends)
    }

    /// A new output, row-major. `fill` gets the rows of each part once, by the indices of its image and of itself.
    pub fn filled(&self, fill: impl Fn(usize, usize, &mut [Row]) + Sync) -> Vec<f32> {
        let ([output], _) = self.filled_each(fill);
        output
    }

    /// `N` new outputs, which fall into the same parts, and what `fill` returns for each part. It gets the part's rows of the
    /// first output, then those of the next one.
    pub fn filled_each<const N: usize, R: Send>(
        &self,
        fill: impl Fn(usize, usize, &mut [Row]) -> R + Sync,
    ) -> ([Vec<f32>; N], Vec<R>) {
        let (of_part, parts, columns) = (N * self.rows, self.ends.len(), self.columns());
        assert!(of_part * columns > 0, "a kernel has no empty output");
        let length = self.images * self.rows * columns;
        let mut outputs = [(); N].map(|()| Vec::with_capacity(length));
        let mut rows = self.split(outputs.each_mut().map(|output| &mut output.spare_capacity_mut()[..length]));
        assert_eq!(rows.iter().map(|row| row.values.len()).sum::<usize>(), N * length);
        let units = rows.par_chunks_mut(of_part).enumerate();
        let results = units
            .map(|(unit, rows)| {
                let result = fill(unit / parts, unit % parts, rows);
                rows.iter_mut().for_each(|row| row.zero_before(row.values.len()));
                result
            })
            .collect();
        let outputs = outputs.map(|mut output| {
            // SAFETY: the capacity is `length` or more. The rows are borrowed from the outputs, none twice, and by the
            // assertion they are all of them. Each was whole in the end: `fill` can neither make rows nor keep any, so
            // that those that it leaves are those that it got.
            unsafe { output.set_len(length) };
            output
        });
        (outputs, results)
    }

    fn columns(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The rows of all parts: image by image, part by part, output by output.
    fn split<'a, const N: usize>(&self, outputs: [&'a mut [MaybeUninit<f32>]; N]) -> Vec<Row<'a>> {
        let mut rows = Vec::with_capacity(self.images * self.ends.len() * N * self.rows);
        let mut images = outputs.map(|output| output.chunks_mut(self.rows * self.columns()));
        for _ in 0..self.images {
            let image = images.each_mut().map(|images| images.next().unwrap_or_default());
            let of_image = image.into_iter().flat_map(|image| image.chunks_mut(self.columns()));
            let mut rests: Vec<&mut [_]> = of_image.collect();
            let mut start = 0;
            for end in &self.ends {
                rows.extend(rests.iter_mut().map(|rest| {
                    let (row, behind) = std::mem::take(rest).split_at_mut(end - start);
                    *rest = behind;
                    Row::new(row)
                }));
                start = *end;
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_have_what_is_written_and_zeros_elsewhere() {
        let output = filled_planes(3, 4, |index, plane| plane.write(index, &[index as f32 + 1.0, 9.0]));
        assert_eq!(output, [1.0, 9.0, 0.0, 0.0, 0.0, 2.0, 9.0, 0.0, 0.0, 0.0, 3.0, 9.0]);
        assert!(filled_planes(0, 2, |_, _| ()).is_empty());
    }

    #[test]
    fn a_row_may_be_written_in_any_order() {
        let output = filled_planes(1, 7, |_, row| {
            row.extend([1.0, 2.0].into_iter());
            row.write(5, &[6.0]);
            row.write(1, &[3.0, 4.0]);
            assert_eq!(row.zeroed(), [1.0, 3.0, 4.0, 0.0, 0.0, 6.0, 0.0]);
            row.zeroed()[6] = 7.0;
            row.write(0, &[8.0]);
        });
        assert_eq!(output, [8.0, 3.0, 4.0, 0.0, 0.0, 6.0, 7.0]);
    }

    #[test]
    fn each_element_is_in_one_part() {
        let parts = Parts::every(2, 3, 5, 2);
        let ([ones, images], widths) = parts.filled_each(|image, part, rows| {
            let (ones, images) = rows.split_at_mut(3);
            for row in ones.iter_mut() {
                row.zeroed().iter_mut().for_each(|value| *value += 1.0);
            }
            images.iter_mut().for_each(|row| row.zeroed().fill((10 * image + part) as f32));
            ones[0].zeroed().len()
        });
        assert_eq!(widths, [2, 2, 1, 2, 2, 1]);
        assert_eq!(ones, [1.0; 30]);
        assert_eq!(images[..10], [0.0, 0.0, 1.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0]);
        assert_eq!(images[15..20], [10.0, 10.0, 11.0, 11.0, 12.0]);
    }

    #[test]
    fn rows_that_nothing_is_written_to_are_zero() {
        let output = Parts::new(1, 2, vec![1, 1, 4]).filled(|_, part, rows| rows[1].zeroed().fill(part as f32));
        assert_eq!(output, [0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    #[should_panic]
    fn more_than_a_row_has_is_refused() {
        filled_planes(1, 2, |_, row| row.extend([0.0; 3].into_iter()));
    }

    #[test]
    #[should_panic]
    fn ends_that_descend_are_refused() {
        Parts::new(1, 1, vec![3, 2]).filled(|_, _, _| ());
    }
}
