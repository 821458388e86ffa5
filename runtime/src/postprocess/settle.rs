//! One garment, one class.
//!
//! Where the network wavers between two classes a coat has a patch of jacket in it, and specks of rare classes lie here and
//! there. Both are connected areas of cells (4 neighbours) against a larger one. Such an area goes to the neighbour that it
//! shares the longest border with when it is a speck, or, between garments, when the network finds the neighbour's class
//! nearly as likely there as the area's own.

use std::cmp::Reverse;

use ndarray::{Array3, Axis};

use crate::spec::{OutputKind, OutputSpec, Settling};

/// A connected area of cells of one class.
pub(super) struct Area {
    pub(super) class: usize,
    /// Row-major indices.
    pub(super) cells: Vec<usize>,
}

/// What an area lies against.
struct Neighbour {
    class: usize,
    /// Whether one of the areas of that class that touch is the larger one.
    is_larger: bool,
}

/// Settles `values`, classes x rows x columns, of which the first `content` rows and columns show the photo. In the cells of an
/// area that goes to its neighbour the values of the two classes change places, so that whatever is made of them agrees.
pub(super) fn settle(values: &mut Array3<f32>, content: [usize; 2], spec: &OutputSpec, settling: Settling) {
    let [_, columns] = content;
    let cell_px = u64::from(spec.stride).pow(2);
    let mut labels = argmax(values, content);
    // The smallest first, each by what its neighbours have become.
    let mut areas = areas(&labels, columns);
    areas.sort_by_key(|area| area.cells.len());
    let mut size_at = vec![0; labels.len()];
    for area in &areas {
        area.cells.iter().for_each(|cell| size_at[*cell] = area.cells.len());
    }
    for area in &areas {
        let is_speck = (area.cells.len() as u64) * cell_px < u64::from(settling.speck_px);
        if !is_speck && (area.class == 0 || settling.likeness_percent.is_none()) {
            continue; // most cells are the background's: its border is not walked for nothing
        }
        let Some(neighbour) = neighbour(area, &labels, &size_at, columns) else { continue };
        let are_garments = area.class != 0 && neighbour.class != 0;
        let is_doubtful = || {
            let limit = settling.likeness_percent.map(|percent| percent as f32 / 100.0);
            limit.is_some_and(|limit| likeness(values, area, neighbour.class, columns, spec.kind) >= limit)
        };
        if is_speck || (neighbour.is_larger && are_garments && is_doubtful()) {
            for cell in &area.cells {
                labels[*cell] = neighbour.class;
                let [row, column] = [cell / columns, cell % columns];
                values.swap([area.class, row, column], [neighbour.class, row, column]);
            }
        }
    }
}

/// The class with the largest value of each content cell, row-major; of equal ones the first.
pub(super) fn argmax(values: &Array3<f32>, [rows, columns]: [usize; 2]) -> Vec<usize> {
    let mut labels = vec![0; rows * columns];
    let mut largest = vec![f32::NEG_INFINITY; rows * columns];
    for (class, plane) in values.axis_iter(Axis(0)).enumerate() {
        for (row, line) in plane.outer_iter().take(rows).enumerate() {
            let cells = row * columns..(row + 1) * columns;
            let known = largest[cells.clone()].iter_mut().zip(&mut labels[cells]);
            for ((largest, label), value) in known.zip(line) {
                if *value > *largest {
                    (*largest, *label) = (*value, class);
                }
            }
        }
    }
    labels
}

/// The connected areas of cells of one class, by their first cell.
pub(super) fn areas(labels: &[usize], columns: usize) -> Vec<Area> {
    let mut areas = Vec::new();
    let mut is_taken = vec![false; labels.len()];
    let mut open = Vec::new();
    for start in 0..labels.len() {
        if is_taken[start] {
            continue;
        }
        let mut area = Area { class: labels[start], cells: Vec::new() };
        is_taken[start] = true;
        open.push(start);
        while let Some(cell) = open.pop() {
            area.cells.push(cell);
            for next in beside(cell, labels.len(), columns) {
                if !is_taken[next] && labels[next] == area.class {
                    is_taken[next] = true;
                    open.push(next);
                }
            }
        }
        areas.push(area);
    }
    areas
}

/// The up to four cells beside one.
pub(super) fn beside(cell: usize, cells: usize, columns: usize) -> impl Iterator<Item = usize> {
    let column = cell % columns;
    let left = (column > 0).then(|| cell - 1);
    let right = (column + 1 < columns).then_some(cell + 1);
    let above = cell.checked_sub(columns);
    let below = Some(cell + columns).filter(|below| *below < cells);
    [left, right, above, below].into_iter().flatten()
}

