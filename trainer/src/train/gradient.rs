//! The gradients of a step, all shards' together: their norm, and its limit.

use std::collections::HashSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use clothseg_kernels::{sum_of_squares, updates_in_place};

/// Drops the gradients of `frozen` parameters and returns the Euclidean norm of all others taken as one vector. Where it
/// is above `limit`, all are scaled so that it becomes `limit` (Pascanu, Mikolov and Bengio, "On the difficulty of training
/// recurrent neural networks", 2013). A norm that is no number is returned and changes nothing.
pub fn clip<M: Module>(
    model: &M,
    gradients: &mut GradientsParams,
    frozen: &HashSet<ParamId>,
    limit: Option<f64>,
) -> f64 {
    let mut squares = Squares { gradients, frozen, sum: 0.0, elsewhere: None };
    model.visit(&mut squares);
    let elsewhere = squares.elsewhere.map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()));
    let norm = (squares.sum + elsewhere).sqrt();
    if let Some(limit) = limit
        && norm > limit
        && norm.is_finite()
    {
        model.visit(&mut Scale { gradients, factor: limit / norm });
    }
    norm
}

struct Squares<'a> {
    gradients: &'a mut GradientsParams,
    frozen: &'a HashSet<ParamId>,
    sum: f64,
    /// The sum over the gradients on another device, `(1)`, fetched once.
    elsewhere: Option<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        if self.frozen.contains(&param.id) {
            return;
        }
        let gradient = if updates_in_place(&gradient) {
            let (gradient, squares) = sum_of_squares(gradient);
            self.sum += squares;
            gradient
        } else {
            let squares = gradient.clone().square().sum();
            self.elsewhere = Some(match self.elsewhere.take() {
                Some(sum) => sum.add(squares),
                None => squares,
            });
            gradient
        };
        self.gradients.register(param.id, gradient);
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two weights with gradients (3, 0) and ((4), (12)), norm 13.
    fn two() -> ((Param<Tensor<1>>, Param<Tensor<2>>), GradientsParams) {
        let device = Device::flex();
        let one = Param::from_tensor(Tensor::<1>::zeros([2], &device));
        let other = Param::from_tensor(Tensor::<2>::zeros([2, 1], &device));
        let mut gradients = GradientsParams::new();
        gradients.register(one.id, Tensor::<1>::from_floats([3.0, 0.0], &device));
        gradients.register(other.id, Tensor::<2>::from_floats([[4.0], [12.0]], &device));
        ((one, other), gradients)
    }

    #[test]
    fn the_norm_is_that_of_all_weights_and_has_a_limit() {
        for (limit, factor) in [(None, 1.0), (Some(20.0), 1.0), (Some(6.5), 0.5)] {
            let (model, mut gradients) = two();
            assert_eq!(clip(&model, &mut gradients, &HashSet::new(), limit), 13.0);
            let left: Tensor<2> = gradients.get(model.1.id).unwrap();
            let left: Vec<f32> = left.into_data().iter::<f32>().collect();
            assert_eq!(left, [4.0 * factor, 12.0 * factor], "{limit:?}");
        }
    }

    #[test]
    fn frozen_weights_have_no_gradient_and_no_part_in_the_norm() {
        let (model, mut gradients) = two();
        let frozen = HashSet::from([model.1.id]);
        assert_eq!(clip(&model, &mut gradients, &frozen, Some(1.5)), 3.0);
        assert_eq!(gradients.len(), 1);
    }

    #[test]
    fn a_norm_that_is_no_number_is_reported() {
        let (model, mut gradients) = two();
        gradients.register(model.0.id, Tensor::<1>::from_floats([f32::NAN, 0.0], &Device::flex()));
        assert!(clip(&model, &mut gradients, &HashSet::new(), Some(1.0)).is_nan());
    }
}
