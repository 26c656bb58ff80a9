//! What runs on the machines: a ruler as `barograph` composes it, which reaches what all rulers of the run do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use membership::LeaseHolder;
use membership::records::{Kind as _, LEASES, RuleTenants, Rules};
use model::TenantId;
use rpc::grpc::Routes;
use ruler::{ClusterDeps, Deps, Ruler, RulerConfig, RulerLimits, RulerService, Target};
use settings::Overrides;
use tower::ServiceExt as _;

use super::RulerMutant;
use super::seen::Seen;
use crate::replicas::{Kind, Replicas};
use crate::site::{DATA, MAX_STALENESS, Process, SILENCE_TIMEOUT, grpc};
use crate::stage::Member;

/// The machines with rulers.
pub(super) type Machines = Replicas<Rulers>;

/// Rulers.
#[derive(Clone)]
pub(super) struct Rulers {
    pub(super) seen: Seen,
    pub(super) mutant: Option<RulerMutant>,
}

/// One that runs.
#[derive(Clone)]
pub(super) struct Running {
    ruler: Ruler,
    lease: LeaseHolder,
}

impl Kind for Rulers {
    type Running = Running;

    async fn boot(&self, process: Process, life: String) -> Result<Running, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let member = Member::new(&process)?;
        let members = member.watch("view", vec![LEASES.into()]).await?;
        let rules = member.watch("rules", vec![Rules::PREFIX.into(), RuleTenants::PREFIX.into()]).await?;
        let lease = member.lease("ruler");
        let patience = match self.mutant {
            Some(RulerMutant::TwoOwners) => Duration::ZERO,
            _ => SILENCE_TIMEOUT + MAX_STALENESS,
        };
        let cluster = ClusterDeps {
            client: member.client,
            rules,
            members: members.clone(),
            lease: Box::pin(std::future::ready(lease.clone())),
            instance: process.name.as_str().into(),
            dial: member.dial,
            patience,
        };
        let reached = self.seen.of(&life, self.mutant);
        let config = RulerConfig {
            lease_margin: Duration::from_millis(300),
            resend_delay: Duration::from_secs(10),
            ..RulerConfig::default()
        };
        let deps = Deps {
            fs: Arc::clone(&process.fs),
            clock: Arc::clone(&process.clock),
            scope: process.scope.child("ruler"),
            registry: process.registry.clone(),
            query: Arc::clone(&reached) as _,
            write: Arc::clone(&reached) as _,
            alertmanagers: vec![Target { name: "all".to_owned(), way: reached }.into()],
            files: Vec::new(),
            dir: Path::new(DATA).join("ruler/rules"),
            cluster: Some(cluster),
            limits: Overrides::fixed(RulerLimits::default()),
            external_url: "http://sim".to_owned(),
        };
        let ruler = Ruler::start(config, deps).await.map_err(|error| said(&error))?;
        let service = RulerService::serve(ruler.clone(), grpc().max_message_bytes());
        process.serve(Routes::default().add_service(service)).map_err(|error| said(&error))?;
        // It cannot end before this does.
        drop(members.subscribe().wait_for(|view| view.is_known()).await.map(drop));
        ruler.begin().await.map_err(|error| said(&error))?;
        Ok(Running { ruler, lease })
    }

    async fn stop(&self, running: Running) {
        running.ruler.cease().await;
        running.lease.release().await;
    }
}

impl Running {
    /// Sets a group of rules, as a user does; the status of the answer, if there is one.
    pub(super) async fn set(self, group: String) -> Option<u16> {
        let request = Request::post("/prometheus/config/v1/rules/n").body(Full::new(Bytes::from(group)));
        let mut request = request.ok()?;
        request.extensions_mut().insert(rpc::Tenant(TenantId::anonymous()));
        let answer = self.ruler.router().oneshot(request).await.ok()?;
        Some(answer.status().as_u16())
    }
}
