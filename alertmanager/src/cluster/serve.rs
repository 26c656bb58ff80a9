//! What this Alertmanager answers to other processes.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use model::TenantId;
use placement::{HashPlacement, Placement as _, Unit};
use proto::alertmanager::alertmanager_server::{Alertmanager as Service, AlertmanagerServer};
use proto::alertmanager::{
    HeldPart, HeldRequest, PostRequest, PostResponse, StandingRequest, StandingResponse, TakeRequest,
    TakeResponse,
};
use proto::{Code, Error};
use rpc::grpc::to_status;
use tonic::{Request, Response, Status};

use super::alerts::{of_wire, parts, to_wire};
use super::decide::KIND;
use crate::alert::Alert;
use crate::service::Alertmanager;
use crate::tenant::Tenant;

/// When to come back where there is no room.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
/// The most members that tenants are asked for among.
const MAX_MEMBERS: usize = 10_000;

/// An Alertmanager, as others call it.
pub struct AlertmanagerService {
    role: Alertmanager,
}

impl AlertmanagerService {
    /// What an Alertmanager answers, for whoever asks in the same process.
    pub fn new(role: Alertmanager) -> Self {
        Self { role }
    }

    /// The service, for [`rpc::grpc::Routes`]; a message that is longer than `max_message_bytes` is refused.
    pub fn serve(role: Alertmanager, max_message_bytes: usize) -> AlertmanagerServer<Self> {
        AlertmanagerServer::new(Self::new(role)).max_decoding_message_size(max_message_bytes)
    }

    /// Whether it goes on without a lease, since the metastore is gone for all that it reaches.
    pub fn is_without_metastore(&self) -> bool {
        self.role.0.keeper.cluster().is_some_and(|cluster| cluster.is_without_metastore())
    }

    fn tenant(&self, tenant: &str) -> Result<Arc<Tenant>, Error> {
        let id = TenantId::new(tenant).map_err(|error| Error::invalid(error.to_string()))?;
        self.role.0.tenant(&id).map_err(|refused| Error::unavailable(refused, RETRY_AFTER))
    }

    /// The alerts among these that can be ones.
    fn good(&self, alerts: Vec<proto::alertmanager::Alert>) -> Vec<Alert> {
        let language = self.role.0.config.language();
        alerts.into_iter().map(of_wire).filter(|alert| alert.check(language).is_ok()).collect()
    }
}

#[tonic::async_trait]
impl Service for AlertmanagerService {
    async fn post(&self, request: Request<PostRequest>) -> Result<Response<PostResponse>, Status> {
        let PostRequest { tenant, alerts } = request.into_inner();
        let shared = &self.role.0;
        let tenant = self.tenant(&tenant).map_err(|error| to_status(&error))?;
        let now = shared.now();
        let alerts: Vec<Alert> =
            self.good(alerts).into_iter().map(|alert| Alert { updated_at: now, ..alert }).collect();
        for alert in &alerts {
            let status = if alert.is_resolved(now) { "resolved" } else { "firing" };
            shared.metrics.received.get_or_create(&[("status", status)]).inc();
        }
        let pushed = shared.push(&tenant, alerts, now).await;
        match pushed.map_err(|why| to_status(&Error::unavailable(why, RETRY_AFTER)))?.refused {
            true => {
                let full = "there are as many alerts as alertmanager.max_alerts allows";
                Err(to_status(&Error::unavailable(full, RETRY_AFTER)))
            }
            false => Ok(Response::new(PostResponse {})),
        }
    }

    async fn take(&self, request: Request<TakeRequest>) -> Result<Response<TakeResponse>, Status> {
        let TakeRequest { tenant, alerts, told } = request.into_inner();
        let tenant = self.tenant(&tenant).map_err(|error| to_status(&error))?;
        self.role.0.hear_records(&tenant, &told);
        let pushed = tenant.hear(self.good(alerts), self.role.0.now());
        match pushed.refused {
            true => {
                let full = "there are as many alerts as alertmanager.max_alerts allows";
                Err(to_status(&Error::unavailable(full, RETRY_AFTER)))
            }
            false => Ok(Response::new(TakeResponse {})),
        }
    }

    type HeldStream = Pin<Box<dyn Stream<Item = Result<HeldPart, Status>> + Send>>;

    async fn held(&self, request: Request<HeldRequest>) -> Result<Response<Self::HeldStream>, Status> {
        let HeldRequest { among, at } = request.into_inner();
        if among.len() > MAX_MEMBERS {
            let many = Error::invalid(format!(
                "there are {} members; at most {MAX_MEMBERS} are answered",
                among.len()
            ));
            return Err(to_status(&many));
        }
        let members = among.into_iter().map(Arc::from);
        let placement = HashPlacement::new(0, members);
        let wanted = move |tenant: &Arc<Tenant>| match placement.members() {
            [] => true,
            _ => placement.owner(Unit::new(KIND, tenant.id.as_str())).as_deref() == Some(at.as_str()),
        };
        let shared = Arc::clone(&self.role.0);
        let tenants = shared.tenants.list().into_iter().filter(wanted);
        let parts = tenants.flat_map(move |tenant| {
            let told = match shared.keeper.cluster() {
                Some(cluster) => cluster.uncommitted(&tenant.id),
                None => Vec::new(),
            };
            held(&tenant, &told)
        });
        Ok(Response::new(Box::pin(futures::stream::iter(parts.map(Ok)))))
    }

    async fn standing(&self, _: Request<StandingRequest>) -> Result<Response<StandingResponse>, Status> {
        match self.role.0.keeper.cluster() {
            Some(cluster) => Ok(Response::new(cluster.standing())),
            None => Err(to_status(&Error::new(Code::Unprocessable, "this Alertmanager is in no cluster"))),
        }
    }
}

/// What there is of a tenant, in parts.
fn held(tenant: &Tenant, told: &[Bytes]) -> Vec<HeldPart> {
    let id = tenant.id.as_str();
    let alerts = parts(tenant.dispatcher.lock().alerts().map(|alert| to_wire(alert)));
    let part = |alerts, told| HeldPart { part: Some(TakeRequest { tenant: id.to_owned(), alerts, told }) };
    let told = told.chunks(100).map(|told| part(Vec::new(), told.to_vec()));
    let told: Vec<HeldPart> = told.collect();
    told.into_iter().chain(alerts.into_iter().map(|alerts| part(alerts, Vec::new()))).collect()
}
