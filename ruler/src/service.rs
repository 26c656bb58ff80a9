//! The role: the groups of tenants, the files that they come from, and what tenants have set themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use env::{Clock, FileSystem, Scope};
use model::TenantId;
use parking_lot::Mutex;
use proto::{Query, Write};
use rules::evaluation::Settings;
use settings::Overrides;
use telemetry::Registry;
use tokio::sync::Semaphore;

use crate::config::{RulerConfig, RulerLimits, whole_ms};
use crate::error::{LoadError, StartError};
use crate::evaluate::Evaluator;
use crate::files::Texts;
use crate::group::{Described, GroupKey, Unit};
use crate::http;
use crate::metrics::Metrics;
use crate::notify::{Alertmanagers, Notifier};
use crate::running::Running;
use crate::shares::{ClusterDeps, Shares};
use crate::stored::{Keeper, RuleDir, RuleRecords, Stored};
use crate::turns::Turns;

/// How many groups are named at a start that are kept and cannot be evaluated.
const MAX_NAMED: usize = 100;

/// What the role is handed.
pub struct Deps {
    /// Where files are.
    pub fs: Arc<dyn FileSystem>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where its tasks run.
    pub scope: Scope,
    /// What it counts.
    pub registry: Registry,
    /// Who answers queries.
    pub query: Arc<dyn Query>,
    /// Who takes what rules make.
    pub write: Arc<dyn Write>,
    /// Who is told of alerts.
    pub alertmanagers: Vec<Alertmanagers>,
    /// The files of rules, as patterns.
    pub files: Vec<PathBuf>,
    /// The folder of what tenants set by the API where there is no cluster. It is made when one does.
    pub dir: PathBuf,
    /// The cluster, where there are other rulers: it keeps what tenants set, and groups are shared out.
    pub cluster: Option<ClusterDeps>,
    /// The limits of tenants.
    pub limits: Overrides<RulerLimits>,
    /// Where people reach the process, without a slash at the end.
    pub external_url: String,
}

/// The groups of a tenant.
pub(crate) type Groups = BTreeMap<GroupKey, Running>;

pub(crate) struct Shared {
    pub(crate) evaluator: Arc<Evaluator>,
    fs: Arc<dyn FileSystem>,
    files: Vec<PathBuf>,
    /// Where what tenants set is kept.
    pub(crate) keeper: Keeper,
    pub(crate) limits: Overrides<RulerLimits>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) groups: Mutex<BTreeMap<TenantId, Groups>>,
    /// The same as they are shown: while groups change, those from before.
    pub(crate) shown: Mutex<BTreeMap<TenantId, Vec<Arc<Unit>>>>,
    /// What was read last, whether it was good or not.
    texts: Mutex<Texts>,
    /// What the files say that are in use.
    pub(crate) said: Mutex<Vec<Described>>,
    /// What tenants have set, as it is kept.
    pub(crate) stored: Mutex<Stored>,
    /// Whether groups have begun: those of the first time may have been before.
    pub(crate) begun: AtomicBool,
    /// Held while files are read and taken.
    reloading: tokio::sync::Mutex<()>,
    pub(crate) turns: Turns,
    /// Where files are read and watched.
    pub(crate) scope: Scope,
    /// Where groups are evaluated.
    pub(crate) evaluating: Scope,
    /// Where alerts are sent.
    sending: Scope,
}

/// The ruler. Clones are the same one.
#[derive(Clone)]
pub struct Ruler(pub(crate) Arc<Shared>);

