//! This machine's memory and processors, and what they mean for a build.

use std::path::Path;
use std::process::Command;

use futuswarm_output::eprintln;

/// Two compilers of the AWS SDK's larger crates fit beside each other from here on: `aws-sdk-ec2` alone was seen to take 6.9 GiB,
/// its neighbours up to 2 GiB each, and a running local cloud or an editor want something, too.
const TWO_COMPILERS_MIB: u64 = 12 * 1024;
/// What firmware and kernel keep of a machine's nominal memory.
const KEPT_BY_KERNEL_MIB: u64 = 512;
/// What two compilers need at that moment.
const TWO_COMPILERS_NOW_MIB: u64 = 9 * 1024;
/// What one compiler needs, with swap.
const ONE_COMPILER_MIB: u64 = 7 * 1024;
/// The target folder after the first build of the programs, measured.
const FIRST_BUILD_DISK_MIB: u64 = 7 * 1024;
/// Processor time of the first build, measured (`docs/benchmarks.md`).
const FIRST_BUILD_MINUTES: f64 = 17.0;
/// `aws-sdk-ec2`, what it needs and what needs it come one after the other, however many processors there are.
const FIRST_BUILD_AT_LEAST_MINUTES: f64 = 6.0;

/// Memory as the kernel counts it, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it, or what our control group may have.
    pub total: u64,
    /// What new programs can have without swapping.
    pub available: u64,
    /// Swap that is free.
    pub swap: u64,
}

impl Memory {
    /// Asks the kernel; `None` when it does not say.
    pub fn read() -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let group = |file: &str| read(&format!("/sys/fs/cgroup/{file}"));
        Self::parse(&read("/proc/meminfo")?, group("memory.max").as_deref(), group("memory.current").as_deref())
    }

    /// From `/proc/meminfo` and the control group's limit and use, in bytes or `max`.
    fn parse(meminfo: &str, limit: Option<&str>, used: Option<&str>) -> Option<Self> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib >> 10)
        };
        let bytes = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes >> 20);
        let mut memory =
            Self { total: field("MemTotal")?, available: field("MemAvailable")?, swap: field("SwapFree").unwrap_or(0) };
        if let Some(limit) = bytes(limit).filter(|limit| *limit < memory.total) {
            memory.total = limit;
            memory.available = memory.available.min(limit.saturating_sub(bytes(used).unwrap_or(0)));
        }
        Some(memory)
    }

    /// With how many jobs cargo may build; `None` means as many as it likes. `compiled` says whether the AWS SDK is there already.
    pub fn jobs(self, compiled: bool) -> Option<u32> {
        let small = self.total + KEPT_BY_KERNEL_MIB < TWO_COMPILERS_MIB;
        // The crates of the workspace are small; what a running local cloud has taken does not matter to them.
        let busy = !compiled && self.available < TWO_COMPILERS_NOW_MIB;
        (small || busy).then_some(1)
    }

    /// Why the AWS SDK cannot be compiled here, if so.
    pub fn too_small(self) -> Option<String> {
        let most = self.total + self.swap;
        (most < ONE_COMPILER_MIB).then(|| {
            format!(
                "this machine has {} of memory and {} of swap, and compiling the AWS SDK takes {}; add memory or swap, or set CARGO_TARGET_DIR to where it was compiled already",
                gib(self.total),
                gib(self.swap),
                gib(ONE_COMPILER_MIB)
            )
        })
    }
}

/// What runs virtual machines here: whether there is a device says less than whether a guest has booted with it.
fn virtualisation(device: bool, probed: Option<&str>) -> &'static str {
    match (device, probed) {
        (true, Some("kvm")) => "KVM",
        (true, None) => "KVM, if guests boot in it",
        (true, Some(_)) => "no KVM that works: virtual machines are emulated in software",
        (false, _) => "no KVM: virtual machines are emulated in software",
    }
}

/// Why the disk under the target folder cannot take the first build, if so; `df` is what `df -Pk` prints of it.
fn too_full(df: &str) -> Option<String> {
    let fields: Vec<&str> = df.lines().nth(1)?.split_whitespace().collect();
    let [.., available, _, mount] = fields.as_slice() else { return None };
    let available = available.parse::<u64>().ok()? >> 10;
    (available < FIRST_BUILD_DISK_MIB).then(|| {
        format!(
            "{} are free on {mount}, and what is compiled takes {}; make room, or set CARGO_TARGET_DIR to a folder on a larger disk",
            gib(available),
            gib(FIRST_BUILD_DISK_MIB)
        )
    })
}

/// Minutes of the first build with so many jobs.
fn first_build_minutes(jobs: f64) -> f64 {
    (FIRST_BUILD_MINUTES / jobs).max(FIRST_BUILD_AT_LEAST_MINUTES)
}

