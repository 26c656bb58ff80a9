//! What the ruler can be told.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{METRIC_NAME, TenantId};
use relabel::Rule;
use rules::evaluation::Restore;
use settings::Nested;

settings::section! {
    /// The ruler: evaluates rules.
    pub struct RulerConfig ("ruler") {
        /// The tenant that rules of files belong to.
        tenant: TenantId = "anonymous";
        /// How often files of rules are looked at for changes. SIGHUP and POST /-/reload look at once.
        poll_interval: Duration = "30s", range "1s"..="1h";
        /// How often groups are evaluated that do not say.
        evaluation_interval: Duration = "1m", range "1s"..="1d";
        /// How far back in time groups are evaluated that do not say, so that samples that come late are there.
        query_offset: Duration = "0s", range "0s"..="1h";
        /// How long after an alert was sent it is sent again.
        resend_delay: Duration = "1m", range "0s"..="1h";
        /// Alerts that were pending before a start go on waiting where they were, if that is not longer ago than this.
        for_outage_tolerance: Duration = "1h", range "0s"..="30d";
        /// How long an alert waits at least after a start before it fires; rules that wait less begin anew.
        for_grace_period: Duration = "10m", range "0s"..="1d";
        /// How far back evaluations are made up for where a group passes from one ruler of a cluster to another, each at its own
        /// time. Earlier ones are missed.
        catch_up: Duration = "5m", range "0s"..="1h";
        /// How much longer than the moment the lease of this process has to hold for it to evaluate what others would take over.
        /// At most half of metastore.lease_ttl.
        lease_margin: Duration = "1s", range "0s"..="1m";
        /// How many rules of a group are evaluated at the same time, of those that do not need each other.
        max_independent_rules: usize = "4", range "1"..="1000";
        /// How many rules of all groups are evaluated at the same time; further ones wait. See also
        /// querier.rules_max_concurrent.
        max_concurrent_rules: usize = "100", range "1"..="10000";
        /// Labels that alerts get before they are sent, where they have no such label: {cluster: a}. Templates see them, too.
        external_labels: Nested<BTreeMap<String, String>> = "{}";
        /// Relabelling of alerts before they are sent, as Prometheus has it in alerting.alert_relabel_configs.
        alert_relabel_configs: Nested<Vec<Rule>> = "[]";
        /// How many alerts may wait to be sent to one Alertmanager. When there are more, the oldest are dropped and counted.
        notification_queue_capacity: usize = "10000", range "1"..="10000000";
        /// How many alerts are sent at a time.
        notification_batch_size: usize = "256", range "1"..="100000";
        /// How long an Alertmanager may take to answer.
        notification_timeout: Duration = "10s", range "1s"..="5m";
        /// How often names of Alertmanagers are looked up, where alertmanager_url says that they are names of DNS.
        alertmanager_refresh_interval: Duration = "1m", range "1s"..="1h";
        /// Whether groups that a tenant sets may read the data of the tenants that they name under source_tenants. Whoever may set
        /// rules can read everything then.
        tenant_federation: bool = "false";
        /// How long rules that are being evaluated may take to end when the process stops.
        stop_grace: Duration = "10s", range "0s"..="5m";
    }
    check ruler_is_consistent;
}

settings::limits! {
    /// What a tenant's rules may be, where the tenant sets them by the API.
    pub struct RulerLimits {
        /// How many groups of rules the tenant may set; 0 means any number.
        ruler_max_rule_groups_per_tenant: usize = "10000";
        /// How many rules a group may have that the tenant sets; 0 means any number.
        ruler_max_rules_per_rule_group: usize = "1000";
    }
}

fn ruler_is_consistent(config: &RulerConfig) -> Result<(), String> {
    let wrong = config.external_labels.keys().find(|name| name.is_empty() || *name == METRIC_NAME);
    match wrong {
        Some(name) => Err(format!("ruler.external_labels: {name:?} is no name of a label of alerts")),
        None => Ok(()),
    }
}

impl RulerConfig {
    /// How states are restored after a start.
    pub(crate) fn restore(&self) -> Restore {
        Restore {
            outage_tolerance_ms: whole_ms(self.for_outage_tolerance),
            grace_period_ms: whole_ms(self.for_grace_period),
        }
    }
}

/// Milliseconds, for times that do not reach the end of the numbers.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
