//! A look at the whole photo, at the deepest feature map: its mean over the photo tells every place of it what kind of photo
//! it is, and a head tells which classes it shows.

use burn::module::Module;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};

use super::blocks::{Conv, ConvConfig};
use super::network::Prediction;
use super::pass::Pass;
use crate::config::{Context, DecoderConfig};
use clothseg_kernels::mean_pool2d;

/// The least probability that the head leaves a class, so that no pixel's logits are at its mercy alone: -4.6 in logits.
const LEAST_PROBABILITY: f64 = 0.01;

/// The context's channels: the map's over this.
const CONTEXT_SHARE: usize = 4;

/// What a network may have behind its deepest map.
#[derive(Module, Debug)]
pub struct WholeView {
    context: Option<PooledContext>,
    presence: Option<Conv>,
}

#[derive(Module, Debug)]
struct PooledContext {
    narrow: Conv,
    widen: Conv,
}

/// What the head finds.
pub(super) struct Presence {
    /// `(N, classes, 1, 1)`, before the sigmoid.
    logits: Tensor<4>,
}

impl WholeView {
    /// For a map of `channels`.
    pub(super) fn new(channels: usize, classes: usize, config: &DecoderConfig, device: &Device) -> Self {
        let conv = |from, to| {
            let conv = ConvConfig::new(from, to, 1).with_initialization(config.initialization).with_bias();
            conv.init(device)
        };
        let inner = (channels / CONTEXT_SHARE).max(1);
        let context = (config.context == Context::Pool)
            .then(|| PooledContext { narrow: conv(channels, inner), widen: conv(inner, channels) });
        Self { context, presence: config.presence.then(|| conv(channels, classes)) }
    }

    /// Whether there is a head.
    pub(super) fn has_presence(&self) -> bool {
        self.presence.is_some()
    }

    /// `(N, channels, H, W)` to the same with its context.
    pub(super) fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> (Tensor<4>, Option<Presence>) {
        if self.context.is_none() && self.presence.is_none() {
            return (input, None);
        }
        let pooled = mean_pool2d(input.clone()); //         (N, channels, 1, 1)
        let presence = self.presence.as_ref().map(|head| {
            pass.pass_by(head.weight_id());
            Presence { logits: head.forward(pooled.clone()) }
        });
        let output = match &self.context {
            // Spread over the map by an addition, which in ONNX works at any size.
            Some(PooledContext { narrow, widen }) => {
                [narrow, widen].into_iter().for_each(|conv| pass.pass_by(conv.weight_id()));
                input.add(widen.forward(relu(narrow.forward(pooled))))
            }
            None => input,
        };
        (output, presence)
    }
}

impl Presence {
    /// Adds the logarithm of each class's probability to its logits everywhere. The head does not learn by what that does to
    /// the pixels: their losses made it a constant for each class, which is no answer about the photo.
    pub(super) fn join(self, logits: Tensor<4>) -> Prediction {
        let probability =
            sigmoid(self.logits.clone()).mul_scalar(1.0 - LEAST_PROBABILITY).add_scalar(LEAST_PROBABILITY);
        Prediction { logits: logits.add(probability.log().detach()), presence: Some(self.logits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;

    fn config(context: Context, presence: bool) -> DecoderConfig {
        DecoderConfig { context, presence, ..DecoderConfig::default() }
    }

    #[test]
    fn context_is_the_same_everywhere_and_changes_no_shape() {
        let view = WholeView::new(8, 3, &config(Context::Pool, true), &cpu());
        let input = Tensor::<4>::random([2, 8, 3, 5], burn::tensor::Distribution::Default, &cpu());
        let (output, presence) = view.forward(input.clone(), &mut Pass::evaluation());
        let presence = presence.map(|presence| presence.logits.dims());
        assert_eq!((output.dims(), presence), ([2, 8, 3, 5], Some([2, 3, 1, 1])));
        let added = output.sub(input);
        let spread: f32 = added.clone().sub(mean_pool2d(added)).abs().max().into_scalar();
        assert!(spread < 1e-5, "{spread}");
    }

    #[test]
    fn without_either_nothing_changes() {
        let view = WholeView::new(8, 3, &config(Context::None, false), &cpu());
        let (output, presence) = view.forward(Tensor::ones([1, 8, 2, 2], &cpu()), &mut Pass::evaluation());
        assert!(presence.is_none() && output.min().into_scalar::<f32>() == 1.0);
    }

    #[test]
    fn a_class_loses_the_logarithm_of_its_probability_and_never_all() {
        let logits = Tensor::<4>::from_floats([[[[0.0]], [[-100.0]], [[100.0]]]], &cpu());
        let joined = Presence { logits }.join(Tensor::zeros([1, 3, 1, 1], &cpu())).logits;
        let values: Vec<f32> = joined.into_data().iter::<f32>().collect();
        for (value, probability) in values.iter().zip([0.505_f32, 0.01, 1.0]) {
            assert!((value - probability.ln()).abs() < 1e-5, "{value}");
        }
    }
}
