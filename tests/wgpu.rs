//! Trials on wgpu, which count as ignored where there is none.

use burn::tensor::Device;
use eprop_cli::device::DeviceName;
use libtest_mimic::{Completion, Failed};

/// Where this variable is set, trials fail for want of an adapter.
const REQUIRE_WGPU: &str = "EPROP_REQUIRE_WGPU";

/// wgpu's device, or why there is none.
pub type OpenedWgpu = Result<Device, String>;

/// Opens wgpu's default device.
pub fn open_wgpu() -> OpenedWgpu {
    let device: DeviceName = "wgpu".parse()?;
    device.open().map_err(|error| error.to_string())
}

/// Runs a trial on wgpu; without it the trial is ignored, or fails where `EPROP_REQUIRE_WGPU` is set.
///
/// # Errors
///
/// The trial's own.
pub fn on_wgpu(
    wgpu: &OpenedWgpu,
    trial: impl FnOnce(&Device) -> Result<(), Failed>,
) -> Result<Completion, Failed> {
    match wgpu {
        Ok(device) => trial(device).map(|()| Completion::Completed),
        Err(reason) if std::env::var_os(REQUIRE_WGPU).is_some() => Err(Failed::from(reason)),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    }
}
