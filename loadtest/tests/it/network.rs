//! Hosts that can be cut off from each other. Where namespaces cannot be made (they need root), there is nothing to test.

use std::sync::Arc;
use std::time::Duration;

use env::SystemClock;
use loadtest::cluster::{Cluster, ClusterError};

use crate::support::{alone, barograph};

#[tokio::test]
async fn processes_are_cut_off_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let seed = std::process::id();
    let made = Cluster::in_namespaces(&barograph(), folder.path(), &alone(2), seed, clock);
    let mut cluster = match made {
        Err(ClusterError::Network(error)) if error.is_unavailable() => {
            println!("namespaces cannot be made here: {error}");
            return;
        }
        made => made.unwrap(),
    };
    cluster.start_all().await.unwrap();
    let one = ["server-1".to_owned()];
    cluster.cut_off(&one).unwrap();
    assert!(cluster.page("server-1", "/ready").await.is_err(), "a packet came through");
    assert!(cluster.page("server-2", "/ready").await.is_ok());
    cluster.connect(&one).unwrap();
    cluster.ready("server-1").await.unwrap();
    // The program itself is what is signalled, not something around it.
    cluster.freeze("server-2").unwrap();
    // On a busy machine a signal is under way for a moment, and the threads of a process stop one after the other.
    let mut answers = 0;
    while cluster.page("server-2", "/ready").await.is_ok() {
        answers += 1;
        assert!(answers < 100, "a process that stands still answers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.thaw("server-2").unwrap();
    cluster.restart("server-2").await.unwrap();
    cluster.stop("server-1").await.unwrap();
    assert!(cluster.page("server-1", "/ready").await.is_err());
}
