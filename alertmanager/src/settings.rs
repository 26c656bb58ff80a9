//! What the role can be told. What it tells whom is in a file of its own: see `config`.

use std::time::Duration;

use settings::ByteSize;

use crate::matcher::Language;

settings::choices! {
    /// Which language matchers and label names are read in.
    pub enum MatcherMode {
        /// The one with UTF-8; where it fails or means something else, the classic one.
        Fallback = "fallback",
        /// The one of Alertmanager before 0.27 alone.
        Classic = "classic",
        /// The one with UTF-8 alone.
        Utf8 = "utf8",
    }
}

settings::section! {
    /// The Alertmanager.
    pub struct AlertmanagerConfig ("alertmanager") {
        /// How long silences are kept after their end, and at most how long it is known what was told.
        retention: Duration = "5d", range "1m"..="1y";
        /// How often resolved alerts, old silences and what was told long ago are forgotten.
        cleanup_interval: Duration = "15m", range "1s"..="1h";
        /// How often silences and what was told are written as a whole, so that a restart reads a short log.
        snapshot_interval: Duration = "15m", range "1s"..="24h";
        /// Which language matchers and label names are read in: fallback is the one with UTF-8, and where it fails or means
        /// something else the classic one; classic and utf8 are one of them alone.
        matchers: MatcherMode = "fallback";
        /// How many tenants there may be.
        max_tenants: usize = "10000", range "1"..="1000000";
        /// How many alerts a tenant may have at a time.
        max_alerts: usize = "1000000", range "1"..="100000000";
        /// How many groups its alerts may make.
        max_groups: usize = "100000", range "1"..="10000000";
        /// How many silences it may have, those included that are over and not forgotten yet.
        max_silences: usize = "100000", range "1"..="10000000";
        /// The largest request that is taken.
        max_request: ByteSize = "32MiB", range "1KiB"..="1GiB";
        /// How much longer than the moment the lease of this process has to hold for a receiver to be told what another process
        /// would tell in its place, where it is one of several; half of metastore.lease_ttl at most. Without it that is half of
        /// metastore.lease_ttl, and 3s at most.
        lease_margin: Option<Duration> = "", range "0s"..="1m";
        /// How long what is being sent may take to end when the configuration changes or the process stops; then it is
        /// called off.
        send_grace: Duration = "5s", range "0s"..="1m";
    }
}

/// How much longer than the moment a lease has to hold that lasts long enough.
const LEASE_MARGIN: Duration = Duration::from_secs(3);

impl AlertmanagerConfig {
    /// How much longer than the moment the lease has to hold for a receiver to be told, where leases last for `lease_ttl`.
    pub(crate) fn lease_margin(&self, lease_ttl: Duration) -> Duration {
        self.lease_margin.unwrap_or_else(|| LEASE_MARGIN.min(lease_ttl / 2))
    }

    /// The language of matchers and label names.
    pub(crate) fn language(&self) -> Language {
        match self.matchers {
            MatcherMode::Fallback => Language::Fallback,
            MatcherMode::Classic => Language::Classic,
            MatcherMode::Utf8 => Language::Utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_follows_the_lease_unless_it_is_said() {
        let check = |said: Option<u64>, lease_ms: u64, expected_ms: u64| {
            let lease_margin = said.map(Duration::from_millis);
            let config = AlertmanagerConfig { lease_margin, ..AlertmanagerConfig::default() };
            let margin = config.lease_margin(Duration::from_millis(lease_ms));
            assert_eq!(margin, Duration::from_millis(expected_ms), "{said:?} of {lease_ms} ms");
        };
        check(None, 15_000, 3_000);
        check(None, 6_000, 3_000);
        check(None, 5_000, 2_500);
        check(None, 1_000, 500);
        check(Some(0), 15_000, 0);
        check(Some(7_000), 15_000, 7_000);
    }
}
