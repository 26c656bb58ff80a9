//! One suite that the real and the simulated file system pass, and what only the simulated one can show.

use std::io::ErrorKind;
use std::path::Path;

use env::{
    CrashMode, DirEntry, Fault, FaultKind, FileSystem, OpKind, OpenOptions, RealFs, SimFs,
    create_dir_durable, is_no_space, read_exact_at, read_file, write_all_at, write_file_durable,
};

/// What every file system does, in a directory that does not exist yet.
fn check(fs: &dyn FileSystem, home: &Path) {
    create_dir_durable(fs, &home.join("a/b")).expect("makes directories");
    fs.create_dir_all(&home.join("a/b")).expect("again is fine");
    check_files(fs, &home.join("a"));
    check_directories(fs, &home.join("a"));
    let lock = fs.lock(&home.join("lock")).expect("locks");
    let error = fs.lock(&home.join("lock")).err().expect("is held");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    assert!(error.to_string().contains("locked by"), "{error}");
    drop(lock);
    fs.lock(&home.join("lock")).expect("is free again");
    fs.remove_dir_all(&home.join("a")).expect("removes");
    assert!(!fs.exists(&home.join("a")));
}

fn check_files(fs: &dyn FileSystem, dir: &Path) {
    let path = dir.join("file");
    assert_eq!(fs.open(&path, OpenOptions::READ).err().expect("absent").kind(), ErrorKind::NotFound);
    let file = fs.open(&path, OpenOptions::CREATE_NEW).expect("creates");
    let again = fs.open(&path, OpenOptions::CREATE_NEW).err().expect("exists");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    write_all_at(&*file, b"world", 10).expect("writes beyond the end");
    write_all_at(&*file, b"hello", 0).expect("writes");
    file.sync_data().expect("syncs");
    assert_eq!(read_file(fs, &path, 100).expect("reads"), b"hello\0\0\0\0\0world");
    assert_eq!(read_file(fs, &path, 14).expect_err("too large").kind(), ErrorKind::FileTooLarge);
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 12).expect("reads"), 3);
    assert_eq!(file.read_at(&mut buf, 99).expect("reads"), 0);
    assert_eq!(read_exact_at(&*file, &mut buf, 12).expect_err("short").kind(), ErrorKind::UnexpectedEof);
    file.set_len(3).expect("cuts");
    file.set_len(5).expect("grows");
    assert_eq!(read_file(fs, &path, 100).expect("reads"), b"hel\0\0");
    file.sync_all().expect("syncs");
    let reader = fs.open(&path, OpenOptions::READ).expect("opens");
    assert!(reader.write_at(b"x", 0).is_err(), "opened for reading");
    fs.open(&path, OpenOptions::CREATE_EMPTY).expect("empties");
    assert!(file.is_empty().expect("a length"));
    fs.remove_file(&path).expect("removes");
    write_all_at(&*file, b"still", 0).expect("an open file stays usable");
    assert_eq!(fs.remove_file(&path).expect_err("gone").kind(), ErrorKind::NotFound);
}

fn check_directories(fs: &dyn FileSystem, dir: &Path) {
    for name in ["z", "y"] {
        write_file_durable(fs, &dir.join(name), name.as_bytes()).expect("writes");
    }
    fs.rename(&dir.join("z"), &dir.join("y")).expect("replaces");
    fs.rename(&dir.join("y"), &dir.join("b/x")).expect("moves");
    fs.sync_dir(dir).expect("syncs");
    assert_eq!(read_file(fs, &dir.join("b/x"), 100).expect("reads"), b"z");
    let entries = fs.read_dir(dir).expect("lists");
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
    assert_eq!(found, [("b", true)]);
    let inside = fs.read_dir(&dir.join("b")).expect("lists");
    let x = DirEntry { name: "x".to_owned(), is_dir: false, len: 1 };
    assert_eq!(inside, [x]);
    assert_eq!(fs.read_dir(&dir.join("none")).expect_err("absent").kind(), ErrorKind::NotFound);
}

#[test]
fn the_real_one_conforms() {
    let home = tempfile::tempdir().expect("a directory");
    check(&RealFs, &home.path().join("new"));
}

#[test]
fn the_simulated_one_conforms() {
    let fs = SimFs::new(1);
    check(&fs, Path::new("/new"));
    assert_eq!(fs.used_bytes(), 0);
}

fn file(fs: &SimFs, name: &str, contents: &[u8]) {
    let file = fs.open(Path::new(name), OpenOptions::CREATE_EMPTY).expect("opens");
    write_all_at(&*file, contents, 0).expect("writes");
    file.sync_data().expect("syncs");
}

