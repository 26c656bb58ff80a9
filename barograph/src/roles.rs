//! Which roles a process runs, and what that asks of its configuration.

use bucket::BackendKind;

use crate::config::{Config, Target};

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) distributor: bool,
    pub(crate) ingester: bool,
    pub(crate) querier: bool,
    pub(crate) ruler: bool,
    pub(crate) alertmanager: bool,
    pub(crate) compactor: bool,
    pub(crate) metastore: bool,
}

impl Roles {
    /// The roles that a configuration names.
    pub(crate) fn of(config: &Config) -> Self {
        Self::new(&config.process.target)
    }

    /// The roles that a target names.
    fn new(target: &[Target]) -> Self {
        let has = |role| target.contains(&role);
        let all = has(Target::All);
        Self {
            distributor: all || has(Target::Distributor),
            ingester: all || has(Target::Ingester),
            querier: all || has(Target::Querier),
            ruler: all || has(Target::Ruler),
            alertmanager: all || has(Target::Alertmanager),
            compactor: all || has(Target::Compactor),
            metastore: has(Target::Metastore),
        }
    }

    /// The names of the roles.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.distributor, "distributor"),
            (self.ingester, "ingester"),
            (self.querier, "querier"),
            (self.ruler, "ruler"),
            (self.alertmanager, "alertmanager"),
            (self.compactor, "compactor"),
            (self.metastore, "metastore"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }

    /// Whether any role of the data plane is among them.
    pub(crate) fn data_plane(self) -> bool {
        self.distributor || self.ingester || self.querier || self.ruler
    }

    /// Whether the Alertmanager is all there is, and has the paths of the root.
    pub(crate) fn alertmanager_alone(self) -> bool {
        self.alertmanager && !self.data_plane() && !self.metastore && !self.compactor
    }

    /// Whether they are part of a cluster, rather than all there is.
    pub(crate) fn in_cluster(self, config: &Config) -> bool {
        let takes_part = self.data_plane() || self.compactor || self.alertmanager;
        takes_part && !config.membership.addresses.is_empty()
    }

    /// Whether other processes call this one.
    pub(crate) fn is_called(self, config: &Config) -> bool {
        self.metastore || ((self.ingester || self.ruler || self.alertmanager) && self.in_cluster(config))
    }

    /// What the configuration lacks for these roles.
    pub(crate) fn check(self, config: &Config) -> Result<(), String> {
        let complete = self.distributor && self.ingester && self.querier;
        let alone = self.data_plane() && !self.in_cluster(config);
        if alone && (!complete || self.metastore) {
            return Err(format!(
                "target: {} in one process is a part of a cluster, which needs metastore.addresses (host:port of each \
                 node of the metastore); leave target out for everything in one process",
                self.names().join(",")
            ));
        }
        let (margin, ttl) = (config.ruler.lease_margin, config.membership.lease_ttl);
        if self.ruler && self.in_cluster(config) && margin > ttl / 2 {
            return Err(format!(
                "ruler.lease_margin is {margin:?} and metastore.lease_ttl {ttl:?}; the margin may be half of it at most, or \
                 the lease would never hold for long enough"
            ));
        }
        // What is not said follows the lease.
        let margin = config.alertmanager.lease_margin.unwrap_or_default();
        if self.alertmanager && self.in_cluster(config) && margin > ttl / 2 {
            return Err(format!(
                "alertmanager.lease_margin is {margin:?} and metastore.lease_ttl {ttl:?}; the margin may be half of it at most, \
                 or the lease would never hold for long enough"
            ));
        }
        let named = config.process.target.contains(&Target::Compactor);
        if named && config.bucket.backend == BackendKind::None {
            return Err("target: compactor needs a bucket; set bucket.backend".to_owned());
        }
        let advertised = config.grpc.advertise.is_some();
        if self.is_called(config) && config.grpc.listen.ip().is_unspecified() && !advertised {
            return Err(format!(
                "grpc.listen is {}, which says nothing of where other processes reach this one; set grpc.advertise to \
                 host:port",
                config.grpc.listen
            ));
        }
        Ok(())
    }

    /// The role that serves a path, where one of them does.
    pub(crate) fn that_serves(path: &str) -> Option<&'static str> {
        match path {
            "/api/v1/push" | "/api/v1/write" => Some("distributor"),
            "/api/v1/alerts" => Some("alertmanager"),
            "/prometheus/api/v1/rules" | "/prometheus/api/v1/alerts" | "/api/v1/rules" => Some("ruler"),
            _ if path.starts_with("/api/v1/rules/") || path.starts_with("/ruler/") => Some("ruler"),
            _ if path.strip_prefix("/prometheus").unwrap_or(path).starts_with("/config/v1/rules") => {
                Some("ruler")
            }
            "/federate" => Some("querier"),
            _ if path.starts_with("/alertmanager/") || path.starts_with("/api/v2/") => Some("alertmanager"),
            _ if path.starts_with("/ingester/") => Some("ingester"),
            _ if path == "/compactor" || path.starts_with("/compactor/") => Some("compactor"),
            _ if path.starts_with("/prometheus/") || path.starts_with("/api/v1/") => Some("querier"),
            _ => None,
        }
    }

    /// Whether a role is among them, by its name.
    pub(crate) fn has(self, name: &str) -> bool {
        self.names().contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_roles() {
        let check = |path, role| assert_eq!(Roles::that_serves(path), role, "{path}");
        check("/api/v1/push", Some("distributor"));
        check("/api/v1/write", Some("distributor"));
        check("/api/v1/query", Some("querier"));
        check("/prometheus/api/v1/read", Some("querier"));
        check("/prometheus/api/v1/rules", Some("ruler"));
        check("/prometheus/config/v1/rules/namespace", Some("ruler"));
        check("/config/v1/rules", Some("ruler"));
        check("/api/v1/rules/namespace/group", Some("ruler"));
        check("/federate", Some("querier"));
        check("/ingester/prepare-shutdown", Some("ingester"));
        check("/compactor", Some("compactor"));
        check("/alertmanager/api/v2/alerts", Some("alertmanager"));
        check("/api/v1/alerts", Some("alertmanager"));
        check("/prometheus/api/v1/alerts", Some("ruler"));
        check("/nowhere", None);
    }

    #[test]
    fn a_target_names_roles() {
        let names = |target: &[Target]| Roles::new(target).names().join(",");
        assert_eq!(names(&[Target::All]), "distributor,ingester,querier,ruler,alertmanager,compactor");
        assert_eq!(
            names(&[Target::All, Target::Metastore]),
            "distributor,ingester,querier,ruler,alertmanager,compactor,metastore"
        );
        assert_eq!(names(&[Target::Querier, Target::Distributor]), "distributor,querier");
    }
}
