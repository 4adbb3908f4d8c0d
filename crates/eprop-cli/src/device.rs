//! Devices by name.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "wgpu")]
use anyhow::Context;
use anyhow::Result;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// A device that a command can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceName {
    /// Burn's own CPU backend.
    Flex,
    /// The CPU backend on the ndarray crate.
    NdArray,
    /// A GPU through wgpu.
    #[cfg(feature = "wgpu")]
    Wgpu,
}

impl DeviceName {
    /// The device itself.
    ///
    /// # Errors
    ///
    /// If the machine has no adapter for it.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[allow(deprecated)] // Upstream favours Flex; this project supports both.
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => open_wgpu(),
        }
    }
}

/// wgpu's default device. It is tried with a small tensor, since a missing adapter shows itself by a panic.
#[cfg(feature = "wgpu")]
fn open_wgpu() -> Result<Device> {
    use burn::tensor::{DeviceKind, Tensor};

    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let device = std::panic::catch_unwind(|| {
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let sum = Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>();
        (sum == 2.0).then_some(device)
    });
    std::panic::set_hook(hook);
    device.ok().flatten().context("no adapter for the device wgpu was found")
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "flex" => Ok(Self::Flex),
            "ndarray" => Ok(Self::NdArray),
            #[cfg(feature = "wgpu")]
            "wgpu" => Ok(Self::Wgpu),
            #[cfg(not(feature = "wgpu"))]
            "wgpu" => {
                Err("this program was built without wgpu; build it with `--features eprop-cli/wgpu`".into())
            }
            _ => Err(format!("unknown device `{name}`; there are flex, ndarray and wgpu")),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            #[cfg(feature = "wgpu")]
            Self::Wgpu => "wgpu",
        })
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
