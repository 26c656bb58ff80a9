//! The file of per-tenant limits: read at the start, then again whenever it changes or somebody asks by SIGHUP.

use std::path::Path;
use std::sync::Arc;

use env::{Clock, FileSystem, Scope};
use settings::LimitsLoader;
use telemetry::Registry;
use telemetry::metrics::{FloatGauge, Gauge};
use tokio::sync::Notify;

use crate::cli::MAX_FILE_BYTES;
use crate::config::RuntimeConfig;

/// The file and who is told of its limits.
pub(crate) struct LimitsFile {
    config: RuntimeConfig,
    loader: Arc<LimitsLoader>,
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    successful: Gauge,
    succeeded_at: FloatGauge,
    tenants: Gauge,
    /// What was loaded last, so that a file that did not change is not parsed again.
    loaded: Option<String>,
}

impl LimitsFile {
    /// The file that `config` names, for the roles that `loader` knows.
    pub(crate) fn new(
        config: RuntimeConfig,
        loader: LimitsLoader,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Self {
        let registry = registry.sub("runtime_config");
        Self {
            config,
            loader: Arc::new(loader),
            fs,
            clock,
            successful: registry.gauge(
                "last_reload_successful",
                "Whether the limits file, if there is one, was good when last read",
            ),
            succeeded_at: registry.float_gauge(
                "last_reload_success_timestamp_seconds",
                "When limits were last taken from the file",
            ),
            tenants: registry.gauge("tenants", "Tenants with limits of their own"),
            loaded: None,
        }
    }

    /// Reads the file, if there is one to read, and puts its limits into force if it has changed.
    ///
    /// # Errors
    /// Says what is wrong with it. The limits in force are then those from before.
    pub(crate) fn load(&mut self) -> Result<(), String> {
        let outcome = match self.config.file.clone() {
            Some(path) => self.load_from(&path),
            None => Ok(()),
        };
        self.successful.set(i64::from(outcome.is_ok()));
        outcome
    }

    fn load_from(&mut self, path: &Path) -> Result<(), String> {
        let name = path.to_string_lossy();
        let unreadable = |error: std::io::Error| format!("{name}: {error}");
        let bytes = env::read_file(&*self.fs, path, MAX_FILE_BYTES).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|error| format!("{name}: {error}"))?;
        if self.loaded.as_ref() == Some(&text) {
            return Ok(());
        }
        let loaded = self.loader.load(&name, &text).map_err(|problems| problems.to_string())?;
        self.tenants.set(i64::try_from(loaded.tenants).unwrap_or(i64::MAX));
        self.succeeded_at.set(self.clock.now_ms() as f64 / 1_000.0);
        tracing::info!(file = %name, tenants = loaded.tenants, "limits taken from the file");
        self.loaded = Some(text);
        Ok(())
    }

    /// Looks at the file at every period, and when `reload` is notified, in a task of `scope`.
    pub(crate) fn watch(mut self, scope: &Scope, reload: Arc<Notify>) {
        if self.config.file.is_none() {
            return;
        }
        let (cancelled, inner) = (scope.cancelled(), scope.clone());
        // The scope ends the task; nobody waits for it.
        drop(scope.spawn("limits file", async move {
            let mut cancelled = std::pin::pin!(cancelled);
            let mut complaint = None;
            loop {
                tokio::select! {
                    biased;
                    () = &mut cancelled => break,
                    () = reload.notified() => {}
                    () = self.clock.sleep(self.config.period) => {}
                }
                let done = inner.run_blocking(move || {
                    let outcome = self.load();
                    (self, outcome)
                });
                // Only a process that is going down has no thread to read a file.
                let Ok((back, outcome)) = done.await else { break };
                self = back;
                report(outcome.err(), &mut complaint);
            }
        }));
    }
}

/// Logs a problem once, not at every look while it lasts.
fn report(problem: Option<String>, last: &mut Option<String>) {
    if let Some(problem) = problem.as_ref().filter(|problem| Some(*problem) != last.as_ref()) {
        for line in problem.lines() {
            tracing::error!("limits file refused, limits stay as they were: {line}");
        }
    }
    *last = problem;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use env::{ManualClock, SimFs};
    use model::TenantId;
    use settings::Overrides;

    use super::*;

    settings::limits! {
        /// Limits of this test.
        struct TestLimits {
            /// Samples a second.
            rate: u32 = "10";
        }
    }

    struct Setup {
        file: LimitsFile,
        fs: Arc<SimFs>,
        clock: ManualClock,
        registry: Registry,
        limits: Overrides<TestLimits>,
    }

    fn setup() -> Setup {
        let fs = Arc::new(SimFs::new(1));
        let clock = ManualClock::new(5_000);
        let registry = Registry::new();
        let mut loader = LimitsLoader::new();
        let limits = loader.register(TestLimits::default());
        let config =
            settings::with_values(&[("file", "/limits.yaml"), ("period", "10s")]).expect("good values");
        let file = LimitsFile::new(config, loader, Arc::clone(&fs) as _, Arc::new(clock.clone()), &registry);
        Setup { file, fs, clock, registry, limits }
    }

    fn write(fs: &SimFs, text: &str) {
        env::write_file_durable(fs, Path::new("/limits.yaml"), text.as_bytes()).expect("written");
    }

    fn rate(limits: &Overrides<TestLimits>) -> u32 {
        limits.of(&TenantId::anonymous()).rate
    }

    fn value(registry: &Registry, name: &str) -> f64 {
        registry.gather().iter().find(|sample| sample.name == name).expect(name).value
    }

    #[test]
    fn a_missing_or_bad_file_is_an_error_that_changes_nothing() {
        let mut setup = setup();
        assert!(setup.file.load().expect_err("missing").starts_with("/limits.yaml: "));
        write(&setup.fs, "overrides: {anonymous: {rate: 20}}");
        setup.file.load().expect("good");
        assert_eq!(rate(&setup.limits), 20);
        assert_eq!(value(&setup.registry, "barograph_runtime_config_last_reload_successful"), 1.0);
        assert_eq!(
            value(&setup.registry, "barograph_runtime_config_last_reload_success_timestamp_seconds"),
            5.0
        );
        write(&setup.fs, "overrides: {anonymous: {rat: 20}}");
        let problem = setup.file.load().expect_err("bad");
        assert_eq!(problem, "/limits.yaml:1:25: overrides.anonymous.rat: no such limit; did you mean rate?");
        assert_eq!(rate(&setup.limits), 20);
        assert_eq!(value(&setup.registry, "barograph_runtime_config_last_reload_successful"), 0.0);
    }

    #[tokio::test]
    async fn a_changed_file_is_seen_after_the_period_and_on_request() {
        let Setup { mut file, fs, clock, limits, .. } = setup();
        write(&fs, "overrides: {anonymous: {rate: 20}}");
        file.load().expect("good");
        let (scope, reload) = (Scope::simulated("test"), Arc::new(Notify::new()));
        file.watch(&scope, Arc::clone(&reload));
        let until = async |rate_wanted| {
            while rate(&limits) != rate_wanted {
                tokio::task::yield_now().await;
            }
        };
        write(&fs, "overrides: {anonymous: {rate: 30}}");
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rate(&limits), 20, "the period has not passed");
        clock.advance(Duration::from_secs(10));
        until(30).await;
        write(&fs, "overrides: {anonymous: {rate: 40}}");
        reload.notify_one();
        until(40).await;
        scope.cancel();
        assert!(scope.join(&env::SystemClock::new(), Duration::from_secs(10)).await);
    }
}
