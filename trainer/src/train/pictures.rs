//! What the network makes of a few validation photos, as a picture.

use std::path::Path;

use burn::tensor::Device;
use image::RgbImage;

use super::validate::{evaluated, whole};
use crate::config::Config;
use crate::data::{Dataset, LabelImage, Sample};
use crate::error::Result;
use crate::evaluate::pictures::spread;
use crate::model::Network;
use crate::run::log::grid::{Cell, Grid, GridRow, Labels};

/// Photos in the picture.
const PHOTOS: usize = 6;
/// Largest width and height of a cell, in pixels.
const CELL_PX: (u32, u32) = (240, 300);

/// Draws photo, truth and prediction of some photos, evenly spread over the data, as the network sees them.
pub(super) fn write(path: &Path, model: &Network, dataset: &Dataset, config: &Config, device: &Device) -> Result<()> {
    let target = config.target()?;
    let samples = spread(dataset, PHOTOS).filter_map(|shown| {
        shown.map(|(photo, labels)| Some(Sample { photo, labels: labels?, tags: None })).transpose()
    });
    let shown = samples
        .map(|sample| {
            let example = whole(&sample?, config)?;
            let (_, predicted, _) = evaluated(model, &example, config, dataset.sets(), device);
            let (width, height) = (example.labels.width, example.labels.height);
            Ok((example.picture, example.labels, LabelImage { width, height, data: predicted }))
        })
        .collect::<Result<Vec<(RgbImage, LabelImage, LabelImage)>>>()?;
    let rows = shown.iter().map(|(photo, truth, predicted)| GridRow {
        caption: None,
        cells: vec![
            Cell::Photo(photo),
            Cell::Tinted(photo, Labels::from(truth)),
            Cell::Tinted(photo, Labels::from(predicted)),
        ],
    });
    let columns = ["photo", "truth", config.name.as_str()].map(str::to_owned).into();
    Grid { columns, rows: rows.collect(), taxonomy: &target.taxonomy, cell_px: CELL_PX }.write(path)
}