impl Ruler {
    /// Reads the files of rules, and what tenants have set. Nothing is evaluated before [`Ruler::begin`].
    ///
    /// # Errors
    /// When the files cannot be used; when what tenants have set is damaged, or is not to be here.
    pub async fn start(config: RulerConfig, deps: Deps) -> Result<Self, StartError> {
        let Deps { fs, clock, scope, registry, query, write, alertmanagers, files, external_url, .. } = deps;
        let dir = RuleDir { fs: Arc::clone(&fs), dir: deps.dir };
        let (reading, asking) = (dir.clone(), Arc::clone(&query));
        let stored = scope.run_blocking(move || reading.load(|tenant| asking.parse_options(tenant))).await;
        let stored = stored.map_err(LoadError::from)?.map_err(StartError::Stored)?;
        if deps.cluster.is_some() && !stored.is_empty() {
            return Err(StartError::Folder { dir: dir.dir });
        }
        let metrics = Metrics::register(&registry);
        let sending = scope.child("sending");
        let notifier = Notifier::start(&config, alertmanagers, &clock, &metrics.notifications, &sending);
        let settings = Arc::new(Settings {
            external_labels: (*config.external_labels).clone(),
            external_url: Arc::from(external_url),
            interval_ms: whole_ms(config.evaluation_interval),
            query_offset_ms: whole_ms(config.query_offset),
            resend_delay_ms: whole_ms(config.resend_delay),
        });
        let room = Semaphore::new(config.max_concurrent_rules);
        let (keeper, shares) = match deps.cluster {
            None => (Keeper::Folder(dir), None),
            Some(cluster) => {
                let (client, watcher) = (cluster.client.clone(), cluster.rules.clone());
                let records = RuleRecords::new(client, watcher, Arc::clone(&clock));
                let shares = Shares::start(cluster, config.lease_margin, &metrics, (&clock, &scope));
                (Keeper::Metastore(Arc::new(records)), Some(shares))
            }
        };
        let evaluator = Evaluator { config, clock, query, write, notifier, metrics, room, shares };
        let shared = Arc::new(Shared {
            evaluator: Arc::new(evaluator),
            fs,
            files,
            keeper,
            limits: deps.limits,
            settings,
            groups: Mutex::default(),
            shown: Mutex::default(),
            texts: Mutex::default(),
            said: Mutex::default(),
            stored: Mutex::new(stored),
            begun: AtomicBool::new(false),
            reloading: tokio::sync::Mutex::new(()),
            turns: Turns::default(),
            evaluating: scope.child("evaluating"),
            sending,
            scope,
        });
        let texts = shared.read().await?;
        shared.parse(&texts)?;
        *shared.texts.lock() = texts;
        shared.begin_to_follow().await;
        if let Some(shares) = shared.shares().cloned() {
            let applied = Arc::clone(&shared);
            // The scope ends the task.
            drop(shared.scope.spawn("shares carried out", async move {
                shares.carry_out(|| applied.apply_all()).await;
            }));
        }
        shared.count_unusable(MAX_NAMED);
        Ok(Self(shared))
    }

    /// Begins to evaluate, and to look at the files for changes.
    ///
    /// # Errors
    /// When the files cannot be used any more.
    pub async fn begin(&self) -> Result<(), LoadError> {
        let shared = &self.0;
        let texts = shared.texts.lock().clone();
        shared.take(&texts).await?;
        let tenants = || shared.stored.lock().keys().cloned().collect::<Vec<_>>();
        for tenant in tenants() {
            // What a tenant has set keeps no process from starting.
            if let Err(error) = shared.apply(&tenant).await {
                tracing::error!(%tenant, %error, "what a tenant has set cannot be evaluated");
            }
        }
        shared.begun.store(true, Ordering::Release);
        // What was set meanwhile.
        for tenant in tenants() {
            shared.apply_soon(&tenant);
        }
        shared.watch();
        if shared.shares().is_some() {
            shared.apply_all().await;
        }
        Ok(())
    }

    /// The API, for tenants: `/prometheus/api/v1/rules`, `/prometheus/api/v1/alerts`, `/api/v1/rules`, and what Mimir has to set
    /// rules, below `/prometheus/config/v1/rules`, `/config/v1/rules` and `/api/v1/rules`. To be served behind a
    /// [`rpc::TenantLayer`].
    pub fn router(&self) -> Router {
        http::router(self)
    }

    /// What operates it: `/-/reload`.
    pub fn operations(&self) -> Router {
        http::operations(self)
    }

