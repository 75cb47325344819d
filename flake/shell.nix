# The development shell: everything that is run on the host. What bakes images and runs machines comes from the tools tree.
{ pkgs }:
pkgs.mkShell {
  name = "futuswarm";
  packages = with pkgs; [
    cargo
    rustc
    rustfmt
    clippy
    rust-analyzer
    cargo-deny
    cargo-insta
    gcc
    glibc.static
    mmdebstrap
    iproute2
    python3
    bats
    jq
    awscli2
  ];
}
