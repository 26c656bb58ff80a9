//! The state of the metastore, for people and for programs.

use proto::metastore::{NodeStatus, StatusResponse};
use serde_json::json;

/// A table with a line for each node, and what all have in common below it.
pub(super) fn table(status: &StatusResponse) -> String {
    let header = ["NAME", "ADDRESS", "NUMBER", "ROLE", "HAS"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(status.nodes.iter().map(row));
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let header = status.header.unwrap_or_default();
    let age = header.staleness_ms.map_or("of unknown age".to_owned(), |ms| format!("at most {ms} ms old"));
    text.push_str(&format!(
        "\ncluster {:x}, term {}, {}\nrevision {} ({age}), {} records, {} leases\nlog up to {}, applied {}, snapshot {}, removed up to {}\n",
        header.cluster_id,
        status.term,
        if status.leader == 0 { "no leader".to_owned() } else { format!("led by {:x}", status.leader) },
        header.revision,
        status.records,
        status.leases,
        status.last_log_index,
        status.applied_index,
        status.snapshot_index,
        status.purged_index,
    ));
    text
}

fn row(node: &NodeStatus) -> [String; 5] {
    let known = node.node.clone().unwrap_or_default();
    let role = match (node.leader, node.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    let has = node.matched_index.map_or("-".to_owned(), |index| index.to_string());
    [known.name, known.address, format!("{:x}", node.id), role.to_owned(), has]
}

/// The same as a JSON object. Numbers of nodes and clusters are texts in hexadecimal, since JSON's numbers are too
/// small for them.
pub(super) fn json(status: &StatusResponse) -> String {
    let header = status.header.unwrap_or_default();
    let nodes: Vec<serde_json::Value> = status
        .nodes
        .iter()
        .map(|node| {
            let known = node.node.clone().unwrap_or_default();
            json!({
                "id": format!("{:x}", node.id),
                "name": known.name,
                "address": known.address,
                "voter": node.voter,
                "leader": node.leader,
                "matchedIndex": node.matched_index,
            })
        })
        .collect();
    let object = json!({
        "clusterId": format!("{:x}", header.cluster_id),
        "revision": header.revision,
        "answeredBy": format!("{:x}", header.node),
        "stalenessMs": header.staleness_ms,
        "term": status.term,
        "leader": (status.leader != 0).then(|| format!("{:x}", status.leader)),
        "lastLogIndex": status.last_log_index,
        "appliedIndex": status.applied_index,
        "snapshotIndex": status.snapshot_index,
        "purgedIndex": status.purged_index,
        "records": status.records,
        "leases": status.leases,
        "nodes": nodes,
    });
    format!("{object:#}\n")
}

#[cfg(test)]
mod tests {
    use proto::metastore::{Node, ResponseHeader};

    use super::*;

    fn status() -> StatusResponse {
        let node = |id, name: &str, leader, voter| NodeStatus {
            id,
            node: Some(Node { name: name.into(), address: "h:1".into() }),
            leader,
            voter,
            matched_index: leader.then_some(12),
        };
        StatusResponse {
            header: Some(ResponseHeader { cluster_id: 0xabc, revision: 9, node: 1, staleness_ms: Some(40) }),
            term: 2,
            leader: 1,
            nodes: vec![node(1, "metastore-0", true, true), node(u64::MAX, "m", false, false)],
            ..StatusResponse::default()
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let text = table(&status());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME         ADDRESS  NUMBER            ROLE     HAS");
        assert_eq!(lines[1], "metastore-0  h:1      1                 leader   12");
        assert_eq!(lines[2], "m            h:1      ffffffffffffffff  learner  -");
        assert!(text.contains("cluster abc, term 2, led by 1"), "{text}");
    }

    #[test]
    fn json_keeps_numbers_that_json_cannot() {
        let parsed: serde_json::Value = serde_json::from_str(&json(&status())).unwrap();
        assert_eq!(parsed["nodes"][1]["id"], "ffffffffffffffff");
        assert_eq!(parsed["nodes"][0]["matchedIndex"], 12);
        assert_eq!(parsed["leader"], "1");
    }
}
