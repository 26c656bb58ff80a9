//! Files of this disk that become objects.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bucket::{Backing, Bucket, Moved};
use env::{DirEntry, File, FileLock, FileSystem, OpenOptions, RealFs, Scope};

use super::suite::{config, name, open, over};

/// A disk on which files cannot be moved to where objects are.
struct Apart;

impl FileSystem for Apart {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir_all(path)
    }

    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>> {
        RealFs.open(path, options)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::CrossesDevices.into())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealFs.read_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        RealFs.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        RealFs.lock(path)
    }
}

async fn content(bucket: &Bucket, object: &str) -> Vec<u8> {
    bucket.get(&name(object), 100).await.unwrap().bytes.to_vec()
}

#[tokio::test]
async fn on_one_disk_they_are_moved() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = open(&config(), &folder.path().join("bucket"));
    let (file, object) = (folder.path().join("000001"), name("team-a.b_(c)*/o'hara!/chunks/000001"));
    for text in ["first", "second, in place of it"] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(bucket.move_in(&object, &file).await.unwrap(), Moved::Done);
        assert!(!file.exists());
        assert_eq!(content(&bucket, object.as_str()).await, text.as_bytes());
        let listed = bucket.list(Some(&name("team-a.b_(c)*")), 10).await.unwrap();
        assert_eq!(
            listed.iter().map(|listed| (&listed.name, listed.bytes)).collect::<Vec<_>>(),
            [(&object, text.len() as u64)]
        );
        // An answer that was lost.
        assert_eq!(bucket.move_in(&object, &file).await.unwrap(), Moved::Done);
        assert_eq!(content(&bucket, object.as_str()).await, text.as_bytes());
    }
    let missing = bucket.move_in(&name("other"), &file).await.unwrap_err();
    assert!(missing.to_string().contains("upload of other"), "{missing}");
}

#[tokio::test]
async fn elsewhere_they_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index");
    std::fs::write(&file, "content").unwrap();
    let apart: Arc<dyn FileSystem> = Arc::new(Apart);
    let config = config();
    let files = Backing::open(&config, &folder.path().join("bucket"), &apart, &Scope::new("bucket"));
    for backing in [Backing::memory(), files.unwrap().expect("it is not none")] {
        let bucket = over(backing, &config);
        assert_eq!(bucket.move_in(&name("index"), &file).await.unwrap(), Moved::Elsewhere);
        assert_eq!(std::fs::read(&file).unwrap(), b"content");
        assert!(bucket.get(&name("index"), 100).await.is_err());
    }
}
