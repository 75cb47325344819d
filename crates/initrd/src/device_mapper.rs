//! The three device-mapper calls that make a read-only device from a table.
//!
//! Source: `include/uapi/linux/dm-ioctl.h` of the kernel.

use std::fs::File;
use std::os::fd::AsRawFd as _;

const CONTROL: &str = "/dev/mapper/control";
/// `struct dm_ioctl` without any payload.
const HEADER_LEN: usize = 312;
/// `struct dm_target_spec`.
const TARGET_LEN: usize = 40;
/// `_IOWR(0xfd, command, struct dm_ioctl)` for commands 3, 9 and 6.
const DEV_CREATE: libc::c_ulong = 0xc138_fd03;
const TABLE_LOAD: libc::c_ulong = 0xc138_fd09;
const DEV_SUSPEND: libc::c_ulong = 0xc138_fd06;
const READ_ONLY: u32 = 1;

/// Makes the device `name` with a single target and returns its `(major, minor)`.
pub fn create(name: &str, target: &str, sectors: u64, table: &str) -> Result<(u32, u32), String> {
    let control = File::options().read(true).write(true).open(CONTROL);
    let control = control.map_err(|error| format!("{CONTROL}: {error}"))?;
    call(&control, DEV_CREATE, "create", message(name, 0, &[]))?;
    call(&control, TABLE_LOAD, "load the table of", message(name, READ_ONLY, &target_spec(target, sectors, table)))?;
    // "Suspend" without the suspend flag is "resume".
    let answer = call(&control, DEV_SUSPEND, "start", message(name, READ_ONLY, &[]))?;
    let device = u64::from_ne_bytes(answer[40..48].try_into().map_err(|_| "a short answer from device-mapper")?);
    Ok((rustix::fs::major(device), rustix::fs::minor(device)))
}

fn message(name: &str, flags: u32, payload: &[u8]) -> Vec<u8> {
    // The kernel may answer with more than it was sent; it wants the room.
    let len = (HEADER_LEN + payload.len()).next_multiple_of(8).max(1024);
    let mut bytes = vec![0; len];
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    put(0, 4); // version 4.0.0: any kernel since 2.6
    put(12, u32::try_from(len).unwrap_or(u32::MAX));
    put(16, u32::try_from(HEADER_LEN).unwrap_or(u32::MAX));
    put(20, u32::from(!payload.is_empty())); // number of targets
    put(28, flags);
    bytes[48..48 + name.len()].copy_from_slice(name.as_bytes());
    bytes[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
    bytes
}

fn target_spec(target: &str, sectors: u64, table: &str) -> Vec<u8> {
    let len = (TARGET_LEN + table.len() + 1).next_multiple_of(8);
    let mut bytes = vec![0; len];
    bytes[8..16].copy_from_slice(&sectors.to_ne_bytes());
    bytes[20..24].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    bytes[24..24 + target.len()].copy_from_slice(target.as_bytes());
    bytes[TARGET_LEN..TARGET_LEN + table.len()].copy_from_slice(table.as_bytes());
    bytes
}

#[expect(unsafe_code, reason = "device-mapper is reached by ioctl only")]
fn call(control: &File, request: libc::c_ulong, verb: &str, mut message: Vec<u8>) -> Result<Vec<u8>, String> {
    // SAFETY: `message` is a live, writable buffer of the length that its data_size field states, and the kernel writes no
    // more than data_size bytes into it.
    let status = unsafe { libc::ioctl(control.as_raw_fd(), request as _, message.as_mut_ptr()) };
    if status < 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("device-mapper could not {verb} the verified root: {error}"));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_kernels_layout() {
        let spec = target_spec("verity", 8000, "1 a b");
        let bytes = message("root", READ_ONLY, &spec);
        let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((u32_at(0), u32_at(16), u32_at(20), u32_at(28)), (4, 312, 1, READ_ONLY));
        assert_eq!(usize::try_from(u32_at(12)).unwrap(), bytes.len());
        assert_eq!(&bytes[48..53], b"root\0");
        assert_eq!(&bytes[312 + 24..312 + 31], b"verity\0");
        assert_eq!(&bytes[312 + 40..312 + 46], b"1 a b\0");
        assert_eq!(spec.len() % 8, 0);
    }
}
