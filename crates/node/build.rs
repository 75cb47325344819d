//! How the node's program is linked: it has the pages of its file in memory that it touches, so what is smaller takes less of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Relocations are read at each start, and take a twentieth of the space when they are packed (DT_RELR; the image's C library knows it,
    // glibc 2.36 being the first).
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
