//! One virtual machine: its disk, its argument list, its process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use futuswarm_tools::ToolsTree;
use tokio::process::Child;

use crate::child::{self, Argv, args};
use crate::config::Accel;
use crate::dnsmasq::host_argv;
use crate::error::{Error, Result, file};
use crate::memory;
use crate::observed_instances::Machine;

/// qemu-img writes a header.
const DISK_DEADLINE: Duration = Duration::from_secs(30);
/// The credential that the agent's unit imports: systemd takes it from a string of the SMBIOS tables (type 11).
const AUTHORITY: &str = "futuswarm.rehearsal-ca";
/// What a kernel is told in software emulation. Its watchdog compares clocks while the machine that emulates it does other things, calls
/// the processor's counter unstable for that, and asks ACPI's timer from then on, which takes a system call and the emulator's lock each
/// time that anybody looks at the clock: a login took 11 s instead of 40. An EC2 instance has a clock that is not doubted.
const EMULATED_CLOCK: &str = "tsc=reliable";
/// A guest that boots under KVM at all does so at once.
const PROBE: Duration = Duration::from_secs(4);

/// What every machine's command line needs.
#[derive(Clone)]
pub struct Hypervisor {
    qemu: Argv,
    qemu_img: Argv,
    tree: PathBuf,
    accel: Accel,
    memory_mib: u32,
    cpus: u32,
    /// The string of the SMBIOS tables with the authority of the rehearsal.
    authority: Option<String>,
}

impl Hypervisor {
    /// QEMU from the tools tree; `accel` may be `Auto`, see [`Self::choose_accel`].
    pub fn new(tools: &ToolsTree, accel: Accel, memory_mib: u32, cpus: u32) -> Result<Self> {
        Ok(Self {
            qemu: host_argv(tools, "qemu-system-x86_64")?,
            qemu_img: host_argv(tools, "qemu-img")?,
            tree: tools.root().to_owned(),
            accel,
            memory_mib,
            cpus,
            authority: None,
        })
    }

