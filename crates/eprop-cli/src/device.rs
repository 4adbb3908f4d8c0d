//! Devices by name.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// A device that a command can run on. All but Flex are features of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceName {
    /// Burn's own CPU backend.
    Flex,
    /// The CPU backend on the ndarray crate.
    NdArray,
    /// A GPU through wgpu, by whatever the machine has.
    Wgpu,
    /// A GPU through wgpu and Vulkan.
    Vulkan,
    /// A GPU through wgpu and Metal.
    Metal,
    /// A GPU of NVIDIA's.
    Cuda,
    /// A GPU of AMD's.
    Rocm,
}

impl DeviceName {
    /// The CPU devices that are built in.
    pub const CPUS: &[Self] = &[
        Self::Flex,
        #[cfg(feature = "ndarray")]
        Self::NdArray,
    ];
    const ALL: [Self; 7] =
        [Self::Flex, Self::NdArray, Self::Wgpu, Self::Vulkan, Self::Metal, Self::Cuda, Self::Rocm];

    /// The device itself: the first one of its kind.
    ///
    /// # Errors
    ///
    /// If the program was built without it, or the machine does not have it.
    pub fn open(self) -> Result<Device> {
        #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
        use burn::tensor::DeviceKind::DefaultDevice;
        #[allow(unreachable_patterns)] // Where all are built in.
        match self {
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Upstream favours Flex; this project supports both.
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => self.tried(|| Device::wgpu(DefaultDevice)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => self.tried(|| Device::vulkan(DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => self.tried(|| Device::metal(DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda => self.tried(|| Device::cuda(0)),
            #[cfg(feature = "rocm")]
            Self::Rocm => self.tried(|| Device::rocm(0)),
            _ => bail!("this program was built without {self}; build it with `--features eprop-cli/{self}`"),
        }
    }

    /// A device that a small tensor was tried on: a missing adapter shows itself by a panic.
    #[allow(dead_code, reason = "without the feature of a GPU nothing is tried")]
    fn tried(self, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> Result<Device> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let device = std::panic::catch_unwind(|| {
            let device = open();
            let sum = Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>();
            (sum == 2.0).then_some(device)
        });
        std::panic::set_hook(hook);
        device.ok().flatten().with_context(|| format!("no adapter for the device {self} was found"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|device| device.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown device `{name}`; there are {names}")
        })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<DeviceName> for String {
    fn from(device: DeviceName) -> Self {
        device.to_string()
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}
