//! The compose file has the processes of `make cluster` with exactly their flags.

use std::path::Path;
use std::process::Command;

#[test]
fn the_compose_file_is_made_of_the_list_of_processes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("scripts/compose.sh")).output().expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).expect("a compose file is text");
    assert!(made.contains("--target=distributor") && made.contains("metastore-3:"), "{made}");
    let path = root.join("deploy/compose/docker-compose.yml");
    let kept = std::fs::read_to_string(path).expect("the compose file");
    assert!(
        kept == made,
        "deploy/compose/docker-compose.yml differs; run scripts/compose.sh >deploy/compose/docker-compose.yml"
    );
}