#[test]
fn a_crash_forgets_what_was_not_synced() {
    let fs = SimFs::new(1);
    let root = Path::new("/");
    file(&fs, "/kept", b"old");
    file(&fs, "/moved", b"moved");
    fs.sync_dir(root).expect("syncs");
    let kept = fs.open(Path::new("/kept"), OpenOptions::READ_WRITE).expect("opens");
    write_all_at(&*kept, b"new and longer", 0).expect("writes");
    file(&fs, "/unlisted", b"synced, but its directory is not");
    fs.rename(Path::new("/moved"), Path::new("/elsewhere")).expect("renames");
    fs.create_dir_all(Path::new("/dir")).expect("makes");
    let after = fs.crash(CrashMode::LoseAll);
    assert!(kept.sync_data().is_err() && fs.sync_dir(root).is_err(), "the old machine is gone");
    let names: Vec<_> = after.read_dir(root).expect("lists").into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["kept", "moved"]);
    assert_eq!(read_file(&after, Path::new("/kept"), 100).expect("reads"), b"old");
    let all = fs.crash(CrashMode::KeepAll);
    assert_eq!(read_file(&all, Path::new("/kept"), 100).expect("reads"), b"new and longer");
    assert!(all.exists(Path::new("/elsewhere")) && all.exists(Path::new("/dir")));
}

#[test]
fn a_failed_sync_drops_what_it_should_have_written() {
    let fs = SimFs::new(1);
    file(&fs, "/f", b"old");
    fs.sync_dir(Path::new("/")).expect("syncs");
    let f = fs.open(Path::new("/f"), OpenOptions::READ_WRITE).expect("opens");
    write_all_at(&*f, b"new", 0).expect("writes");
    fs.fail_next(OpKind::Sync, FaultKind::Eio);
    assert!(f.sync_data().is_err());
    f.sync_data().expect("the second sync succeeds, and means nothing");
    assert_eq!(read_file(&fs, Path::new("/f"), 9).expect("reads"), b"new", "the cache still has it");
    assert_eq!(read_file(&fs.crash(CrashMode::LoseAll), Path::new("/f"), 9).expect("reads"), b"old");
}

#[test]
fn torn_pages_are_old_or_new_sector_by_sector() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let fs = SimFs::new(seed);
        file(&fs, "/f", &[1; 20_000]);
        fs.sync_dir(Path::new("/")).expect("syncs");
        let f = fs.open(Path::new("/f"), OpenOptions::READ_WRITE).expect("opens");
        write_all_at(&*f, &[2; 20_000], 0).expect("writes");
        let after = read_file(&fs.crash(CrashMode::Torn), Path::new("/f"), 1 << 20).expect("reads");
        assert_eq!(after.len(), 20_000);
        assert!(after.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        seen.insert(after);
    }
    assert!(seen.len() > 10, "only {} outcomes", seen.len());
}

#[test]
fn faults_strike_when_planned() {
    let fs = SimFs::new(1);
    let f = fs.open(Path::new("/f"), OpenOptions::CREATE_NEW).expect("creates");
    fs.plan(Fault { op: OpKind::Write, nth: 1, kind: FaultKind::ShortWrite });
    fs.plan(Fault { op: OpKind::Write, nth: 2, kind: FaultKind::Enospc });
    assert_eq!(f.write_at(b"1234", 0).expect("writes"), 4);
    assert_eq!(f.write_at(b"1234", 4).expect("writes"), 2);
    assert!(is_no_space(&f.write_at(b"1234", 4).expect_err("full")));
    fs.set_space_limit(8);
    assert_eq!(f.write_at(b"123456", 4).expect("writes"), 4);
    assert!(is_no_space(&f.write_at(b"1", 8).expect_err("full")));
    assert_eq!(fs.used_bytes(), 8);
    fs.set_enospc(true);
    assert!(is_no_space(&fs.open(Path::new("/g"), OpenOptions::CREATE_NEW).err().expect("full")));
    fs.set_enospc(false);
    fs.plan(Fault { op: OpKind::Change, nth: 0, kind: FaultKind::Crash });
    assert!(f.sync_data().is_err());
    assert!(fs.has_crashed() && f.len().is_err());
    assert_eq!(fs.op_count(), 8);
    assert_eq!(fs.op_log().len(), 8);
}

#[test]
fn a_misdirected_write_is_missing_in_one_place_and_harms_another() {
    let fs = SimFs::new(1);
    let page = |byte: u8| vec![byte; 4096];
    file(&fs, "/from", &[page(1), page(2)].concat());
    file(&fs, "/to", &[page(3), page(4)[..100].to_vec()].concat());
    fs.sync_dir(Path::new("/")).expect("syncs");
    fs.misdirect((Path::new("/from"), 0), (Path::new("/to"), 1)).unwrap();
    let fs = fs.crash(CrashMode::LoseAll);
    assert_eq!(env::read_file(&fs, Path::new("/from"), 9000).unwrap(), [page(0), page(2)].concat());
    let harmed = [page(3), page(1)[..100].to_vec()].concat();
    assert_eq!(env::read_file(&fs, Path::new("/to"), 9000).unwrap(), harmed);
    assert!(fs.misdirect((Path::new("/from"), 2), (Path::new("/to"), 0)).is_err());
    assert!(fs.misdirect((Path::new("/none"), 0), (Path::new("/to"), 0)).is_err());
}
