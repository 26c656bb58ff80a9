//! What runs on the machines: an Alertmanager as `barograph` composes it, whose receivers are the run's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{
    Alertmanager, AlertmanagerConfig, AlertmanagerLimits, AlertmanagerService, ClusterDeps, Deps,
};
use membership::LeaseHolder;
use membership::records::{Kind as _, LEASES, Silences};
use rpc::grpc::Routes;
use settings::Overrides;

use super::AlertmanagerMutant;
use super::seen::Seen;
use crate::replicas::{Kind, Replicas};
use crate::site::{DATA, LEASE_TTL, MAX_STALENESS, Process, SILENCE_TIMEOUT, grpc};
use crate::stage::Member;

/// The file with the configuration.
const CONFIG_FILE: &str = "/am.yml";
/// How often a group is looked at; the configuration says so, too.
pub(super) const GROUP_INTERVAL: Duration = Duration::from_secs(4);
/// Groups by name; a critical alert of a service inhibits its warnings.
const CONFIG: &str = "\
route: {receiver: hook, group_by: [tenant, alertname], group_wait: 1s, group_interval: 4s, repeat_interval: 1h}
inhibit_rules: [{source_matchers: ['severity=critical'], target_matchers: ['severity=warning'], equal: [tenant, service]}]
receivers: [{name: hook, webhook_configs: [{url: 'http://receiver/hook'}]}]
";

/// The machines with Alertmanagers.
pub(super) type Machines = Replicas<Alertmanagers>;

/// Alertmanagers.
#[derive(Clone)]
pub(super) struct Alertmanagers {
    pub(super) seen: Seen,
    pub(super) mutant: Option<AlertmanagerMutant>,
}

/// One that runs.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) role: Alertmanager,
    lease: LeaseHolder,
}

impl Kind for Alertmanagers {
    type Running = Running;

    async fn boot(&self, process: Process, life: String) -> Result<Running, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let member = Member::new(&process)?;
        env::write_file_durable(&*process.fs, Path::new(CONFIG_FILE), CONFIG.as_bytes())
            .map_err(|error| said(&error))?;
        let members = member.watch("view", vec![LEASES.into()]).await?;
        let state = match self.forgets(&life) {
            false => member.watch("alerts", ClusterDeps::prefixes()).await?,
            true => {
                let all = ClusterDeps::prefixes().into_iter();
                member.watch("others", all.filter(|prefix| prefix != Silences::PREFIX).collect()).await?
            }
        };
        let lease = member.lease("alertmanager");
        let waits = self.mutant != Some(AlertmanagerMutant::TwoDispatchers);
        let cluster = ClusterDeps {
            client: member.client,
            state,
            members,
            lease: Box::pin(std::future::ready(lease.clone())),
            instance: process.name.as_str().into(),
            dial: member.dial,
            lease_ttl: LEASE_TTL,
            patience: if waits { SILENCE_TIMEOUT + MAX_STALENESS } else { Duration::ZERO },
        };
        let config = AlertmanagerConfig {
            lease_margin: Some(Duration::from_millis(300)),
            cleanup_interval: Duration::from_secs(20),
            ..AlertmanagerConfig::default()
        };
        let deps = Deps {
            fs: Arc::clone(&process.fs),
            clock: Arc::clone(&process.clock),
            rng: process.draw.rng(),
            scope: process.scope.child("alertmanager"),
            registry: process.registry.clone(),
            dir: Path::new(DATA).join("alertmanager"),
            config_file: Some(PathBuf::from(CONFIG_FILE)),
            external_url: "http://sim".to_owned(),
            limits: Overrides::fixed(AlertmanagerLimits::default()),
            cluster: Some(cluster),
            receivers: Some(self.seen.way_of(&life)),
        };
        let role = Alertmanager::start(config, deps).await.map_err(|error| said(&error))?;
        let service = AlertmanagerService::serve(role.clone(), grpc().max_message_bytes());
        process.serve(Routes::default().add_service(service)).map_err(|error| said(&error))?;
        self.seen.began(&life, role.clone(), lease.clone());
        Ok(Running { role, lease })
    }

    async fn stop(&self, running: Running) {
        running.role.let_go().await;
        running.lease.release().await;
        running.role.stop().await;
    }
}

impl Alertmanagers {
    /// Whether a process does not hear of silences: none of the first of their machines.
    fn forgets(&self, life: &str) -> bool {
        self.mutant == Some(AlertmanagerMutant::SilenceForgotten) && !life.ends_with(" 1")
    }
}