    /// Reads the files of rules again. If one is wrong, all rules in use stay.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub async fn reload(&self) -> Result<(), LoadError> {
        self.0.reload().await
    }

    /// Evaluates nothing any more: what is being evaluated is given some time to end. In a cluster this comes before the end of
    /// the lease, upon which others take over.
    pub async fn cease(&self) {
        let shared = &self.0;
        let clock = &*shared.evaluator.clock;
        shared.evaluating.cancel();
        shared.evaluating.join(clock, shared.evaluator.config.stop_grace).await;
    }

    /// Ends.
    pub async fn stop(&self) {
        self.cease().await;
        let shared = &self.0;
        shared.sending.cancel();
        shared.scope.abort();
    }
}

impl Shared {
    /// The share of this ruler, where there are others.
    pub(crate) fn shares(&self) -> Option<&Shares> {
        self.evaluator.shares.as_ref()
    }

    /// The groups of a tenant, in order.
    pub(crate) fn units(&self, tenant: &TenantId) -> Vec<Arc<Unit>> {
        self.shown.lock().get(tenant).cloned().unwrap_or_default()
    }

    async fn read(&self) -> Result<Texts, LoadError> {
        let (fs, files) = (Arc::clone(&self.fs), self.files.clone());
        self.scope.run_blocking(move || Texts::read(&*fs, &files)).await?
    }

    fn parse(&self, texts: &Texts) -> Result<Vec<Described>, LoadError> {
        let files = texts.parse(self.evaluator.query.parse_options(&self.evaluator.config.tenant))?;
        let of_file = |(file, said): (String, rules::RuleFile)| {
            let groups = said.groups.into_iter();
            groups.map(move |group| Described { file: file.clone(), group: Arc::new(group), stored: false })
        };
        Ok(files.into_iter().flat_map(of_file).collect())
    }

    async fn reload(self: &Arc<Self>) -> Result<(), LoadError> {
        let _reloading = self.reloading.lock().await;
        let taken = match self.read().await {
            Ok(texts) => {
                let taken = self.take(&texts).await;
                *self.texts.lock() = texts;
                taken
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &taken {
            self.evaluator.metrics.reload_successful.set(0);
            tracing::error!(%error, "the files of rules are refused; the rules stay as they were");
        }
        taken
    }

    /// Evaluates what the files say from now on.
    async fn take(self: &Arc<Self>, texts: &Texts) -> Result<(), LoadError> {
        let before = std::mem::replace(&mut *self.said.lock(), self.parse(texts)?);
        let tenant = self.evaluator.config.tenant.clone();
        let shared = Arc::clone(self);
        // It is not left halfway where whoever asked for it goes away.
        let applying = self.scope.spawn("rules", async move { shared.apply(&tenant).await });
        if let Err(error) = applying.await? {
            *self.said.lock() = before;
            return Err(error);
        }
        let metrics = &self.evaluator.metrics;
        metrics.reload_successful.set(1);
        metrics.reload_succeeded_at.set(self.evaluator.clock.now_ms() as f64 / 1_000.0);
        Ok(())
    }

    /// Looks at the files now and then, and takes them when they have changed.
    fn watch(self: &Arc<Self>) {
        if self.files.is_empty() {
            return;
        }
        let shared = Arc::clone(self);
        let cancelled = self.scope.cancelled();
        drop(self.scope.spawn("rule files", async move {
            let mut cancelled = std::pin::pin!(cancelled);
            loop {
                tokio::select! {
                    biased;
                    () = &mut cancelled => break,
                    () = shared.evaluator.clock.sleep(shared.evaluator.config.poll_interval) => {}
                }
                shared.look().await;
            }
        }));
    }

    /// Takes the files if they have changed. How that went has been logged; what is wrong with what they say is said once.
    async fn look(self: &Arc<Self>) {
        match self.read().await {
            Ok(texts) if texts == *self.texts.lock() => return,
            Ok(_) => {}
            // A file that is being replaced may be missing for a moment.
            Err(error) => tracing::debug!(%error, "files of rules cannot be read"),
        }
        let _ = self.reload().await;
    }
}
