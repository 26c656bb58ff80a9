//! What a bucket can be told.

use std::path::PathBuf;
use std::time::Duration;

use model::TenantId;
use settings::{ByteSize, Secret};

settings::choices! {
    /// What keeps the objects.
    pub enum BackendKind {
        /// There is no bucket.
        None = "none",
        /// A folder of this machine.
        Filesystem = "filesystem",
        /// Amazon S3, or whatever speaks its protocol.
        S3 = "s3",
        /// Google Cloud Storage.
        Gcs = "gcs",
        /// Azure Blob Storage.
        Azure = "azure",
        /// The memory of the process: everything is gone once it ends.
        Memory = "memory",
    }
}

settings::choices! {
    /// Where blocks are in a bucket.
    pub enum Layout {
        /// A folder for each tenant, with its blocks, markers and index: that of Mimir, Cortex and Barograph.
        Mimir = "mimir",
        /// Blocks at the top, all of one tenant: that of Thanos.
        Thanos = "thanos",
    }
}

settings::choices! {
    /// Where the name of a bucket stands in a URL.
    pub enum Addressing {
        /// In the path, as most servers other than Amazon's expect it.
        Path = "path",
        /// In the name of the host.
        Virtual = "virtual",
    }
}

settings::choices! {
    /// How S3 encrypts objects at rest.
    pub enum Encryption {
        /// As the bucket itself is configured.
        Bucket = "bucket",
        /// With keys that S3 manages (SSE-S3).
        S3 = "sse-s3",
        /// With a key of the key management service (SSE-KMS).
        Kms = "sse-kms",
    }
}

settings::section! {
    /// The bucket that blocks are kept in.
    pub struct BucketConfig ("bucket") {
        /// What keeps the objects. Without any, samples stay with ingesters for as long as the retention says.
        backend: BackendKind = "none";
        /// The folder of the backend filesystem. Without one it is the folder bucket in the data directory.
        directory: Option<PathBuf> = "";
        /// The name of the bucket; on Azure, of the container.
        name: String = "";
        /// What all objects begin with, without a slash at its end; nothing where the bucket is ours alone.
        prefix: Option<String> = "";
        /// Where blocks are in the bucket.
        layout: Layout = "mimir";
        /// With layout: thanos, the tenant that all blocks belong to.
        thanos_tenant: TenantId = "anonymous";
        /// The URL of the server, such as http://minio:9000, where it is not the cloud's own.
        endpoint: Option<String> = "";
        /// The region of S3.
        region: String = "us-east-1";
        /// Where the name of the bucket stands in a URL of S3: path or virtual. Without one it is path where there is an
        /// endpoint, and virtual without.
        addressing: Option<Addressing> = "";
        /// The access key of S3. Without one, keys come from AWS_ACCESS_KEY_ID and its relatives in the environment, a web
        /// identity, or the machine's own role.
        access_key_id: String = "";
        /// Its secret.
        secret_access_key: Secret = "";
        /// A file that has the secret instead.
        secret_access_key_file: Option<PathBuf> = "";
        /// The token of temporary keys.
        session_token: Secret = "";
        /// How S3 encrypts what is written: bucket, sse-s3 or sse-kms.
        encryption: Encryption = "bucket";
        /// The key for sse-kms. Without one it is the account's own.
        kms_key_id: Option<String> = "";
        /// A file with the service account of Google Cloud Storage. Without one it is what the environment or the machine
        /// gives.
        service_account_file: Option<PathBuf> = "";
        /// The storage account on Azure.
        account: String = "";
        /// Its key. Without one it is what the environment or the machine gives.
        account_key: Secret = "";
        /// A file with certificates of authorities that are trusted besides those of the machine.
        ca_file: Option<PathBuf> = "";
        /// How long one request may take.
        request_timeout: Duration = "30s", range "100ms"..="10m";
        /// How long an operation may take with all its repetitions.
        operation_timeout: Duration = "2m", range "100ms"..="1h";
        /// How often a request is made at most before its operation fails.
        attempts: u32 = "6", range "1"..="20";
        /// How long the first wait before a repetition is at most; each is twice as long as the one before, and a random
        /// part of it is waited.
        first_wait: Duration = "200ms", range "1ms"..="1m";
        /// The longest of them.
        longest_wait: Duration = "10s", range "1ms"..="10m";
        /// How many requests are made at the same time; further ones wait.
        max_requests: usize = "64", range "1"..="4096";
        /// After how long a read of a range is tried a second time beside the first; 0: never.
        hedge_after: Duration = "0s", max "1m";
        /// How often readers look at the index of a tenant's blocks. The same in all processes: ingesters keep a block for
        /// twice as long after it is in the index.
        index_refresh: Duration = "1m", range "1s"..="1h";
        /// The pieces in which files are uploaded to a server; those of a file that would have more than 10,000 are larger. As
        /// many of them are in memory as are uploaded at the same time.
        part_size: ByteSize = "5MiB", range "5MiB"..="512MiB";
        /// How many pieces of a file are uploaded at the same time at most; one for each eight that it has.
        parallel_parts: usize = "2", range "1"..="64";
    }
    check is_consistent;
}

fn is_consistent(config: &BucketConfig) -> Result<(), String> {
    let in_a_cloud = matches!(config.backend, BackendKind::S3 | BackendKind::Gcs | BackendKind::Azure);
    if in_a_cloud && config.name.is_empty() {
        return Err("bucket.name is missing; expected the name of the bucket".to_owned());
    }
    if config.backend == BackendKind::Azure && config.account.is_empty() {
        return Err("bucket.account is missing; expected the name of the storage account".to_owned());
    }
    if let Some(prefix) = &config.prefix {
        crate::ObjectName::new(prefix.as_str()).map_err(|error| format!("bucket.prefix: {error}"))?;
    }
    if config.kms_key_id.is_some() && config.encryption != Encryption::Kms {
        return Err("bucket.kms_key_id is set, but bucket.encryption is not sse-kms".to_owned());
    }
    let both = !config.secret_access_key.expose().is_empty() && config.secret_access_key_file.is_some();
    if both {
        return Err("bucket.secret_access_key and bucket.secret_access_key_file are both set; expected one"
            .to_owned());
    }
    Ok(())
}
