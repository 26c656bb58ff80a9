//! `barograph alerts config load|get|delete`: the configuration that a tenant sets at an Alertmanager.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;
use env::FileSystem;
use http::{Method, StatusCode};
use serde_json::json;

use super::client::Client;
use super::{Outcome, text, texts};

/// Where the API is, from the root.
const PATH: &str = "/api/v1/alerts";
/// The largest file that is sent, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Sends a configuration and its templates.
pub(super) fn load(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<Outcome, String> {
    let config = read(fs, text(asked, "file"))?;
    let mut templates = BTreeMap::new();
    for file in texts(asked, "template") {
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        if templates.insert(name.clone(), read(fs, file)?).is_some() {
            return Err(format!(
                "two templates are called {name}; the server keeps them by the names of their files"
            ));
        }
    }
    // JSON is YAML, too.
    let body = json!({ "alertmanager_config": config, "template_files": templates }).to_string();
    let client = Client::at_root(asked)?;
    match client.send(Method::POST, PATH, body)? {
        (StatusCode::CREATED, _) => Ok(Outcome::good("")),
        (status, body) => Err(client.refused(PATH, status, &body)),
    }
}

/// Shows the configuration and its templates, in YAML, as they were set.
pub(super) fn get(asked: &ArgMatches) -> Result<Outcome, String> {
    let client = Client::at_root(asked)?;
    match client.send(Method::GET, PATH, String::new())? {
        (StatusCode::OK, body) => Ok(Outcome::good(body)),
        (StatusCode::NOT_FOUND, body) if body.contains("storage object not found") => {
            Err(format!("{}{PATH}: there is none; the tenant has that of the process", client.base()))
        }
        (status, body) => Err(client.refused(PATH, status, &body)),
    }
}

/// Takes the configuration away.
pub(super) fn delete(asked: &ArgMatches) -> Result<Outcome, String> {
    Client::at_root(asked)?.delete(PATH)?;
    Ok(Outcome::good(""))
}

fn read(fs: &dyn FileSystem, file: &str) -> Result<String, String> {
    let bytes =
        env::read_file(fs, Path::new(file), MAX_FILE_BYTES).map_err(|error| format!("{file}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("{file}: {error}"))
}
