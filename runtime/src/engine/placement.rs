//! Which provider runs which nodes, and whether that is what was asked for.

use std::collections::BTreeMap;

use super::{Provider, ProviderNodes};

/// ONNX Runtime's names of its providers.
pub(super) const CPU: &str = "CPUExecutionProvider";
pub(super) const CUDA: &str = "CUDAExecutionProvider";
pub(super) const TENSORRT: &str = "TensorrtExecutionProvider";

/// Operators that hold a network's arithmetic. Where they run is where the network runs; the rest, and above all what
/// works on shapes and indices, ONNX Runtime may put on the CPU on purpose, because moving a number costs more than
/// calculating with it.
const HEAVY: [&str; 14] = [
    "Conv",
    "ConvTranspose",
    "ConvInteger",
    "QLinearConv",
    "FusedConv",
    "MatMul",
    "MatMulInteger",
    "QLinearMatMul",
    "Gemm",
    "FusedGemm",
    "Einsum",
    "Attention",
    "MultiHeadAttention",
    "LSTM",
];

/// The nodes that one provider took in one piece, by operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) provider: String,
    pub(super) operators: Vec<String>,
}

/// Nodes a provider, most nodes first.
pub(super) fn count(placements: &[Placement]) -> Vec<ProviderNodes> {
    let mut nodes = BTreeMap::new();
    for placement in placements {
        *nodes.entry(placement.provider.as_str()).or_default() += placement.operators.len();
    }
    let mut counts: Vec<_> = nodes.into_iter().map(|(provider, nodes)| ProviderNodes::new(provider, nodes)).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.nodes));
    counts
}

/// Whether the network runs on the provider that was asked for by name: nothing or a note, else the reason why not.
///
/// Strict in what matters: no arithmetic may be left on the CPU when a GPU was named, and TensorRT must have at least
/// some of it (what it cannot do, CUDA does). On `cpu`, everything must be there.
pub(super) fn judge(asked: Provider, placements: &[Placement]) -> Result<Option<String>, String> {
    let named = match asked {
        Provider::Cuda => CUDA,
        Provider::Tensorrt => TENSORRT,
        Provider::Cpu => return judge_cpu(placements),
        Provider::Auto | Provider::Embedded => return Ok(None),
    };
    let on = |provider: &str, wanted: fn(&str) -> bool| -> Vec<&str> {
        let there = placements.iter().filter(|placement| placement.provider == provider);
        there.flat_map(|placement| &placement.operators).map(String::as_str).filter(|name| wanted(name)).collect()
    };
    if on(named, |_| true).is_empty() {
        return Err(format!("ONNX Runtime gives it none of the model's nodes ({})", summary(placements)));
    }
    let left = on(CPU, is_heavy);
    if !left.is_empty() {
        return Err(format!(
            "part of the network's computation is left on the CPU ({}: {}); in all: {}",
            number(left.len()),
            distinct(&left),
            summary(placements)
        ));
    }
    let elsewhere = on(CUDA, is_heavy);
    if named == TENSORRT && !elsewhere.is_empty() {
        if on(TENSORRT, is_heavy).is_empty() {
            return Err(format!("all of the network's computation is left to CUDA ({})", summary(placements)));
        }
        return Ok(Some(format!("TensorRT leaves {} to CUDA: {}", number(elsewhere.len()), distinct(&elsewhere))));
    }
    let light = on(CPU, |_| true);
    if light.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("small things run on the CPU ({}: {})", number(light.len()), distinct(&light))))
}

fn judge_cpu(placements: &[Placement]) -> Result<Option<String>, String> {
    if placements.iter().all(|placement| placement.provider == CPU) {
        return Ok(None);
    }
    Err(format!("ONNX Runtime gives nodes to other providers: {}", summary(placements)))
}

fn is_heavy(operator: &str) -> bool {
    HEAVY.contains(&operator)
}

/// Operators without repeats, in order.
fn distinct(operators: &[&str]) -> String {
    let mut names = operators.to_vec();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn number(nodes: usize) -> String {
    if nodes == 1 { "1 node".into() } else { format!("{nodes} nodes") }
}

fn summary(placements: &[Placement]) -> String {
    let counts = count(placements);
    if counts.is_empty() {
        return "it does not say where they run".into();
    }
    let part = |count: &ProviderNodes| format!("{}: {}", count.provider, number(count.nodes));
    counts.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(parts: &[(&str, &[&str])]) -> Vec<Placement> {
        let part = |(provider, operators): &(&str, &[&str])| Placement {
            provider: (*provider).into(),
            operators: operators.iter().map(|name| (*name).into()).collect(),
        };
        parts.iter().map(part).collect()
    }

    #[test]
    fn nodes_are_counted_by_provider() {
        let placements = placed(&[(CPU, &["Shape"]), (CUDA, &["Conv", "Relu"]), (CUDA, &["Conv"])]);
        assert_eq!(count(&placements), [ProviderNodes::new(CUDA, 3), ProviderNodes::new(CPU, 1)]);
    }

    #[test]
    fn shapes_may_be_on_the_cpu_and_arithmetic_may_not() {
        let light = placed(&[(CUDA, &["Conv", "Resize"]), (CPU, &["Shape", "Gather", "Shape"])]);
        assert_eq!(
            judge(Provider::Cuda, &light),
            Ok(Some("small things run on the CPU (3 nodes: Gather, Shape)".into()))
        );
        assert_eq!(judge(Provider::Cuda, &placed(&[(CUDA, &["Conv"])])), Ok(None));
        let heavy = placed(&[(CUDA, &["Conv"]), (CPU, &["ConvTranspose", "Shape"])]);
        let reason = judge(Provider::Cuda, &heavy).unwrap_err();
        assert!(reason.contains("(1 node: ") && reason.contains("ConvTranspose") && reason.contains(CPU), "{reason}");
    }

    #[test]
    fn a_gpu_that_gets_nothing_does_not_run() {
        for asked in [Provider::Cuda, Provider::Tensorrt] {
            let reason = judge(asked, &placed(&[(CPU, &["Conv", "Relu"])])).unwrap_err();
            assert!(reason.contains("none of the model's nodes") && reason.contains("2 nodes"), "{reason}");
            assert!(judge(asked, &[]).unwrap_err().contains("does not say"));
        }
    }

    #[test]
    fn tensorrt_may_leave_some_of_the_work_to_cuda_and_not_all() {
        let mixed = placed(&[(TENSORRT, &["Conv", "Conv"]), (CUDA, &["Einsum"])]);
        assert_eq!(judge(Provider::Tensorrt, &mixed), Ok(Some("TensorRT leaves 1 node to CUDA: Einsum".into())));
        let left = placed(&[(TENSORRT, &["Relu"]), (CUDA, &["Conv"])]);
        assert!(judge(Provider::Tensorrt, &left).unwrap_err().contains("left to CUDA"));
        let cpu = placed(&[(TENSORRT, &["Conv"]), (CPU, &["Gemm"])]);
        assert!(judge(Provider::Tensorrt, &cpu).unwrap_err().contains("Gemm"));
    }

    #[test]
    fn cpu_is_the_cpu() {
        assert_eq!(judge(Provider::Cpu, &placed(&[(CPU, &["Conv"])])), Ok(None));
        assert!(judge(Provider::Cpu, &placed(&[(CPU, &["Conv"]), (CUDA, &["Relu"])])).is_err());
    }
}
