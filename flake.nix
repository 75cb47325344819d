{
  description = "Futuswarm: a minimal PaaS on AWS and Docker Swarm that rehearses on one machine";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = { self, nixpkgs }:
    let
      # The image and the local cloud are x86-64 only; so far nobody has asked for more.
      systems = [ "x86_64-linux" ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      # Those who deploy apps bring the machines that they have.
      developers = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      forDevelopers = make: nixpkgs.lib.genAttrs developers (system: make nixpkgs.legacyPackages.${system});
      revision = self.shortRev or "dirty";
    in
    {
      packages = forDevelopers (pkgs:
        let cli = import ./flake/cli.nix { inherit pkgs revision; };
        in { inherit cli; default = cli; }
          // (if builtins.elem pkgs.system systems then import ./flake/packages.nix { inherit pkgs revision; } else { }));
      devShells = forAll (pkgs: { default = import ./flake/shell.nix { inherit pkgs; }; });
      checks = forAll (pkgs: import ./flake/checks.nix { inherit pkgs; packages = self.packages.${pkgs.system}; });
      formatter = forAll (pkgs: pkgs.nixpkgs-fmt);
    };
}
