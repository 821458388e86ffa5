//! Connected regions of one class, and the borders between them: for clean-up, for polygons, and for the parts of garments in
//! training labels. Cells (or pixels) are row-major; four neighbours touch a cell.

pub(crate) mod absorb;
pub(crate) mod forest;

use std::cmp::Reverse;

/// No region: see [`label`].
pub const NONE: u32 = u32::MAX;

/// A connected region of one class.
pub(crate) struct Region {
    pub class: usize,
    /// Row-major indices.
    pub cells: Vec<usize>,
}

/// For each cell the region that it is in, numbered by their first cells; [`NONE`] for cells of classes that are not wanted.
/// `visit` is called with the region and the index of every cell that is in one, region by region.
#[expect(clippy::cast_possible_truncation, reason = "2^32 regions would need hundreds of gigabytes")]
pub fn label<C: Copy + PartialEq>(
    classes: &[C],
    columns: usize,
    is_wanted: impl Fn(C) -> bool,
    mut visit: impl FnMut(u32, usize),
) -> Vec<u32> {
    let mut region_of = vec![NONE; classes.len()];
    let mut count = 0;
    let mut open = Vec::new();
    for start in 0..classes.len() {
        let class = classes[start];
        if region_of[start] != NONE || !is_wanted(class) {
            continue;
        }
        region_of[start] = count as u32;
        open.push(start);
        while let Some(cell) = open.pop() {
            visit(count as u32, cell);
            for next in beside(cell, classes.len(), columns) {
                if region_of[next] == NONE && classes[next] == class {
                    region_of[next] = count as u32;
                    open.push(next);
                }
            }
        }
        count += 1_usize;
    }
    region_of
}

/// The regions of all classes, by their first cells.
pub(crate) fn connected(classes: &[usize], columns: usize) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    label(
        classes,
        columns,
        |_| true,
        |region, cell| match regions.get_mut(region as usize) {
            Some(region) => region.cells.push(cell),
            None => regions.push(Region { class: classes[cell], cells: vec![cell] }),
        },
    );
    regions
}

/// The up to four cells beside one: left, right, above, below.
pub fn beside(cell: usize, cells: usize, columns: usize) -> impl Iterator<Item = usize> {
    let column = cell % columns;
    let left = (column > 0).then(|| cell - 1);
    let right = (column + 1 < columns).then_some(cell + 1);
    let above = cell.checked_sub(columns);
    let below = Some(cell + columns).filter(|below| *below < cells);
    [left, right, above, below].into_iter().flatten()
}

/// The neighbour with the longest border; of equal ones the first. `borders` are neighbours and the lengths of the borders with
/// them.
pub fn longest_border<N: Ord + Copy, L: Ord + Copy>(borders: impl IntoIterator<Item = (N, L)>) -> Option<N> {
    let longest = borders.into_iter().max_by_key(|&(neighbour, length)| (length, Reverse(neighbour)));
    longest.map(|(neighbour, _)| neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_numbered_by_their_first_cells_and_touch_by_edges_only() {
        let classes = [0_u8, 1, 0, 1, 0, 0, 1, 1, 0];
        let mut visited = vec![Vec::new(); 4];
        let of = label(&classes, 3, |class| class == 1, |region, cell| visited[region as usize].push(cell));
        assert_eq!(of, [NONE, 0, NONE, 1, NONE, NONE, 1, 1, NONE]);
        assert_eq!((visited[0].as_slice(), visited[1].len(), visited[2].len()), ([1].as_slice(), 3, 0));
        let regions = connected(&classes.map(usize::from), 3);
        let sizes: Vec<_> = regions.iter().map(|region| (region.class, region.cells.len())).collect();
        assert_eq!(sizes, [(0, 1), (1, 1), (0, 4), (1, 3)]);
    }

    #[test]
    fn of_equal_borders_the_first_neighbour_counts() {
        assert_eq!(longest_border([(3, 2), (1, 5), (2, 5)]), Some(1));
        assert_eq!(longest_border::<usize, u32>([]), None);
    }
}
