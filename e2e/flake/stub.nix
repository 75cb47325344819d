# A nixpkgs of our own making with just what the flake asks for, so that the flake can be evaluated without a network.
let
  system = "x86_64-linux";
  package = name: { inherit name; };
  named = builtins.listToAttrs (map (name: { inherit name; value = package name; }) [
    "cargo" "rustc" "rustfmt" "clippy" "rust-analyzer" "cargo-deny" "cargo-insta" "gcc" "mmdebstrap" "iproute2" "python3" "bats"
    "jq" "awscli2" "nixpkgs-fmt"
  ]);
  lib = {
    genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
    cleanSource = path: if builtins.pathExists (path + "/Cargo.toml") then "the source" else throw "no source at ${toString path}";
    concatMap = builtins.concatMap;
    concatStringsSep = builtins.concatStringsSep;
    licenses.mit = "MIT";
  };
  pkgsOf = system: named // {
    inherit system lib;
    glibc.static = package "glibc-static";
    mkShell = arguments: { inherit (arguments) name; packages = map (each: each.name) arguments.packages; };
    rustPlatform.buildRustPackage = arguments:
      if !builtins.pathExists arguments.cargoLock.lockFile then throw "no lock file"
      else if !builtins.elem system arguments.meta.platforms then throw "${arguments.pname} is not for ${system}"
      else { name = arguments.pname; inherit system; flags = arguments.cargoBuildFlags; inherit (arguments) src version; inherit (arguments.meta) license mainProgram; };
    runCommand = name: inputs: script: { inherit name; inputs = map (each: each.name) inputs.nativeBuildInputs; lines = builtins.stringLength script > 0; };
  };
  flake = import ../../flake.nix;
  outputs = flake.outputs {
    self = outputs;
    nixpkgs = { inherit lib; legacyPackages = lib.genAttrs [ system "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] pkgsOf; };
  };
in
{
  inherit (flake) description inputs;
  packages = outputs.packages.${system};
  developers = builtins.mapAttrs (_: packages: packages.default.name + " " + packages.cli.name + " for " + packages.cli.system) outputs.packages;
  shell = outputs.devShells.${system}.default;
  checks = outputs.checks.${system};
  formatter = outputs.formatter.${system};
}