    /// Gives machines the certificate of an authority that only they trust. It is no secret, so it may be an argument of QEMU.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn with_authority(mut self, certificate: &Path) -> Result<Self> {
        let certificate = std::fs::read(certificate).map_err(file("cannot read", certificate))?;
        self.authority = Some(credential(&certificate));
        Ok(self)
    }

    /// Turns `Auto` into KVM where a probe boots, into software emulation otherwise. The answer is kept in `cache`.
    pub async fn choose_accel(&mut self, cache: &Path) {
        if self.accel != Accel::Auto {
            return;
        }
        let known = std::fs::read_to_string(cache).ok();
        let works = match known.as_deref().map(str::trim) {
            Some("kvm") => true,
            Some("tcg") => false,
            _ => {
                let works = self.kvm_works().await;
                let word: &[u8] = if works { b"kvm\n" } else { b"tcg\n" };
                if let Err(error) = crate::state_dir::write_atomically(cache, word) {
                    tracing::debug!(%error, "the probe's result is not kept");
                }
                works
            }
        };
        self.accel = if works { Accel::Kvm } else { Accel::Tcg };
        tracing::info!(accel = ?self.accel, "how guests are run");
    }

    /// /dev/kvm may exist and every guest die in it, so only a guest whose firmware prints something proves it works.
    pub async fn kvm_works(&self) -> bool {
        if !Path::new("/dev/kvm").exists() {
            return false;
        }
        let mut argv = self.qemu.clone();
        argv.extend(args(["-L"]));
        argv.push(self.tree.join("usr/share/qemu").into());
        argv.extend(args([
            "-machine",
            "q35,accel=kvm",
            "-cpu",
            "host",
            "-m",
            "128",
            "-nodefaults",
            "-display",
            "none",
        ]));
        argv.extend(args(["-drive"]));
        argv.push(self.pflash(0, &self.tree.join("usr/share/OVMF/OVMF_CODE_4M.fd"), true));
        argv.extend(args(["-serial", "stdio", "-no-reboot"]));
        let Ok(mut process) = child::command(&argv, None).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            return false;
        };
        let Some(mut output) = process.stdout.take() else { return false };
        let mut first = [0_u8; 16];
        let read = tokio::time::timeout(PROBE, tokio::io::AsyncReadExt::read(&mut output, &mut first)).await;
        if let Err(error) = process.kill().await {
            tracing::debug!(%error, "the KVM probe had ended");
        }
        matches!(read, Ok(Ok(bytes)) if bytes > 0)
    }

    fn pflash(&self, unit: u8, path: &Path, readonly: bool) -> OsString {
        let access = if readonly { "readonly=on," } else { "" };
        with_path(&format!("if=pflash,format=raw,unit={unit},{access}file="), path)
    }

    /// Makes the machine's folder with an overlay over the image's disk and fresh firmware variables.
    pub async fn prepare(&self, machine: &Machine, base: &Path, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(file("cannot create", dir))?;
        let vars = dir.join("vars.fd");
        let template = self.tree.join("usr/share/OVMF/OVMF_VARS_4M.fd");
        std::fs::copy(&template, &vars).map_err(file("cannot copy to", &vars))?;
        let disk = dir.join("root.qcow2");
        if disk.exists() {
            return Ok(());
        }
        let mut argv = self.overlay_argv(base, &disk);
        argv.push(format!("{}G", machine.root_gib).into());
        child::run(&argv, None, DISK_DEADLINE).await.map(|_| ())
    }

    /// Makes a disk that begins as `base` and keeps what is written to itself.
    pub async fn overlay(&self, base: &Path, disk: &Path) -> Result<()> {
        child::run(&self.overlay_argv(base, disk), None, DISK_DEADLINE).await.map(|_| ())
    }

    fn overlay_argv(&self, base: &Path, disk: &Path) -> Argv {
        let mut argv = self.qemu_img.clone();
        argv.extend(args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]));
        argv.push(base.into());
        argv.push(disk.into());
        argv
    }

    /// What every machine has in common: no more devices than asked for, how it is run, processors and memory, firmware, an
    /// NVMe root disk and one network interface.
    fn common_argv(&self, disk: &Path, nvme: &str, tap: &str, mac: &str) -> Argv {
        let mut argv = self.qemu.clone();
        argv.extend(args(["-L"]));
        argv.push(self.tree.join("usr/share/qemu").into());
        argv.extend(args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]));
        argv.extend(args(["-machine", "q35,smm=off,usb=off,vmport=off,hpet=off"]));
        match self.accel {
            Accel::Kvm => argv.extend(args(["-accel", "kvm", "-cpu", "host"])),
            Accel::Tcg | Accel::Auto => {
                let (total, _) = memory::total_and_available();
                let accel = format!("tcg,thread=multi,tb-size={}", memory::translation_buffer(total));
                argv.extend(args(["-accel", &accel, "-cpu", "max"]));
            }
        }
        argv.extend(args(["-smp", &self.cpus.to_string(), "-m", &self.memory_mib.to_string()]));
        argv.extend(args(["-drive"]));
        argv.push(self.pflash(0, &self.tree.join("usr/share/OVMF/OVMF_CODE_4M.fd"), true));
        argv.extend(args(["-drive"]));
        // The host's page cache survives the end of a guest, so nothing needs to reach the host's disk.
        argv.push(with_path("if=none,id=root,format=qcow2,cache=unsafe,discard=unmap,file=", disk));
        argv.extend(args(["-device", &format!("nvme,drive=root,{nvme}")]));
        argv.extend(args([
            "-netdev",
            &format!("tap,id=eth0,ifname={tap},script=no,downscript=no"),
            "-device",
            &format!("virtio-net-pci,netdev=eth0,mac={mac},romfile="),
            "-device",
            "virtio-rng-pci",
        ]));
        argv
    }

    /// What the kernel of a machine is told besides its own command line; empty for nothing.
    pub fn kernel_arguments(&self) -> &'static str {
        match self.accel {
            Accel::Kvm => "",
            Accel::Tcg | Accel::Auto => EMULATED_CLOCK,
        }
    }

    /// A machine of the same size without identity; the kernel and the console are the caller's.
    pub fn bare_argv(&self, disk: &Path, tap: &str, mac: &str) -> Argv {
        self.common_argv(disk, "serial=bare", tap, mac)
    }

    /// The machine's argument list. The guest sees what it would see on a Nitro instance.
    fn argv(&self, machine: &Machine, dir: &Path) -> Argv {
        let uuid = uuid_of(&machine.id);
        let nvme = format!("bootindex=0,serial={}", machine.volume.replace('-', ""));
        let mut argv = self.common_argv(&dir.join("root.qcow2"), &nvme, &machine.tap(), &machine.mac);
        argv.extend(args(["-name", &machine.id]));
        argv.extend(args(["-uuid", &uuid]));
        argv.extend(args([
            "-smbios",
            &format!("type=1,manufacturer=Amazon EC2,product={},serial={uuid},uuid={uuid}", machine.instance_type),
            "-smbios",
            &format!("type=2,manufacturer=Amazon EC2,asset={}", machine.id),
            "-smbios",
            "type=3,manufacturer=Amazon EC2,asset=Amazon EC2",
        ]));
        if let Some(authority) = &self.authority {
            argv.extend(args(["-smbios", &format!("type=11,value={authority}")]));
        }
        if !self.kernel_arguments().is_empty() {
            // The stub of the image's kernel reads it there (systemd-stub(7)).
            let extra = format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={}", self.kernel_arguments());
            argv.extend(args(["-smbios", &extra]));
        }
        argv.extend(args(["-drive"]));
        argv.push(self.pflash(1, &dir.join("vars.fd"), false));
        argv.extend(args(["-chardev"]));
        let mut console = with_path("socket,id=console,server=on,wait=off,path=", &dir.join("console.sock"));
        console.push(with_path(",logfile=", &dir.join("console.log")));
        argv.push(console);
        argv.extend(args(["-serial", "chardev:console", "-qmp"]));
        let mut control = with_path("unix:", &dir.join("qmp.sock"));
        control.push(",server=on,wait=off");
        argv.push(control);
        argv
    }

    /// Starts the machine inside the namespace.
    pub fn start(&self, machine: &Machine, dir: &Path, netns: &Path) -> Result<Child> {
        let argv = self.argv(machine, dir);
        let log = dir.join("qemu.log");
        let output = std::fs::File::create(&log).map_err(file("cannot create", &log))?;
        child::command(&argv, Some(netns))
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .spawn()
            .map_err(|error| Error::Command { command: child::command_line(&argv), detail: error.to_string() })
    }
}

