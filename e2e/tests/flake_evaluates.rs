//! The flake, parsed and evaluated by nix itself against a stub of nixpkgs.

use futuswarm_tools::ToolsTree;

#[test]
fn the_flake_evaluates() {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let state = tempfile::tempdir().unwrap();
    let stub = futuswarm_paths::workspace_root().unwrap().join("e2e/flake/stub.nix");
    let output = tools
        .command("nix-instantiate")
        .unwrap()
        .args(["--eval", "--strict", "--json", "--store", "dummy://"])
        .arg(stub)
        .env("HOME", state.path())
        .env("NIX_STATE_DIR", state.path())
        .env("NIX_CONF_DIR", state.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["packages"]["node"]["name"], "futuswarm-node");
    assert_eq!(found["packages"]["default"]["mainProgram"], "futuswarm-provision");
    for machine in ["aarch64-linux", "x86_64-darwin", "aarch64-darwin"] {
        assert_eq!(found["developers"][machine], format!("futuswarm futuswarm for {machine}"));
    }
    let shell = found["shell"]["packages"].as_array().unwrap();
    for tool in ["cargo", "mmdebstrap", "iproute2", "bats", "cargo-deny"] {
        assert!(shell.iter().any(|package| package == tool), "{tool} is not in the development shell");
    }
    insta::assert_json_snapshot!(found);
}
