{
  description = "Futuswarm: a minimal PaaS on AWS and Docker Swarm that rehearses on one machine";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = { self, nixpkgs }:
    let
      # The image and the local cloud are x86-64 only; so far nobody has asked for more.
      systems = [ "x86_64-linux" ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      revision = self.shortRev or "dirty";
    in
    {
      packages = forAll (pkgs: import ./flake/packages.nix { inherit pkgs revision; });
      devShells = forAll (pkgs: { default = import ./flake/shell.nix { inherit pkgs; }; });
      checks = forAll (pkgs: import ./flake/checks.nix { inherit pkgs; packages = self.packages.${pkgs.system}; });
      formatter = forAll (pkgs: pkgs.nixpkgs-fmt);
    };
}