/// An option that ends in a path, which need not be UTF-8.
fn with_path(prefix: &str, path: &Path) -> OsString {
    let mut option = OsString::from(prefix);
    option.push(path);
    option
}

/// A system credential as systemd reads it. Base64 has no comma, which would be QEMU's own.
fn credential(content: &[u8]) -> String {
    format!("io.systemd.credential.binary:{AUTHORITY}={}", base64::engine::general_purpose::STANDARD.encode(content))
}

/// EC2's system UUIDs begin with `ec2`; ours carries the instance id, so that it is the same after a restart.
fn uuid_of(instance: &str) -> String {
    let digits: String = instance.trim_start_matches("i-").chars().filter(char::is_ascii_hexdigit).collect();
    let all = format!("ec2{digits:0>29}");
    format!("{}-{}-{}-{}-{}", &all[..8], &all[8..12], &all[12..16], &all[16..20], &all[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_a_credential_that_the_agents_unit_imports() {
        assert_eq!(credential(b"a,b\n"), "io.systemd.credential.binary:futuswarm.rehearsal-ca=YSxiCg==");
        let unit = include_str!("../../../images/node/rootfs/usr/lib/systemd/system/futuswarm-agent.service");
        assert!(unit.lines().any(|line| line == format!("ImportCredential={AUTHORITY}")), "{unit}");
    }

    #[test]
    fn system_uuids_begin_with_ec2_and_end_with_the_instance_id() {
        let uuid = uuid_of("i-0123456789abcdef0");
        assert_eq!(uuid.len(), 36);
        assert!(uuid.starts_with("ec2"), "{uuid}");
        assert!(uuid.replace('-', "").ends_with("0123456789abcdef0"), "{uuid}");
    }
}
