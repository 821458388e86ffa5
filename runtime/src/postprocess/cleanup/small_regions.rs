//! The clean-up of older models: small regions, and garments whose neighbour is nearly as likely.
//!
//! Where the network is unsure between two classes a coat has a patch of jacket in it, and small regions of rare classes appear.
//! Such a region is merged into the neighbour with the longest shared border when it is small, or, between garments, when the
//! network finds the class of a larger neighbour nearly as likely there as the region's own.

use ndarray::Array3;

use super::argmax;
use crate::regions::{Region, beside, connected, longest_border};
use crate::spec::{OutputKind, OutputSpec, SmallRegions};

/// The class that a region shares its longest border with.
struct Neighbour {
    class: usize,
    /// Whether one of the regions of that class that touch is the larger one.
    is_larger: bool,
}

/// Merges small regions of `values`, classes x rows x columns, of which the first `content` rows and columns show the photo. In
/// the cells of a region that is merged the values of the two classes change places, so that whatever is made of them agrees.
pub(in crate::postprocess) fn merge_small_regions(
    values: &mut Array3<f32>,
    content: [usize; 2],
    spec: &OutputSpec,
    limits: SmallRegions,
) {
    let [_, columns] = content;
    let cell_px = u64::from(spec.stride).pow(2);
    let mut labels = argmax(values, content);
    // The smallest first, each by what its neighbours have become.
    let mut regions = connected(&labels, columns);
    regions.sort_by_key(|region| region.cells.len());
    let mut size_at = vec![0; labels.len()];
    for region in &regions {
        region.cells.iter().for_each(|cell| size_at[*cell] = region.cells.len());
    }
    for region in &regions {
        let is_small = (region.cells.len() as u64) * cell_px < u64::from(limits.min_area_px);
        if !is_small && (region.class == 0 || limits.merge_threshold_percent.is_none()) {
            continue; // most cells are the background's: its border is not walked for nothing
        }
        let Some(neighbour) = neighbour(region, &labels, &size_at, columns) else { continue };
        let are_garments = region.class != 0 && neighbour.class != 0;
        let is_doubtful = || {
            let threshold = limits.merge_threshold_percent.map(|percent| percent as f32 / 100.0);
            let ratio = || probability_ratio(values, region, neighbour.class, columns, spec.kind);
            threshold.is_some_and(|threshold| ratio() >= threshold)
        };
        if is_small || (neighbour.is_larger && are_garments && is_doubtful()) {
            for cell in &region.cells {
                labels[*cell] = neighbour.class;
                let [row, column] = [cell / columns, cell % columns];
                values.swap([region.class, row, column], [neighbour.class, row, column]);
            }
        }
    }
}

/// The class that a region shares the longest border with; of equal ones the first. None where it is all there is.
fn neighbour(region: &Region, labels: &[usize], size_at: &[usize], columns: usize) -> Option<Neighbour> {
    let mut borders: Vec<(usize, usize, usize)> = Vec::new(); // class, edges, cells of the largest region
    for cell in &region.cells {
        for next in beside(*cell, labels.len(), columns).filter(|next| labels[*next] != region.class) {
            let class = labels[next];
            match borders.iter_mut().find(|(known, ..)| *known == class) {
                Some((_, edges, cells)) => (*edges, *cells) = (*edges + 1, size_at[next].max(*cells)),
                None => borders.push((class, 1, size_at[next])),
            }
        }
    }
    let (class, cells) = longest_border(borders.into_iter().map(|(class, edges, cells)| ((class, cells), edges)))?;
    Some(Neighbour { class, is_larger: cells > region.cells.len() })
}

/// Mean probability of `class` in a region divided by that of the region's own class.
fn probability_ratio(values: &Array3<f32>, region: &Region, class: usize, columns: usize, kind: OutputKind) -> f32 {
    let (mut own, mut other) = (0.0, 0.0);
    for cell in &region.cells {
        let at = |class: usize| values[[class, cell / columns, cell % columns]];
        // The own class has the largest value.
        let largest = at(region.class);
        let (own_part, other_part) = match kind {
            OutputKind::Probabilities | OutputKind::ClassMap => (largest, at(class)),
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
    fn merged(rows: &[&str], limits: SmallRegions) -> Vec<String> {
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
        merge_small_regions(&mut values, content, &OutputSpec::logits(2), limits);
        assert!((values.sum() - before).abs() < 1e-3, "values change places only");
        let labels = argmax(&values, content);
        labels.chunks(columns).map(|row| row.iter().map(usize::to_string).collect()).collect()
    }

    const SMALL: SmallRegions = SmallRegions { min_area_px: 12, merge_threshold_percent: None };
    const DOUBTFUL: SmallRegions = SmallRegions { min_area_px: 0, merge_threshold_percent: Some(50) };

    #[test]
    fn small_regions_go_to_what_they_touch_most() {
        // Two cells of 4 pixels are small, three are not.
        assert_eq!(merged(&["000000", "020333", "020000"], SMALL), ["000000", "000333", "000000"]);
        assert_eq!(merged(&["011110", "012110", "011110"], SMALL), ["011110", "011110", "011110"]);
        assert_eq!(merged(&["00001111", "00002111"], SMALL), ["00001111", "00001111"]);
    }

    #[test]
    fn a_small_region_goes_by_what_its_neighbours_have_become() {
        // The 3 lies against three 0; then the 2 lie against five 0 and one 1, and no 3 any more.
        assert_eq!(merged(&["0000", "0230", "0210", "0110"], SMALL), ["0000", "0000", "0010", "0110"]);
    }

    #[test]
    fn a_doubtful_region_becomes_the_larger_garment_around_it() {
        let coat = ["0111110", "01cc110", "01cc110", "0111110"];
        assert_eq!(merged(&coat, DOUBTFUL)[1], "0111110");
        assert_eq!(merged(&coat, SMALL)[1], "0122110");
        // Sure of itself, it stays; so does the larger of two, and a garment against background.
        assert_eq!(merged(&["0111110", "0122110", "0122110"], DOUBTFUL)[1], "0122110");
        assert_eq!(merged(&["0cccc10", "0cccc10"], DOUBTFUL)[0], "0222210");
        assert_eq!(merged(&["000000", "00bb00"], DOUBTFUL)[1], "001100");
    }

    #[test]
    fn one_class_alone_and_no_content_are_left() {
        assert_eq!(merged(&["2"], SMALL), ["2"]);
        let mut empty = Array3::zeros((2, 0, 0));
        merge_small_regions(&mut empty, [0, 0], &OutputSpec::logits(1), SMALL);
    }
}
