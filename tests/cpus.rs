//! The CPU devices that are built in.

use burn::tensor::Device;
use eprop_cli::device::DeviceName;

/// Flex and, with the feature `ndarray`, NdArray.
pub fn cpus() -> Vec<Device> {
    DeviceName::CPUS.iter().map(|device| device.open().expect("a CPU device")).collect()
}