/// Processors that we may use.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Says what this machine has and, before the first build, how long that takes.
///
/// # Errors
/// When the first build into the folder `target` cannot succeed here.
pub fn announce(target: &Path, compiled: bool) -> anyhow::Result<()> {
    let Some(memory) = Memory::read() else { return Ok(()) };
    // What the local cloud found out when it last tried.
    let probed = futuswarm_paths::cache_dir().ok().and_then(|cache| std::fs::read_to_string(cache.join("accel")).ok());
    eprintln!(
        "this machine: {} processor(s), {} of memory ({} available), {}",
        processors(),
        gib(memory.total),
        gib(memory.available),
        virtualisation(Path::new("/dev/kvm").exists(), probed.as_deref().map(str::trim))
    );
    if compiled {
        return Ok(());
    }
    let df = Command::new("df").arg("-Pk").arg(target).output().ok();
    let df = df.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if let Some(reason) = memory.too_small().or_else(|| too_full(&df)) {
        anyhow::bail!("{reason}");
    }
    let jobs = memory.jobs(compiled).map_or(processors() as f64, f64::from);
    eprintln!(
        "nothing is compiled yet: about {:.0} minutes{}; the AWS SDK is most of that, and is kept",
        first_build_minutes(jobs),
        if memory.jobs(compiled).is_some() { " with one job at a time, since memory is short" } else { "" }
    );
    Ok(())
}

fn gib(mib: u64) -> String {
    format!("{:.1} GiB", mib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24617236 kB\nMemFree:        1000 kB\nMemAvailable:   21000192 kB\nSwapFree:         2048 kB\n";

    #[test]
    fn the_smaller_of_machine_and_control_group_counts() {
        let all = Memory { total: 24040, available: 20508, swap: 2 };
        assert_eq!(Memory::parse(MEMINFO, None, None), Some(all));
        assert_eq!(Memory::parse(MEMINFO, Some("max\n"), Some("1048576\n")), Some(all));
        assert_eq!(Memory::parse(MEMINFO, Some("9223372036854771712"), Some("1048576")), Some(all));
        let limited = Memory { total: 8192, available: 6144, swap: 2 };
        assert_eq!(Memory::parse(MEMINFO, Some("8589934592\n"), Some("2147483648\n")), Some(limited));
        assert_eq!(Memory::parse("MemTotal: x kB", None, None), None);
        assert_eq!(Memory::parse("", None, None), None);
    }

    #[test]
    fn below_twelve_gib_cargo_gets_one_job() {
        for (total, available, compiled, jobs) in [
            (24040, 20508, false, None),
            // A machine of nominally 12 GiB shows less.
            (11_900, 11_000, false, None),
            (11_000, 10_500, false, Some(1)),
            (11_000, 10_500, true, Some(1)),
            (7_900, 7_000, false, Some(1)),
            // Enough, but three virtual machines run.
            (15_900, 8_000, false, Some(1)),
            (15_900, 8_000, true, None),
        ] {
            let memory = Memory { total, available, swap: 0 };
            assert_eq!(memory.jobs(compiled), jobs, "{memory:?} {compiled}");
        }
    }

    #[test]
    fn where_one_compiler_does_not_fit_nothing_is_begun() {
        let reason = |total, swap| Memory { total, available: total, swap }.too_small();
        assert_eq!(reason(7_900, 0), None);
        assert_eq!(reason(4_000, 4_000), None);
        let text = reason(3_900, 1_024).unwrap();
        assert!(
            text.contains("3.8 GiB of memory and 1.0 GiB of swap") && text.contains("add memory or swap"),
            "{text}"
        );
    }

    #[test]
    fn a_device_alone_is_no_virtualisation() {
        assert_eq!(virtualisation(true, Some("kvm")), "KVM");
        assert_eq!(virtualisation(true, None), "KVM, if guests boot in it");
        assert!(virtualisation(true, Some("tcg")).starts_with("no KVM that works"));
        assert!(virtualisation(false, Some("kvm")).starts_with("no KVM:"));
    }

    #[test]
    fn a_disk_that_is_too_full_is_named() {
        let df = |kib: u64| {
            format!("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 99 9 {kib} 9% /srv\n")
        };
        assert_eq!(too_full(&df(8 << 20)), None);
        let text = too_full(&df(3 << 20)).unwrap();
        assert!(text.starts_with("3.0 GiB are free on /srv") && text.contains("7.0 GiB"), "{text}");
        // Whatever else df prints stops nobody.
        assert_eq!(too_full(""), None);
        assert_eq!(too_full("x\ny"), None);
    }

    #[test]
    fn more_processors_do_not_shorten_the_longest_chain() {
        assert_eq!([1.0, 2.0, 64.0].map(first_build_minutes), [17.0, 8.5, 6.0]);
    }
}
