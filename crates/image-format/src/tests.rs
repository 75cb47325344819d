//! Tests of the format against the files of `golden/`.

use sha2::{Digest as _, Sha256};

use super::*;

const GOLDEN_MANIFEST: &str = include_str!("../golden/manifest.json");
const GOLDEN_REGISTRATION: &str = include_str!("../golden/register.json");

fn manifest() -> Manifest {
    Manifest {
        name: "futuswarm-node-0123456789ab".to_owned(),
        inputs_sha256: "00".to_owned(),
        git_revision: None,
        kernel: "6.12.117+deb13-cloud-amd64".to_owned(),
        root_hash: "11".to_owned(),
        disk_sha256: "22".to_owned(),
        root_sha256: "33".to_owned(),
        disk_bytes: 1 << 30,
        payload_bytes: 1024,
        containers: [("edge".to_owned(), "futuswarm-edge:44".to_owned())].into(),
        packages: vec![Package {
            name: "adduser".to_owned(),
            version: "3.152".to_owned(),
            sha256: "55".to_owned(),
            size: 191_544,
            path: "debian/pool/main/a/adduser/adduser_3.152_all.deb".to_owned(),
        }],
        newer_than_lock: vec!["adduser 3.152".to_owned()],
        stages: vec![Stage { name: "erofs".to_owned(), seconds: 1.25, cached: false }],
    }
}

#[test]
fn a_folder_is_written_as_the_golden_files_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = ImageFolder::new(dir.path());
    folder.write(&manifest(), None).unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(text(MANIFEST), GOLDEN_MANIFEST);
    assert_eq!(text(REGISTRATION), GOLDEN_REGISTRATION);
    assert_eq!(folder.manifest().unwrap(), manifest());
    assert_eq!(folder.registration().unwrap(), manifest().registration());
    assert_eq!(folder.blocks().unwrap(), None);
}

#[test]
fn what_an_earlier_bake_did_not_write_is_empty() {
    let mut value: serde_json::Value = serde_json::from_str(GOLDEN_MANIFEST).unwrap();
    value.as_object_mut().unwrap().remove("newer_than_lock");
    assert!(serde_json::from_value::<Manifest>(value).unwrap().newer_than_lock.is_empty());
}

#[test]
fn a_field_that_would_be_lost_is_an_error() {
    let mut value: serde_json::Value = serde_json::from_str(GOLDEN_REGISTRATION).unwrap();
    value["UefiData"] = "x".into();
    let error = serde_json::from_value::<Registration>(value).unwrap_err().to_string();
    assert!(error.contains("UefiData"), "{error}");
}

#[test]
fn an_index_is_the_digests_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let index = BlockIndex::from(vec![[1; 32], *ZERO_BLOCK]);
    ImageFolder::new(dir.path()).write(&manifest(), Some(&index)).unwrap();
    let path = dir.path().join(BLOCKS);
    assert_eq!(std::fs::read(&path).unwrap(), [[1; 32], *ZERO_BLOCK].concat());
    assert_eq!(BlockIndex::load(&path).unwrap(), index);
    assert_eq!(index.digest(), file_sha256(&path).unwrap());
    assert_eq!((index.checksum(0), index.checksum(2)), (&[1; 32], &*ZERO_BLOCK));
    assert_eq!(*ZERO_BLOCK, <Checksum>::from(Sha256::digest(vec![0; BLOCK_SIZE])));
    std::fs::write(&path, [1; 33]).unwrap();
    assert!(BlockIndex::load(&path).unwrap_err().to_string().contains("is no index of blocks: it has 33 bytes"));
}

#[test]
fn a_folder_without_an_image_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let message = ImageFolder::new(dir.path()).manifest().unwrap_err().to_string();
    assert!(message.ends_with("manifest.json does not exist: bake the image first (`cargo xtask bake`)"), "{message}");
}
