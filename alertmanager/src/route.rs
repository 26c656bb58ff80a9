//! The routing tree: which receivers an alert goes to, how it is grouped, and how often they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, LabelsBuilder};

use crate::config::RouteConfig;
use crate::matcher::{self, Matcher};

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// These.
    By(BTreeSet<String>),
    /// All of them, so that each alert is a group: `['...']`.
    All,
}

/// What a route says, with what it inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOptions {
    /// Who is told.
    pub receiver: String,
    /// Which alerts are told together.
    pub grouping: Grouping,
    /// How long a new group waits for further alerts.
    pub group_wait: Duration,
    /// How long after a notification the group's changes are told.
    pub group_interval: Duration,
    /// How long after a notification it is repeated though nothing changed.
    pub repeat_interval: Duration,
    /// While any of these lasts, nobody is told. Not inherited.
    pub mute_time_intervals: Vec<String>,
    /// Unless any of these lasts, nobody is told; without any, always. Not inherited.
    pub active_time_intervals: Vec<String>,
    /// Labels of the route for templates; values may be templates themselves.
    pub labels: BTreeMap<String, String>,
}

impl Default for RouteOptions {
    /// What upstream's root route has.
    fn default() -> Self {
        Self {
            receiver: String::new(),
            grouping: Grouping::By(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3_600),
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A route of the tree.
#[derive(Debug)]
pub struct Route {
    /// What it says, with what it inherits.
    pub options: RouteOptions,
    /// What an alert has to match, sorted.
    pub matchers: Vec<Matcher>,
    /// Whether an alert that matches is tried on the next routes too.
    pub continues: bool,
    /// The routes below it.
    pub routes: Vec<Arc<Route>>,
    /// Its matchers and those above it: what group keys begin with. Several routes may have the same.
    pub key: String,
    /// Its number in the tree, parents first.
    pub index: usize,
    /// As the key, with its place among its siblings, so that no other route has it.
    pub id: String,
}

impl Route {
    /// The tree of a configuration.
    pub fn tree(root: &RouteConfig) -> Arc<Self> {
        let mut count = 0;
        Arc::new(Self::build(root, None, 0, &mut count))
    }

    fn build(config: &RouteConfig, parent: Option<&Self>, place: usize, count: &mut usize) -> Self {
        let index = *count;
        *count += 1;
        let mut options = parent.map(|parent| parent.options.clone()).unwrap_or_default();
        options.labels.extend(config.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(receiver) = &config.receiver {
            options.receiver.clone_from(receiver);
        }
        if let Some(grouping) = &config.grouping {
            options.grouping = grouping.clone();
        }
        options.group_wait = config.group_wait.unwrap_or(options.group_wait);
        options.group_interval = config.group_interval.unwrap_or(options.group_interval);
        options.repeat_interval = config.repeat_interval.unwrap_or(options.repeat_interval);
        options.mute_time_intervals.clone_from(&config.mute_time_intervals);
        options.active_time_intervals.clone_from(&config.active_time_intervals);
        let mut matchers = config.matchers.clone();
        matcher::sort(&mut matchers);
        let shown = matcher::display(&matchers);
        let (key, id) = match parent {
            None => (shown.clone(), shown),
            Some(parent) => (format!("{}/{shown}", parent.key), format!("{}/{shown}/{place}", parent.id)),
        };
        let mut route =
            Self { options, matchers, continues: config.continues, routes: Vec::new(), key, index, id };
        route.routes = config
            .routes
            .iter()
            .enumerate()
            .map(|(place, child)| Arc::new(Self::build(child, Some(&route), place, count)))
            .collect();
        route
    }

    /// The routes that an alert with these labels ends in, in order; none if this one does not match.
    pub fn matching(self: &Arc<Self>, labels: &Labels) -> Vec<Arc<Self>> {
        if !matcher::all_match(&self.matchers, labels) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for route in &self.routes {
            let below = route.matching(labels);
            let done = !below.is_empty() && !route.continues;
            found.extend(below);
            if done {
                break;
            }
        }
        if found.is_empty() {
            found.push(self.clone());
        }
        found
    }

    /// The labels by which an alert is grouped here; one that it lacks is no part of them.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.options.grouping {
            Grouping::All => labels.clone(),
            Grouping::By(names) => {
                let mut group = LabelsBuilder::default();
                for (name, value) in labels.iter().filter(|(name, _)| names.contains(*name)) {
                    group.set(name, value);
                }
                group.build()
            }
        }
    }

    /// This route and all below it, parents first.
    pub fn walk(self: &Arc<Self>, visit: &mut impl FnMut(&Arc<Self>)) {
        visit(self);
        self.routes.iter().for_each(|route| route.walk(visit));
    }
}

/// A label set as group keys show it: `{a="b", c="d"}`.
pub fn display_labels(labels: &Labels) -> String {
    let shown: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", gotemplate::quote(value))).collect();
    format!("{{{}}}", shown.join(", "))
}
