//! The memory of this machine, as the kernel counts it.

/// What QEMU takes for each machine beside its guest's memory and [`translation_buffer`], in MiB.
pub const PER_MACHINE_MIB: u64 = 144;

/// All memory of this machine and what of it a program could get without swapping, in MiB (proc_meminfo(5)); zero where the kernel does
/// not say.
pub fn total_and_available() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
    };
    (mib("MemTotal:"), mib("MemAvailable:"))
}

/// What one machine may take for its translated code where it is emulated in software, in MiB, on a machine with so much memory.
///
/// When it is full, QEMU forgets everything and translates again: with 256 MiB, 12 times in the first ten minutes of a node that runs
/// Docker, and with 1024 MiB never. Memory is only taken once code is in it.
pub fn translation_buffer(total: u64) -> u64 {
    (total / 16).clamp(256, 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_memory_there_is() {
        let (total, available) = total_and_available();
        assert!(total >= available && available > 0, "{available} of {total} MiB");
    }

    #[test]
    fn small_machines_translate_more_often() {
        for (total, buffer) in [(0, 256), (3900, 256), (7900, 493), (16_000, 1000), (64_000, 1024)] {
            assert_eq!(translation_buffer(total), buffer, "{total}");
        }
    }
}
