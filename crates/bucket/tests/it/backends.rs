//! The suite over each backend.

use bucket::faults::Faults;
use bucket::{Addressing, BackendKind, Backing, BucketConfig, Encryption, ErrorKind, Layout, TenantBucket};
use bytes::Bytes;
use model::TenantId;
use settings::{Secret, Setting as _};
use testkit::S3Server;

use super::suite::{check, config, name, open, over};

#[tokio::test]
async fn memory() {
    check(&over(Backing::memory(), &config())).await;
}

#[tokio::test]
async fn memory_under_a_prefix() {
    let backing = Backing::memory();
    let prefixed = BucketConfig { prefix: Some("metrics/eu".to_owned()), ..config() };
    check(&over(backing.clone(), &prefixed)).await;
    let all = over(backing, &config());
    let listed = all.list(None, 10_000).await.unwrap();
    assert!(
        listed.iter().all(|listed| listed.name.as_str().starts_with("metrics/eu/")) && !listed.is_empty()
    );
}

#[tokio::test]
async fn memory_with_refusals_and_second_reads() {
    let faults = Faults::new();
    faults.refuse_one_in(5, 42);
    let config = BucketConfig { attempts: 20, hedge_after: std::time::Duration::from_millis(1), ..config() };
    check(&over(Backing::faulty_memory(&faults), &config)).await;
    assert!(faults.operations() > 100);
}

#[tokio::test]
async fn files() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("bucket");
    check(&open(&config(), &directory)).await;
    // What is written is what others who look at the folder find.
    assert!(directory.join("contended/bucket-index.json.gz").is_file());
    assert!(!directory.join("objects").exists(), "empty folders go with their last object");
}

#[tokio::test]
async fn files_changed_by_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("bucket");
    // Two buckets over one folder share nothing but its files.
    let [one, other] = [open(&config(), &directory), open(&config(), &directory)];
    let tenant = TenantId::new("shared").unwrap();
    let add = async |bucket, first: u128| {
        let tenant = TenantBucket::new(bucket, &tenant).unwrap();
        for id in first..first + 20 {
            tenant
                .update_index(|index| {
                    index.mark(ulid::Ulid(id), 1);
                    true
                })
                .await
                .unwrap();
        }
    };
    tokio::join!(add(&one, 100), add(&other, 200));
    let (index, _) = TenantBucket::new(&one, &tenant).unwrap().index().await.unwrap().unwrap();
    assert_eq!(index.block_deletion_marks.len(), 40);
}

fn s3(server: &S3Server, bucket: &str) -> BucketConfig {
    BucketConfig {
        backend: BackendKind::S3,
        name: bucket.to_owned(),
        endpoint: Some(server.url()),
        access_key_id: "test".to_owned(),
        secret_access_key: Secret::parse("test").unwrap(),
        ..config()
    }
}

#[tokio::test]
async fn s3_server() {
    let server = S3Server::start("metrics");
    let folder = tempfile::tempdir().unwrap();
    let plain = s3(&server, "metrics");
    check(&open(&plain, folder.path())).await;
    // Each of these is another way to say the same to the server.
    for (number, config) in [
        BucketConfig { encryption: Encryption::S3, ..plain.clone() },
        BucketConfig {
            encryption: Encryption::Kms,
            kms_key_id: Some("4a8a2f0e-8d0a-4d8c-9d0c-0f4f3f1f7b11".to_owned()),
            session_token: Secret::parse("temporary").unwrap(),
            ..plain.clone()
        },
        BucketConfig { addressing: Some(Addressing::Path), prefix: Some("a/b".to_owned()), ..plain.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        let bucket = open(&config, folder.path());
        let object = name(&format!("ways/{number}"));
        bucket.create(&object, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(bucket.head(&object).await.unwrap().bytes, 1);
    }
}

#[tokio::test]
async fn s3_server_says_what_is_wrong() {
    let server = S3Server::start("metrics");
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&s3(&server, "nobody-made-it"), folder.path());
    for error in [
        missing.put(&name("a"), Bytes::new()).await.unwrap_err(),
        missing.get(&name("a"), 1).await.unwrap_err(),
        missing.list(None, 1).await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.attempts), (ErrorKind::NoSuchBucket, 1), "{error}");
        assert!(error.to_string().starts_with("s3://nobody-made-it: "), "{error}");
    }
    drop(server);
    let server = S3Server::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")]);
    server.make_bucket("metrics");
    let error = open(&s3(&server, "metrics"), folder.path()).put(&name("a"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "{error}");
    assert!(error.to_string().contains("bucket.access_key_id"), "{error}");
    let nobody = BucketConfig {
        endpoint: Some(format!("http://{}", testkit::free_address())),
        attempts: 3,
        ..s3(&server, "metrics")
    };
    let error = open(&nobody, folder.path()).put(&name("a"), Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::Unavailable, 3), "{error}");
}

#[tokio::test]
async fn the_layout_of_thanos_has_one_tenant() {
    let config =
        BucketConfig { layout: Layout::Thanos, thanos_tenant: TenantId::new("ours").unwrap(), ..config() };
    let bucket = over(Backing::memory(), &config);
    assert!(TenantBucket::new(&bucket, &TenantId::new("other").unwrap()).is_none());
    let ours = TenantBucket::new(&bucket, &config.thanos_tenant).unwrap();
    let block = ulid::Ulid(7 << 80);
    assert_eq!(ours.file(block, "index").as_str(), format!("{block}/index"));
    bucket.put(&ours.file(block, "index"), Bytes::from_static(b"i")).await.unwrap();
    assert_eq!(ours.blocks().await.unwrap(), [block]);
    ours.mark_for_deletion(block, "").await.unwrap();
    assert_eq!(ours.deletion_marks().await.unwrap().len(), 1);
    assert_eq!(bucket.tenants().await.unwrap(), [config.thanos_tenant]);
}
