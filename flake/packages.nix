# Our programs. The node image is not built here: it is Debian, and `cargo xtask bake` makes it.
{ pkgs, revision }:
let
  build = { pname, programs }: pkgs.rustPlatform.buildRustPackage {
    inherit pname;
    version = "0.1.0-${revision}";
    src = pkgs.lib.cleanSource ../.;
    cargoLock.lockFile = ../Cargo.lock;
    cargoBuildFlags = [ "--workspace" ] ++ pkgs.lib.concatMap (program: [ "--bin" program ]) programs;
    # The tests need the tools tree and, some of them, virtual machines.
    doCheck = false;
    meta = {
      description = "Part of Futuswarm: ${pkgs.lib.concatStringsSep ", " programs}";
      license = pkgs.lib.licenses.mit;
      platforms = [ "x86_64-linux" ];
      mainProgram = builtins.head programs;
    };
  };
  operator = build {
    pname = "futuswarm-operator";
    programs = [ "futuswarm-provision" "futuswarm-local" "futuswarm-bake" ];
  };
in
{
  inherit operator;
  node = build { pname = "futuswarm-node"; programs = [ "futuswarm-node" ]; };
  default = operator;
}
