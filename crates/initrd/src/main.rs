//! The first process of a node: opens the verified root and hands over to systemd.
//!
//! A general initrd brings systemd, udev and a dozen tools into memory to do what takes a handful of system calls on a
//! machine whose disk layout we made ourselves. This program loads the few modules that the kernel does not have built in,
//! finds the root and hash partitions by the root hash on the kernel command line, opens them through dm-verity, lays a
//! tmpfs over the root so that `/etc` can be written, gives the node its name and machine id from the EC2 instance id, and
//! executes systemd. Nothing that is not covered by the root hash is ever executed.
#![expect(clippy::print_stderr, reason = "the kernel's console is the only place to tell anybody")]

mod boot;
mod cmdline;
mod device_mapper;
mod identity;
mod partitions;
mod verity;

fn main() {
    let error = match boot::run() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("futuswarm-init: {error}");
    eprintln!("futuswarm-init: the node cannot start from this disk; replace the instance");
    // Returning from the first process makes the kernel panic, and panic= on the command line makes it start again. A
    // moment's pause lets the message reach a slow serial console.
    std::thread::sleep(std::time::Duration::from_secs(2));
}
