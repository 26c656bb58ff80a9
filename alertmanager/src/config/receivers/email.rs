//! Mail.

use std::collections::BTreeMap;

use crate::config::decode::section;
use crate::config::http::{TlsConfig, canonical_header};
use crate::config::types::{HostPort, Secret};

section! {
    /// Whether mails about one group make a thread.
    Threading as "config.ThreadingConfig" {
        enabled: bool = false, "enabled";
        thread_by_date: String = String::new(), "thread_by_date";
    }
    check |_| Ok(())
}

section! {
    /// `email_configs`.
    EmailConfig as "config.plain" {
        send_resolved: bool = false, "send_resolved";
        to: String = String::new(), "to";
        from: String = String::new(), "from";
        hello: String = String::new(), "hello";
        smarthost: HostPort = HostPort::default(), "smarthost";
        auth_username: String = String::new(), "auth_username";
        auth_password: Secret = Secret::default(), "auth_password";
        auth_password_file: String = String::new(), "auth_password_file";
        auth_secret: Secret = Secret::default(), "auth_secret";
        auth_secret_file: String = String::new(), "auth_secret_file";
        auth_identity: String = String::new(), "auth_identity";
        headers: BTreeMap<String, String> = BTreeMap::new(), "headers";
        html: String = "{{ template \"email.default.html\" . }}".to_owned(), "html";
        text: String = String::new(), "text";
        require_tls: Option<bool> = None, "require_tls";
        tls_config: Option<TlsConfig> = None, "tls_config";
        force_implicit_tls: Option<bool> = None, "force_implicit_tls";
        threading: Threading = Threading::default(), "threading";
    }
    check EmailConfig::check
}

impl EmailConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.to.is_empty() {
            return Err("missing to address in email config".to_owned());
        }
        let mut headers = BTreeMap::new();
        for (name, value) in &self.headers {
            let name = canonical_header(name);
            if headers.contains_key(&name) {
                return Err(format!("duplicate header {} in email config", gotemplate::quote(&name)));
            }
            headers.insert(name, value.clone());
        }
        self.headers = headers;
        if !self.threading.enabled {
            return Ok(());
        }
        for name in ["References", "In-Reply-To"] {
            if self.headers.contains_key(name) {
                return Err(format!(
                    "conflicting configuration: threading.enabled conflicts with custom {name} header"
                ));
            }
        }
        if !matches!(self.threading.thread_by_date.as_str(), "none" | "daily") {
            return Err("threading.thread_by_date must be either 'none' or 'daily'".to_owned());
        }
        Ok(())
    }
}
