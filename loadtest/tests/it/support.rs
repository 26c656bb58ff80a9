//! What the tests share.

use std::path::PathBuf;

use loadtest::cluster::Plan;

/// The server's program.
#[track_caller]
pub(crate) fn barograph() -> PathBuf {
    if let Some(path) = std::env::var_os("BAROGRAPH_BIN") {
        return path.into();
    }
    // This test is target/<profile>/deps/it-<hash>.
    let own = std::env::current_exe().expect("a running program has a path");
    let path = own.ancestors().nth(2).map(|folder| folder.join("barograph")).unwrap_or_default();
    assert!(
        path.exists(),
        "{} is not there: build it with `cargo build -p barograph --profile ci`, or name one in BAROGRAPH_BIN",
        path.display()
    );
    path
}

/// So many servers that know nothing of each other.
pub(crate) fn alone(servers: u16) -> Plan {
    let line = |i| format!("server-{i} --http 127.0.0.1:{} --self-monitoring.enabled=false\n", 9_000 + i);
    Plan::parse(&(1..=servers).map(line).collect::<String>()).expect("a plan")
}
