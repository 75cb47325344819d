//! libFuzzer over `futuswarm_fuzz_targets::edge_labels`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _whether_it_was_one = futuswarm_fuzz_targets::edge_labels(data);
});
