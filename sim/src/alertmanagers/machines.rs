//! What runs on the machines: an Alertmanager as `barograph` composes it, whose receivers are the run's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{
    Alertmanager, AlertmanagerConfig, AlertmanagerLimits, AlertmanagerService, ClusterDeps, Deps,
};
use bytes::Bytes;
use membership::records::{Kind as _, LEASES, Silences};
use membership::{LeaseHolder, Watcher, WatcherDeps};
use proto::metastore::Lease;
use rpc::grpc::Routes;
use settings::Overrides;

use super::AlertmanagerMutant;
use super::seen::Seen;
use crate::replicas::{Kind, Replicas};
use crate::site::{DATA, Process, grpc};

/// How long a view can be behind: what the membership of every process is told, added up.
const PATIENCE: Duration = Duration::from_secs(11);
/// The file with the configuration.
const CONFIG_FILE: &str = "/am.yml";
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
        let dial = process.dial().map_err(|error| said(&error))?;
        let client = process.client(&dial);
        let dir = Path::new(DATA).join("membership");
        env::create_dir_durable(&*process.fs, &dir).map_err(|error| said(&error))?;
        env::write_file_durable(&*process.fs, Path::new(CONFIG_FILE), CONFIG.as_bytes())
            .map_err(|error| said(&error))?;
        let scope = process.scope.child("membership");
        let watch = async |file: &str, prefixes: Vec<Bytes>| {
            let deps =
                WatcherDeps { fs: Arc::clone(&process.fs), path: dir.join(file), scope: scope.clone() };
            Watcher::start(client.clone(), prefixes, deps).await.map_err(|error| said(&error))
        };
        let members = watch("view", vec![LEASES.into()]).await?;
        let state = match self.forgets(&life) {
            false => watch("alerts", ClusterDeps::prefixes()).await?,
            true => {
                let all = ClusterDeps::prefixes().into_iter();
                watch("others", all.filter(|prefix| prefix != Silences::PREFIX).collect()).await?
            }
        };
        let lease = Lease {
            instance: process.name.clone(),
            roles: vec!["alertmanager".to_owned()],
            addresses: BTreeMap::from([("grpc".to_owned(), process.address())]),
            ..Lease::default()
        };
        let lease = LeaseHolder::start(client.clone(), lease, &scope);
        let waits = self.mutant != Some(AlertmanagerMutant::TwoDispatchers);
        let cluster = ClusterDeps {
            client,
            state,
            members,
            lease: Box::pin(std::future::ready(lease.clone())),
            instance: process.name.as_str().into(),
            dial,
            patience: if waits { PATIENCE } else { Duration::ZERO },
        };
        let config = AlertmanagerConfig {
            lease_margin: Duration::from_millis(300),
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