/// The class that an area shares the longest border with; of equal ones the first. None where it is all there is.
fn neighbour(area: &Area, labels: &[usize], size_at: &[usize], columns: usize) -> Option<Neighbour> {
    let mut borders: Vec<(usize, usize, usize)> = Vec::new(); // class, edges, cells of the largest area
    for cell in &area.cells {
        for next in beside(*cell, labels.len(), columns).filter(|next| labels[*next] != area.class) {
            let class = labels[next];
            match borders.iter_mut().find(|(known, ..)| *known == class) {
                Some((_, edges, cells)) => (*edges, *cells) = (*edges + 1, size_at[next].max(*cells)),
                None => borders.push((class, 1, size_at[next])),
            }
        }
    }
    let longest = borders.into_iter().max_by_key(|(class, edges, _)| (*edges, Reverse(*class)));
    longest.map(|(class, _, cells)| Neighbour { class, is_larger: cells > area.cells.len() })
}

/// Mean probability of `class` in an area over that of the area's own class.
fn likeness(values: &Array3<f32>, area: &Area, class: usize, columns: usize, kind: OutputKind) -> f32 {
    let (mut own, mut other) = (0.0, 0.0);
    for cell in &area.cells {
        let at = |class: usize| values[[class, cell / columns, cell % columns]];
        // The own class has the largest value.
        let largest = at(area.class);
        let (own_part, other_part) = match kind {
            OutputKind::Probabilities => (largest, at(class)),
            OutputKind::Logits => {
                let sum: f32 = (0..values.dim().0).map(|class| (at(class) - largest).exp()).sum();
                (1.0 / sum, (at(class) - largest).exp() / sum)
            }
        };
        own += own_part;
        other += other_part;
    }
    other / own
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes of one digit a cell, whose value is 2 where another's is 0; a lower-case letter is a cell of class `letter - a`
    /// with the value 2 in which class 1 has 1.9.
    fn settled(rows: &[&str], settling: Settling) -> Vec<String> {
        let columns = rows[0].len();
        let mut values = Array3::zeros((4, rows.len(), columns));
        for (row, line) in rows.iter().enumerate() {
            for (column, letter) in line.bytes().enumerate() {
                let wavers = letter.is_ascii_lowercase();
                let class = usize::from(if wavers { letter - b'a' } else { letter - b'0' });
                values[[1, row, column]] = if wavers { 1.9 } else { 0.0 };
                values[[class, row, column]] = 2.0;
            }
        }
        let before: f32 = values.sum();
        let content = [rows.len(), columns];
        settle(&mut values, content, &OutputSpec::logits(2), settling);
        assert!((values.sum() - before).abs() < 1e-3, "values change places only");
        let labels = argmax(&values, content);
        labels.chunks(columns).map(|row| row.iter().map(usize::to_string).collect()).collect()
    }

    const SPECKS: Settling = Settling { speck_px: 12, likeness_percent: None };
    const DOUBTS: Settling = Settling { speck_px: 0, likeness_percent: Some(50) };

    #[test]
    fn specks_go_to_what_they_touch_most() {
        // Two cells of 4 pixels are a speck, three are none.
        assert_eq!(settled(&["000000", "020333", "020000"], SPECKS), ["000000", "000333", "000000"]);
        assert_eq!(settled(&["011110", "012110", "011110"], SPECKS), ["011110", "011110", "011110"]);
        assert_eq!(settled(&["00001111", "00002111"], SPECKS), ["00001111", "00001111"]);
    }

    #[test]
    fn a_speck_goes_by_what_its_neighbours_have_become() {
        // The 3 lies against three 0; then the 2 lie against five 0 and one 1, and no 3 any more.
        assert_eq!(settled(&["0000", "0230", "0210", "0110"], SPECKS), ["0000", "0000", "0010", "0110"]);
    }

    #[test]
    fn a_patch_in_doubt_becomes_the_larger_garment_round_it() {
        let coat = ["0111110", "01cc110", "01cc110", "0111110"];
        assert_eq!(settled(&coat, DOUBTS)[1], "0111110");
        assert_eq!(settled(&coat, SPECKS)[1], "0122110");
        // Sure of itself, it stays; so does the larger of two, and a garment against background.
        assert_eq!(settled(&["0111110", "0122110", "0122110"], DOUBTS)[1], "0122110");
        assert_eq!(settled(&["0cccc10", "0cccc10"], DOUBTS)[0], "0222210");
        assert_eq!(settled(&["000000", "00bb00"], DOUBTS)[1], "001100");
    }

    #[test]
    fn one_class_alone_and_no_content_are_left() {
        assert_eq!(settled(&["2"], SPECKS), ["2"]);
        let mut empty = Array3::zeros((2, 0, 0));
        settle(&mut empty, [0, 0], &OutputSpec::logits(1), SPECKS);
    }
}
