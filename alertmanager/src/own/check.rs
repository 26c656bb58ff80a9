//! What a tenant's configuration must not be: larger than it may be, or a way to the machine's files and secrets.

use serde_json::Value;
use settings::yaml;

use super::{MAX_CONFIG_BYTES, OwnText};
use crate::config::Config;
use crate::limits::AlertmanagerLimits;

/// Refuses what is larger than the tenant may have.
pub(super) fn limits(own: &OwnText, limits: &AlertmanagerLimits) -> Result<(), String> {
    let AlertmanagerLimits {
        alertmanager_max_templates_count: count,
        alertmanager_max_template_size_bytes: template_bytes,
        ..
    } = *limits;
    let templates = own.templates.len();
    if count > 0 && templates > count {
        return Err(format!("too many templates in the configuration: {templates} (limit: {count})"));
    }
    let large = |text: &String| template_bytes > 0 && text.len() > template_bytes;
    if let Some((name, text)) = own.templates.iter().find(|(_, text)| large(text)) {
        let bytes = text.len();
        return Err(format!("template {name} is too big: {bytes} bytes (limit: {template_bytes} bytes)"));
    }
    match own.bytes() > MAX_CONFIG_BYTES {
        true => Err(too_big(MAX_CONFIG_BYTES)),
        false => Ok(()),
    }
}

/// How many bytes a body may have that a tenant sends, and what is said of one that has more.
pub(super) fn max_body(limits: &AlertmanagerLimits) -> (usize, String) {
    let max = match limits.alertmanager_max_config_size_bytes {
        0 => MAX_CONFIG_BYTES,
        bytes => bytes.min(MAX_CONFIG_BYTES),
    };
    (max, too_big(max))
}

fn too_big(max: usize) -> String {
    format!("Alertmanager configuration is too big, limit: {max} bytes")
}

/// Refuses names of templates that are paths, and values that would be read from the machine.
pub(super) fn names(own: &OwnText) -> Result<(), String> {
    if own.yaml.is_empty() {
        return Err("configuration provided is empty, if you'd like to remove your configuration please use the delete \
                    configuration endpoint"
            .to_owned());
    }
    own.templates.keys().try_for_each(|name| template_name(name))?;
    let node = yaml::parse("", &own.yaml).map_err(|problem| format!("yaml: {}", problem.message))?;
    match node.as_ref().and_then(|node| file_key(&node.to_json(), "")) {
        Some(key) => Err(format!(
            "{key} is not allowed: a tenant's configuration reads no files of the machine; put the value itself into it"
        )),
        None => Ok(()),
    }
}

/// Refuses what a configuration says beyond its keys: paths to templates, and credentials that the process has.
pub(crate) fn config(config: &Config) -> Result<(), String> {
    config.templates.iter().try_for_each(|name| template_name(name))?;
    let sns = config.receivers.iter().flat_map(|receiver| &receiver.sns);
    for sigv4 in sns.map(|sns| &sns.sigv4) {
        if sigv4.access_key.is_empty() || !sigv4.profile.is_empty() {
            return Err("sns_configs: sigv4: a tenant's configuration needs access_key and secret_key, and no profile: the \
                        credentials of the machine are not for tenants"
                .to_owned());
        }
    }
    Ok(())
}

fn template_name(name: &str) -> Result<(), String> {
    match name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        true => Err(format!("invalid template name {name:?}: the template name cannot contain any path")),
        false => Ok(()),
    }
}

/// The first key that names a file, as a path: `global.smtp_auth_password_file`.
fn file_key(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| file_key(item, &format!("{at}[{index}]")))
        }
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            // What is sent, or matched, may have whatever names.
            if ["payload", "labels", "match", "match_re", "details", "fields", "attributes"]
                .contains(&key.as_str())
            {
                return None;
            }
            let given = !matches!(value, Value::Null) && value.as_str() != Some("");
            let names_file = key.ends_with("_file") || key.ends_with("_files") || key == "files";
            if given && names_file { Some(path) } else { file_key(value, &path) }
        }),
        _ => None,
    }
}
