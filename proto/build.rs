//! Generates messages, clients and servers from the `.proto` files, with a compiler written in Rust: no protoc.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

/// Every file; a file that is not here is not compiled.
const FILES: [&str; 9] = [
    "rpc/v1/error.proto",
    "ingester/v1/ingester.proto",
    "ingester/v1/take_over.proto",
    "metastore/v1/state.proto",
    "metastore/v1/raft.proto",
    "metastore/v1/metastore.proto",
    "metastore/v1/records.proto",
    "ruler/v1/ruler.proto",
    "alertmanager/v1/alertmanager.proto",
];

/// Messages of the file whose fields are listed for [`KnownFields`].
const STORED: &str = "metastore/v1/records.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let mut known = String::new();
    for file in descriptors.file.iter().filter(|file| file.name() == STORED) {
        for message in &file.message_type {
            let tags: BTreeSet<i32> = message.field.iter().filter_map(|field| field.number).collect();
            let tags = Vec::from_iter(tags);
            let name = message.name();
            writeln!(
                known,
                "impl crate::KnownFields for {name} {{ const TAGS: &'static [u32] = &{tags:?}; }}"
            )?;
        }
    }
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("known_fields.rs"), known)?;
    // Payloads share the buffer that they came in.
    let mut prost = tonic_prost_build::Config::new();
    // Maps are written in one order, so that equal states have equal bytes.
    prost.btree_map(["."]).bytes(["."]);
    tonic_prost_build::configure().build_transport(false).compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
