//! What a tenant may have, under Mimir's names.

settings::limits! {
    /// What a tenant's Alertmanager may be.
    pub struct AlertmanagerLimits {
        /// How many bytes a configuration may have that the tenant sets by the API, templates included; 0 means as many as are
        /// kept, which is about 2 MiB.
        alertmanager_max_config_size_bytes: usize = "1048576";
        /// How many templates it may have; 0 means any number.
        alertmanager_max_templates_count: usize = "100";
        /// How many bytes one of its templates may have; 0 means any number.
        alertmanager_max_template_size_bytes: usize = "262144";
        /// How many silences the tenant may have, those included that are over and not forgotten yet; 0 means as many as
        /// alertmanager.max_silences allows.
        alertmanager_max_silences_count: usize = "0";
        /// How many bytes a silence may have as it is kept; 0 means any number.
        alertmanager_max_silence_size_bytes: usize = "65536";
    }
}
