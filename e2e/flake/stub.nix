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
  pkgs = named // {
    inherit system lib;
    glibc.static = package "glibc-static";
    mkShell = arguments: { inherit (arguments) name; packages = map (each: each.name) arguments.packages; };
    rustPlatform.buildRustPackage = arguments:
      if builtins.pathExists arguments.cargoLock.lockFile
      then { name = arguments.pname; flags = arguments.cargoBuildFlags; inherit (arguments) src version; inherit (arguments.meta) license mainProgram; }
      else throw "no lock file";
    runCommand = name: inputs: script: { inherit name; inputs = map (each: each.name) inputs.nativeBuildInputs; lines = builtins.stringLength script > 0; };
  };
  flake = import ../../flake.nix;
  outputs = flake.outputs {
    self = outputs;
    nixpkgs = { inherit lib; legacyPackages.${system} = pkgs; };
  };
in
{
  inherit (flake) description inputs;
  packages = outputs.packages.${system};
  shell = outputs.devShells.${system}.default;
  checks = outputs.checks.${system};
  formatter = outputs.formatter.${system};
}
