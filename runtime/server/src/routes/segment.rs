//! `POST /v1/segment`.

use axum::extract::{Query, Request, State};
use axum::response::Response;
use clothseg::PolygonOptions;
use clothseg::export::OutputOptions;
use serde::Deserialize;

use crate::files::Wanted;
use crate::problem::Problem;
use crate::state::Shared;
use crate::upload::Upload;
use crate::work::{self, Found};

/// Largest tolerance of polygons, in pixels.
const MAX_TOLERANCE_PX: f64 = 1000.0;

/// What to make of a photo.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    classes: Option<String>,
    format: Option<String>,
    quality: Option<String>,
    tolerance: Option<f64>,
}

/// Segments a photo into one format, or several in an archive.
pub async fn segment(State(state): State<Shared>, request: Request) -> Result<Response, Problem> {
    let Query(asked) = query::<Parameters>(&request)?;
    let taxonomy = &state.engines.get(None)?.spec().taxonomy;
    let classes = match &asked.classes {
        Some(names) => work::classes(taxonomy, names)?,
        None => taxonomy.garments(),
    };
    let wanted = Wanted::parse(asked.format.as_deref().unwrap_or("json"))?;
    let quality = work::quality(&state, asked.quality.as_deref())?;
    let options = OutputOptions::default().with_polygons(polygons(asked.tolerance)?);
    work::answer(&state, request, move |state, Upload { photo, fields }| {
        super::no_fields(&fields)?;
        let found = Found::of(state, &photo, quality, wanted.needs_pixels())?;
        wanted.file(&found, &photo, &classes, options)
    })
    .await
}

fn polygons(tolerance: Option<f64>) -> Result<PolygonOptions, Problem> {
    let options = PolygonOptions::default();
    match tolerance {
        None => Ok(options),
        Some(pixels) if (0.0..=MAX_TOLERANCE_PX).contains(&pixels) => Ok(options.with_tolerance_px(pixels)),
        Some(_) => Err(Problem::bad_request("tolerance", "'tolerance' is a number of pixels, 0 to 1000")),
    }
}

/// The query of a request; 400 where it says something that nobody asked for.
pub(super) fn query<T: serde::de::DeserializeOwned>(request: &Request) -> Result<Query<T>, Problem> {
    Query::try_from_uri(request.uri()).map_err(|error| {
        let said = error.body_text();
        // What stands before it is the name of a step in axum.
        let cause = said.split_once(": ").map_or(&*said, |(_, cause)| cause);
        Problem::bad_request("query", format!("the query is wrong: {cause}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_pixels() {
        assert_eq!(polygons(Some(2.5)).unwrap().tolerance_px, 2.5);
        assert_eq!(polygons(None).unwrap(), PolygonOptions::default());
        for odd in [-1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(polygons(Some(odd)).unwrap_err().status().as_u16(), 400, "{odd}");
        }
    }
}
