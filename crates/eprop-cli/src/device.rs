//! Devices by name.

use std::fmt;
use std::str::FromStr;

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
    pub fn open(self) -> Device {
        match self {
            Self::Flex => Device::flex(),
            #[allow(deprecated)] // Upstream favours Flex; this project supports both.
            Self::NdArray => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        }
    }
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
            "wgpu" => Err("this program was built without wgpu; build it with `--features wgpu`".into()),
            _ => Err("unknown device; there are flex, ndarray and wgpu".into()),
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
