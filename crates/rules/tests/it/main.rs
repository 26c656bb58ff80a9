//! Rules from outside: files, templates, evaluation, unit tests.

mod alerting;
mod dependencies;
mod files;
mod groups;
mod restoring;
mod resuming;
mod support;
mod templates;
mod unit_tests;
