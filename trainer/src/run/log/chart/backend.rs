//! A canvas as plotters sees it.

use std::convert::Infallible;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontTransform};

use super::super::canvas::{Canvas, TextStyle, line_height, text_width};

type Done<T = ()> = Result<T, DrawingErrorKind<Infallible>>;

pub(super) struct Backend<'a>(pub(super) &'a mut Canvas);

impl DrawingBackend for Backend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.0.image.dimensions()
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Done {
        self.0.blend(x.into(), y.into(), color.rgb.into(), color.alpha as f32);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Done {
        let anchor = style.anchor();
        let across = match anchor.h_pos {
            HPos::Left => 0.0,
            HPos::Center => 0.5,
            HPos::Right => 1.0,
        };
        let along = match anchor.v_pos {
            VPos::Top => 0.0,
            VPos::Center => 0.5,
            VPos::Bottom => 1.0,
        };
        let written = TextStyle::new(style.size() as f32).color(style.color().rgb.into()).anchor(across, along);
        let written = if matches!(style.transform(), FontTransform::None) { written } else { written.up() };
        self.0.text(x as f32, y as f32, written, text);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, style: &S) -> Done<(u32, u32)> {
        let size = style.size() as f32;
        Ok((text_width(size, text).ceil() as u32, line_height(size).ceil() as u32))
    }
}
