# What `nix flake check` builds.
{ pkgs, packages }:
{
  inherit (packages) node operator;
  formatting = pkgs.runCommand "futuswarm-formatting" { nativeBuildInputs = [ pkgs.cargo pkgs.rustfmt ]; } ''
    cp -r ${pkgs.lib.cleanSource ../.} source
    chmod -R u+w source
    cd source
    cargo fmt --all --check
    touch $out
  '';
}
