# The developers' command line, for their own machines. Alone: the rest of the workspace is for Linux on x86-64.
{ pkgs, revision }:
pkgs.rustPlatform.buildRustPackage {
  pname = "futuswarm";
  version = "0.1.0-${revision}";
  src = pkgs.lib.cleanSource ../.;
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [ "--package" "futuswarm-cli" "--bin" "futuswarm" ];
  # The tests need a POSIX shell with named pipes and time, which a builder may not have.
  doCheck = false;
  meta = {
    description = "The command line of Futuswarm, for developers of apps";
    license = pkgs.lib.licenses.mit;
    platforms = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
    mainProgram = "futuswarm";
  };
}
