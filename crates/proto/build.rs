//! Compiles `/proto` without a system protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: &[&str] = &[
    "service/core.proto",
    "service/inference.proto",
    "service/proxy.proto",
    "service/model_service.proto",
    "service/common_service.proto",
    "service/router_service.proto",
    "model/pipeline.proto",
    "model/data.proto",
    "model/feature.proto",
    "model/linear.proto",
    "model/tree.proto",
    "model/kmeans.proto",
    "model/fm.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let descriptors = protox::compile(FILES, [&root])?;
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .include_file("packages.rs")
        .bytes(".")
        .btree_map(".")
        .client_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
