use std::fmt::Write as _;

use super::format::{Exporter, Needs};
use super::names::class_file_names;
use super::outline::ClassOutline;
use super::view::PhotoView;
use crate::error::Result;
use crate::polygon::Polygon;
use crate::taxonomy::Taxonomy;

/// Opacity of garments that lie on their photo.
const ON_PHOTO: f64 = 0.55;

/// `NAME.svg`: outlines as paths.
pub(super) struct Svg;

impl Exporter for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn about(&self) -> &'static str {
        "one path per connected region, in photo pixels, with the class as `class` and title; on request over the photo, \
         which is linked"
    }

    fn needs(&self) -> Needs {
        Needs { outlines: true, path: true, ..Needs::default() }
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".svg"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        let link = photo.options.svg_photo.then(|| address(photo.path));
        Ok(vec![svg(photo.taxonomy(), photo.size(), &photo.outlines, link.as_deref())])
    }
}

/// A path as the address of a link.
fn address(path: &str) -> String {
    let mut link = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => link.push(char::from(byte)),
            other => link.push_str(&format!("%{other:02X}")),
        }
    }
    link
}

/// The outlines as SVG in photo pixels: a group a class, of its name as it stands in file names and of its colour, and in
/// it a path a piece (even-odd, so holes are holes) with the class's name as its title.
///
/// With `photo`, a link to the photo, it lies below, and the garments are translucent.
fn svg(taxonomy: &Taxonomy, size: (u32, u32), outlines: &[ClassOutline<'_>], photo: Option<&str>) -> Vec<u8> {
    let (width, height) = size;
    let names = class_file_names(taxonomy);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n"
    );
    // Writing to a string cannot fail.
    if let Some(link) = photo {
        let link = escape(link);
        let _ = writeln!(text, "<image href=\"{link}\" width=\"{width}\" height=\"{height}\"/>");
    }
    for ClassOutline { region, polygons } in outlines.iter().filter(|outline| !outline.polygons.is_empty()) {
        let name = names.get(region.class).map_or("class", String::as_str);
        let [r, g, b] = taxonomy.classes.get(region.class).map_or([0; 3], |class| class.color);
        let opacity = if photo.is_some() { format!(" fill-opacity=\"{ON_PHOTO}\"") } else { String::new() };
        let _ = writeln!(text, "<g class=\"{name}\" fill=\"#{r:02x}{g:02x}{b:02x}\"{opacity}>");
        for polygon in polygons {
            let title = escape(&region.name);
            let path = path(polygon);
            let _ = writeln!(
                text,
                "<path class=\"{name}\" fill-rule=\"evenodd\" d=\"{path}\"><title>{title}</title></path>"
            );
        }
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text.into_bytes()
}

/// `M x y L x y ... Z` for each ring.
fn path(polygon: &Polygon) -> String {
    let mut text = String::new();
    for ring in std::iter::once(&polygon.exterior).chain(&polygon.holes) {
        for (index, [x, y]) in ring.iter().enumerate() {
            let _ = write!(text, "{}{} {}", if index == 0 { 'M' } else { 'L' }, number(*x), number(*y));
        }
        text.push('Z');
    }
    text
}

/// Hundredths of a pixel are more than any outline means; whole numbers stay whole.
fn number(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

/// Text for an attribute or an element. Characters that XML 1.0 cannot hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::PixelBox;
    use crate::segmenter::ClassRegion;
    use crate::taxonomy::Class;

    #[test]
    fn a_path_becomes_an_address() {
        assert_eq!(address("../a b&ü.jpg"), "../a%20b%26%C3%BC.jpg");
    }

    #[test]
    fn a_path_a_piece_with_its_holes_and_names_that_xml_can_hold() {
        let taxonomy = Taxonomy {
            classes: vec![Class::new("background", [0; 3]), Class::new("t<&>\u{1}\"shirt\", blouse", [255, 0, 16])],
            groups: Default::default(),
        };
        let region = ClassRegion {
            class: 1,
            name: taxonomy.classes[1].name.clone(),
            area_px: 1,
            area_share: 0.1,
            bounds: PixelBox { x: 0, y: 0, width: 4, height: 4 },
            confidence: 0.5,
        };
        let polygon = Polygon {
            exterior: vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.125]],
            holes: vec![vec![[1.0, 1.0], [1.5, 1.0], [2.0, 2.0]]],
        };
        let outlines = [ClassOutline { region: &region, polygons: vec![polygon] }];
        let text = String::from_utf8(svg(&taxonomy, (9, 7), &outlines, Some("a&b.jpg"))).unwrap();
        for part in [
            "viewBox=\"0 0 9 7\"",
            "<image href=\"a&amp;b.jpg\" width=\"9\" height=\"7\"/>",
            "fill=\"#ff0010\" fill-opacity=\"0.55\"",
            "fill-rule=\"evenodd\" d=\"M0 0L4 0L4 4.13ZM1 1L1.5 1L2 2Z\"",
            "<title>t&lt;&amp;&gt;\u{fffd}&quot;shirt&quot;, blouse</title>",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let bare = svg(&taxonomy, (9, 7), &outlines, None);
        assert!(!String::from_utf8(bare).unwrap().contains("opacity"));
    }
}
