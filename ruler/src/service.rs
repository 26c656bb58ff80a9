//! The role: the groups of tenants, and the files that they come from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use env::{Clock, FileSystem, Scope};
use model::TenantId;
use parking_lot::Mutex;
use proto::{Query, Write};
use rules::RuleFile;
use rules::evaluation::Settings;
use telemetry::Registry;
use tokio::sync::Semaphore;

use crate::config::{RulerConfig, whole_ms};
use crate::error::{LoadError, StartError};
use crate::evaluate::Evaluator;
use crate::files::Texts;
use crate::group::{GroupKey, Unit};
use crate::http;
use crate::metrics::Metrics;
use crate::notify::{Notifier, Target};
use crate::running::{Running, bury};

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
    pub alertmanagers: Vec<Target>,
    /// The files of rules, as patterns.
    pub files: Vec<PathBuf>,
    /// Where people reach the process, without a slash at the end.
    pub external_url: String,
}

/// The groups of a tenant.
type Groups = BTreeMap<GroupKey, Running>;

pub(crate) struct Shared {
    evaluator: Arc<Evaluator>,
    fs: Arc<dyn FileSystem>,
    files: Vec<PathBuf>,
    settings: Arc<Settings>,
    groups: Mutex<BTreeMap<TenantId, Groups>>,
    /// The same as they are shown: while groups change, those from before.
    shown: Mutex<BTreeMap<TenantId, Vec<Arc<Unit>>>>,
    /// What was read last, whether it was good or not.
    texts: Mutex<Texts>,
    /// Whether groups have begun: those of the first time may have been before.
    begun: AtomicBool,
    /// Held while groups change.
    changing: tokio::sync::Mutex<()>,
    /// Where files are read and watched.
    scope: Scope,
    /// Where groups are evaluated.
    evaluating: Scope,
    /// Where alerts are sent.
    sending: Scope,
}

/// The ruler. Clones are the same one.
#[derive(Clone)]
pub struct Ruler(pub(crate) Arc<Shared>);

impl Ruler {
    /// Reads the files of rules. Nothing is evaluated before [`Ruler::begin`].
    ///
    /// # Errors
    /// When they cannot be used.
    pub async fn start(config: RulerConfig, deps: Deps) -> Result<Self, StartError> {
        let Deps { fs, clock, scope, registry, query, write, alertmanagers, files, external_url } = deps;
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
        let evaluator = Evaluator { config, clock, query, write, notifier, metrics, room };
        let shared = Arc::new(Shared {
            evaluator: Arc::new(evaluator),
            fs,
            files,
            settings,
            groups: Mutex::default(),
            shown: Mutex::default(),
            texts: Mutex::default(),
            begun: AtomicBool::new(false),
            changing: tokio::sync::Mutex::new(()),
            evaluating: scope.child("evaluating"),
            sending,
            scope,
        });
        let texts = shared.read().await?;
        shared.parse(&texts)?;
        *shared.texts.lock() = texts;
        Ok(Self(shared))
    }

    /// Begins to evaluate, and to look at the files for changes.
    ///
    /// # Errors
    /// When the files cannot be used any more.
    pub async fn begin(&self) -> Result<(), LoadError> {
        let texts = self.0.texts.lock().clone();
        self.0.take(&texts).await?;
        self.0.begun.store(true, Ordering::Release);
        self.0.watch();
        Ok(())
    }

    /// The API, for tenants: `/prometheus/api/v1/rules`, `/prometheus/api/v1/alerts` and `/api/v1/rules`. To be served behind
    /// a [`rpc::TenantLayer`].
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

    /// Ends: what is being evaluated is given some time to end.
    pub async fn stop(&self) {
        let shared = &self.0;
        let clock = &*shared.evaluator.clock;
        shared.evaluating.cancel();
        shared.evaluating.join(clock, shared.evaluator.config.stop_grace).await;
        shared.sending.cancel();
        shared.scope.abort();
    }
}

impl Shared {
    /// The groups of a tenant, in order.
    pub(crate) fn units(&self, tenant: &TenantId) -> Vec<Arc<Unit>> {
        self.shown.lock().get(tenant).cloned().unwrap_or_default()
    }

    async fn read(&self) -> Result<Texts, LoadError> {
        let (fs, files) = (Arc::clone(&self.fs), self.files.clone());
        self.scope.run_blocking(move || Texts::read(&*fs, &files)).await?
    }

    fn parse(&self, texts: &Texts) -> Result<Vec<(String, RuleFile)>, LoadError> {
        texts.parse(self.evaluator.query.parse_options(&self.evaluator.config.tenant))
    }

    async fn reload(self: &Arc<Self>) -> Result<(), LoadError> {
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
        let files = self.parse(texts)?;
        let tenant = self.evaluator.config.tenant.clone();
        let shared = Arc::clone(self);
        // It is not left halfway where whoever asked for it goes away.
        let replacing = self.scope.spawn("rules", async move { shared.replace(&tenant, files).await });
        replacing.await??;
        let metrics = &self.evaluator.metrics;
        metrics.reload_successful.set(1);
        metrics.reload_succeeded_at.set(self.evaluator.clock.now_ms() as f64 / 1_000.0);
        Ok(())
    }

    /// Makes these the groups of a tenant. Those that stay as they are go on undisturbed; those that change keep their
    /// state.
    async fn replace(&self, tenant: &TenantId, files: Vec<(String, RuleFile)>) -> Result<(), LoadError> {
        let _changing = self.changing.lock().await;
        let mut old = self.groups.lock().remove(tenant).unwrap_or_default();
        let restores = !self.begun.load(Ordering::Acquire);
        let (mut kept, mut fresh, mut problems) = (Groups::new(), Vec::new(), Vec::new());
        for (file, said) in files {
            for group in said.groups {
                let key = (file.clone(), group.name.clone());
                if old.get(&key).is_some_and(|running| running.unit.is_of(&group)) {
                    kept.extend(old.remove_entry(&key));
                    continue;
                }
                let (metrics, number) = (&self.evaluator.metrics, kept.len() + fresh.len());
                let settings = Arc::clone(&self.settings);
                let place = group.place;
                match Unit::new(tenant.clone(), &file, group, settings, (metrics, number), restores) {
                    Ok(unit) => fresh.push((key, Arc::new(unit))),
                    Err(error) => problems.push(format!("{file}: {place}: {error}")),
                }
            }
        }
        if !problems.is_empty() {
            kept.append(&mut old);
            self.groups.lock().insert(tenant.clone(), kept);
            return Err(LoadError::Wrong { problems });
        }
        let stopping = old.into_iter().map(|(key, running)| async { (key, running.stop().await) });
        let mut stopped: BTreeMap<GroupKey, Arc<Unit>> =
            futures::future::join_all(stopping).await.into_iter().collect();
        for (key, unit) in fresh {
            if let Some(before) = stopped.remove(&key) {
                unit.adopt(&before);
            }
            kept.insert(key, Running::start(unit, &self.evaluator, &self.evaluating));
        }
        for unit in stopped.into_values() {
            self.evaluator.metrics.forget(&unit.metrics);
            bury(unit, Arc::clone(&self.evaluator), &self.evaluating);
        }
        let units = kept.values().map(|running| Arc::clone(&running.unit)).collect();
        self.shown.lock().insert(tenant.clone(), units);
        let mut groups = self.groups.lock();
        groups.insert(tenant.clone(), kept);
        let count: usize = groups.values().map(BTreeMap::len).sum();
        self.evaluator.metrics.groups.set(i64::try_from(count).unwrap_or(i64::MAX));
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
