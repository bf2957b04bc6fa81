//! The GPUs of this machine.

use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
};
use cudarc::driver::sys::{CUresult, CUuuid};
use cudarc::driver::{CudaContext, DriverError, result};
use vgg_tensor::{Error, Result};

use crate::error::During;
use crate::{Precision, libraries};

/// The compute capability that our kernels are for: Turing.
const OLDEST: (i32, i32) = (7, 5);
/// The first one with `bf16`: Ampere.
const BF16: (i32, i32) = (8, 0);

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number, as in `cuda:0`.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// What tells it from all other GPUs, on any machine.
    pub uuid: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Its multiprocessors.
    pub processors: usize,
    /// Bytes of its memory.
    pub memory: u64,
}

impl Device {
    /// Bytes of its memory that are free now. It is opened for this.
    ///
    /// # Errors
    /// [`Error::Device`] if that fails, [`Error::OutOfMemory`] if there is not even room for it.
    pub fn free_memory(&self) -> Result<u64> {
        const OP: &str = "asking for free memory";
        let context = CudaContext::new(self.ordinal).during(OP)?;
        let (free, _) = context.mem_get_info().during(OP)?;
        Ok(free as u64)
    }

    /// Passes if it can compute at this precision.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is too old.
    pub fn check(&self, precision: Precision) -> Result<()> {
        let Self { ordinal, name, capability: (major, minor), .. } = self;
        let (what, needed) = match precision {
            _ if self.capability < OLDEST => (format!("cuda:{ordinal} ({name})"), OLDEST),
            Precision::Bf16 if self.capability < BF16 => {
                (format!("bf16 on cuda:{ordinal} ({name})"), BF16)
            }
            _ => return Ok(()),
        };
        let (least_major, least_minor) = needed;
        let other = if needed == BF16 { "; use f16 or f32" } else { "" };
        let hint = format!(
            "its compute capability is {major}.{minor}, but {least_major}.{least_minor} is needed{other}"
        );
        Err(Error::Unavailable { what, hint })
    }
}

/// All GPUs, also those that are too old.
///
/// # Errors
/// [`Error::Unavailable`] if there is no driver, it is too old, or it finds none.
pub fn devices() -> Result<Vec<Device>> {
    const OP: &str = "asking for devices";
    libraries::driver().check()?;
    let none = || Error::Unavailable {
        what: "an NVIDIA GPU".into(),
        hint: "the driver finds none; `nvidia-smi` lists them, and CUDA_VISIBLE_DEVICES hides some"
            .into(),
    };
    match result::init() {
        Ok(()) => {}
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(none()),
        // A driver that does not fit the kernel's module, as after an update or in a container.
        Err(error) => {
            return Err(Error::Unavailable {
                what: format!("CUDA ({:?})", error.0),
                hint: "the driver does not start; find out whether `nvidia-smi` works here".into(),
            });
        }
    }
    let count = result::device::get_count().during(OP)?;
    let device = |ordinal: i32| -> Result<Device> {
        let device = result::device::get(ordinal).during(OP)?;
        // SAFETY: the device is one of the driver's.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) }.during(OP);
        Ok(Device {
            ordinal: ordinal as usize,
            name: result::device::get_name(device).during(OP)?,
            uuid: uuid(result::device::get_uuid(device).during(OP)?),
            capability: (
                attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            processors: attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
            // SAFETY: as above.
            memory: unsafe { result::device::total_mem(device) }.during(OP)? as u64,
        })
    };
    let devices = (0..count).map(device).collect::<Result<Vec<_>>>()?;
    if devices.is_empty() { Err(none()) } else { Ok(devices) }
}

/// As hexadecimal digits.
fn uuid(CUuuid { bytes }: CUuuid) -> String {
    bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect()
}

/// The first GPU that can compute at this precision, if there is one and everything else that it takes.
///
/// # Errors
/// [`Error::Unavailable`], saying what is missing and what to do; where all GPUs are too old, of the
/// first.
pub fn first(precision: Precision) -> Result<Device> {
    find(first_able(&devices()?, precision), precision)
}

fn first_able(devices: &[Device], precision: Precision) -> usize {
    devices.iter().position(|device| device.check(precision).is_ok()).unwrap_or(0)
}

/// The GPU of this number, if everything that computing on it at this precision takes is there.
///
/// # Errors
/// [`Error::Unavailable`], saying what is missing and what to do.
pub fn find(ordinal: usize, precision: Precision) -> Result<Device> {
    let mut devices = devices()?;
    if ordinal >= devices.len() {
        let names: Vec<_> =
            devices.iter().map(|d| format!("cuda:{} ({})", d.ordinal, d.name)).collect();
        return Err(Error::Unavailable {
            what: format!("cuda:{ordinal}"),
            hint: format!("there is {}", names.join(", ")),
        });
    }
    let device = devices.swap_remove(ordinal);
    device.check(precision)?;
    libraries::check()?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_gpus_are_passed_over() {
        let device = |(ordinal, capability)| Device {
            ordinal,
            name: "a GPU".into(),
            uuid: format!("GPU-{ordinal}"),
            capability,
            processors: 1,
            memory: 1 << 30,
        };
        let devices = [(7, 0), (7, 5), (8, 0)].into_iter().enumerate().map(device);
        let devices: Vec<_> = devices.collect();
        assert_eq!(first_able(&devices, Precision::F16), 1);
        assert_eq!(first_able(&devices, Precision::Bf16), 2);
        assert_eq!(first_able(&devices[..2], Precision::Bf16), 0, "its error is told");
    }
}
