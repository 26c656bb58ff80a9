//! The ruler in simulated time: a storage in memory, the real engine, and an Alertmanager that takes everything down.

mod alert_generator;
mod api;
mod config_api;
mod discovery;
mod half_hour;
mod naive;
mod name_server;
mod notifications;
mod reloads;
mod restarts;
mod schedule;
mod world;
