//! Which device trains.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{Error, Result};

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, or an error. A device that only imitates one in software counts too.
    Gpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.to_lowercase().as_str() {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "gpu" => Ok(DeviceChoice::Gpu),
            _ => Err(format!("there is no device `{text}`; use auto, cpu or gpu")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Gpu => "gpu",
        })
    }
}

/// A device that trains.
#[derive(Clone, Debug)]
pub struct TrainingDevice {
    /// Burn's device, without autodiff.
    pub device: Device,
    /// What the log calls it, and why it was taken.
    pub description: String,
    /// Whether it is a GPU.
    pub is_gpu: bool,
}

/// The CPU, whatever else this build and the environment offer.
pub fn cpu() -> Device {
    Device::flex()
}

impl DeviceChoice {
    /// Finds the device.
    pub fn open(self) -> Result<TrainingDevice> {
        let on_cpu = |why: &str| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            TrainingDevice { device: cpu(), description: format!("the CPU, {cores} cores{why}"), is_gpu: false }
        };
        match self {
            DeviceChoice::Cpu => Ok(on_cpu("")),
            DeviceChoice::Auto => Ok(match gpus() {
                Ok(gpus) => {
                    let real = gpus.into_iter().find(|gpu| !gpu.in_software);
                    real.map_or_else(|| on_cpu(&format!(" (no GPU found through {API})")), Gpu::open)
                }
                Err(why) => on_cpu(&format!(" ({why})")),
            }),
            DeviceChoice::Gpu => {
                let mut gpus = gpus().map_err(|cause| Error::Device { cause })?;
                gpus.sort_by_key(|gpu| gpu.in_software);
                let cause = format!("no GPU found through {API}; install its driver, or use --device cpu");
                gpus.into_iter().next().map(Gpu::open).ok_or(Error::Device { cause })
            }
        }
    }
}

/// What this build reaches GPUs through, for messages.
#[cfg(feature = "vulkan")]
const API: &str = "Vulkan";
#[cfg(not(feature = "vulkan"))]
const API: &str = "wgpu";

/// A device that the graphics API names.
struct Gpu {
    device: Device,
    name: String,
    in_software: bool,
}

impl Gpu {
    fn open(self) -> TrainingDevice {
        let what = if self.in_software { "a GPU emulated in software" } else { "the GPU" };
        TrainingDevice {
            device: self.device,
            description: format!("{what}, {}, through {API}", self.name),
            is_gpu: true,
        }
    }
}

#[cfg(not(any(feature = "vulkan", feature = "wgpu")))]
fn gpus() -> std::result::Result<Vec<Gpu>, String> {
    Err("this build has no GPU support; build with `--features wgpu`".to_owned())
}

#[cfg(any(feature = "vulkan", feature = "wgpu"))]
fn gpus() -> std::result::Result<Vec<Gpu>, String> {
    use burn::tensor::DeviceType;

    #[cfg(feature = "vulkan")]
    let kind = DeviceType::Vulkan;
    #[cfg(not(feature = "vulkan"))]
    let kind = DeviceType::Wgpu;
    let devices = Device::enumerate(kind);
    Ok(devices
        .into_iter()
        .map(|device| {
            let name = device.identity().map_or_else(|| "unnamed".to_owned(), |identity| identity.name.to_string());
            // Mesa's, Google's and Microsoft's software devices name themselves.
            let in_software = ["llvmpipe", "lavapipe", "swiftshader", "microsoft basic render"]
                .iter()
                .any(|software| name.to_lowercase().contains(software));
            Gpu { device, name, in_software }
        })
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_back_and_others_refused() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Gpu] {
            assert_eq!(choice.to_string().to_uppercase().parse(), Ok(choice));
        }
        assert!("tpu".parse::<DeviceChoice>().unwrap_err().contains("auto, cpu or gpu"));
    }

    #[test]
    fn the_cpu_is_always_there() {
        let device = DeviceChoice::Cpu.open().unwrap();
        assert!(!device.is_gpu && device.description.contains("CPU"));
    }

    #[test]
    #[cfg(not(any(feature = "vulkan", feature = "wgpu")))]
    fn a_build_without_a_gpu_says_so() {
        assert!(DeviceChoice::Gpu.open().unwrap_err().to_string().contains("--features wgpu"));
        assert!(DeviceChoice::Auto.open().unwrap().description.contains("--features wgpu"));
    }
}
