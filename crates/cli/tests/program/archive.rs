//! Images in tar archives, made byte for byte: no Docker Engine is where these tests run.

use futuswarm_cli::archive::digest;

fn entry(name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend(body);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// What `docker save` writes of an image with these layers.
pub fn saved(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config =
        serde_json::json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": ids } }).to_string();
    let name = format!("{}.json", &digest(config.as_bytes())[7..]);
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{ "Config": name, "RepoTags": ["hello:1"], "Layers": names }]).to_string();
    let mut bytes = entry(&name, config.as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        bytes.extend(entry(name, layer));
    }
    bytes.extend(entry("manifest.json", manifest.as_bytes()));
    bytes.extend([0; 1024]);
    bytes
}
