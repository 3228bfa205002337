//! What programs leave in the copy: whatever it is, the next call works.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use meliora::agent::shadow::Shadow;
use meliora::agent::shadow::builds::Builder;
use meliora::text::edit::EditSet;
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

use super::{Overlay, Scene, contents, listing};
use crate::tidy::announce;

#[test]
fn what_a_program_leaves_is_kept_as_far_as_it_can_be_said() {
    let scene = Scene::with(&[("a.txt", "a\n")]);
    let mut shadow = scene.synced();
    let mark = shadow.mark(&EditSet::default()).expect("marked");
    let tree = shadow.tree().to_owned();
    let huge = fs::File::create(tree.join("huge")).expect("made");
    huge.set_len(1 << 40).expect("a hole");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.txt");
    fs::write(tree.join(odd), "text").expect("written");
    fs::write(tree.join("a.txt"), "b\n").expect("written");
    let traces = shadow.take_back(&mark, &EditSet::default());
    let traces = traces.expect("taken back");
    let kept: Vec<&Path> = traces.texts.keys().map(PathBuf::as_path).collect();
    assert_eq!((kept, traces.left_out), (vec![Path::new("a.txt")], 2));
}

/// Folders in folders, made from a handle: no path leads to the last of them.
fn nest(folder: &Path, name: &str, levels: usize) {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = openat(CWD, folder, flags, Mode::empty()).expect("a folder");
    for _ in 0..levels {
        mkdirat(&at, name, Mode::RWXU).expect("made");
        at = openat(&at, name, flags, Mode::empty()).expect("a folder");
    }
}

/// What tests leave in every place that they may write, one after the other.
fn litter(shadow: &Shadow, sign: &str) {
    let (scratch, own) = (shadow.scratch(), shadow.own(Builder::Test));
    let target = shadow.target(Builder::Test);
    let compiled = target.join("pycache");
    fs::create_dir_all(&compiled).expect("made");
    for place in [shadow.tree(), &scratch, &own.join("home"), &compiled] {
        let place = place.join(sign);
        fs::create_dir(&place).expect("made");
        nest(&place, &"n".repeat(200), 60);
        nest(&place, "d", 600);
        let odd = std::ffi::OsStr::from_bytes(b"\xff\n");
        fs::create_dir(place.join(odd)).expect("made");
        for (name, kind) in [("pipe", FileType::Fifo), ("socket", FileType::Socket)] {
            mknodat(CWD, place.join(name), kind, Mode::RUSR, 0).expect("made");
        }
    }
    let tree = shadow.tree();
    for folder in [tree.join("src"), own.join("home"), target, tree.to_owned()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o0)).expect("closed");
    }
}

#[test]
fn whatever_tests_leave_behind_the_next_call_works() {
    let scene = Scene::with(&[("src/a.py", "a = 1\n"), ("b.txt", "b\n")]);
    let mut shadow = scene.synced();
    shadow.furnish(Builder::Test).expect("furnished");
    let before = contents(shadow.tree());
    let mark = shadow.mark(&EditSet::default()).expect("marked");
    litter(&shadow, "first");
    let traces = shadow.take_back(&mark, &EditSet::default());
    let traces = traces.expect("taken back");
    assert!(
        traces.texts.is_empty() && traces.left_out >= 4,
        "{traces:?}"
    );
    assert_eq!(contents(shadow.tree()), before);
    shadow.distrust(Builder::Test).expect("looked through");
    shadow.furnish(Builder::Test).expect("furnished");
    litter(&shadow, "second");
    drop(shadow);
    // What was killed meanwhile took nothing back.
    let mut shadow = scene.open();
    scene.write("src/a.py", "a = 22\n");
    shadow.sync(&Overlay::new()).expect("synced");
    shadow.distrust(Builder::Test).expect("looked through");
    shadow.furnish(Builder::Test).expect("furnished");
    let tree = shadow.tree().to_owned();
    assert_eq!(
        fs::read_to_string(tree.join("src/a.py")).expect("there"),
        "a = 22\n"
    );
    assert_eq!(contents(&tree).len(), before.len());
    let own = shadow.own(Builder::Test);
    for empty in [shadow.scratch(), own.join("home")] {
        assert_eq!(listing(&empty), Vec::<String>::new());
    }
    for folder in [&tree, &tree.join("src"), &shadow.target(Builder::Test)] {
        let mode = folder.metadata().expect("there").mode();
        assert_eq!(mode & 0o700, 0o700, "{}", folder.display());
    }
}

#[test]
fn what_cannot_be_removed_is_put_aside() {
    let scene = Scene::with(&[("a.txt", "a\n")]);
    let shadow = scene.synced();
    let mut stuck = [shadow.tree().join("stuck"), shadow.scratch().join("stuck")];
    drop(shadow);
    let mark = |sign: &str, files: &[PathBuf]| {
        let mut command = Command::new("chattr");
        let marked = command.arg(sign).args(files).output();
        marked.is_ok_and(|output| output.status.success())
    };
    for file in &stuck {
        fs::write(file, "").expect("written");
    }
    if !mark("+i", &stuck) {
        announce("left out: files cannot be made immutable here");
        return;
    }
    let opened = Shadow::open(&scene.host, &scene.workspace);
    let synced = opened.and_then(|mut shadow| {
        shadow.sync(&Overlay::new())?;
        Ok((listing(shadow.tree()), listing(&shadow.scratch())))
    });
    let aside = scene.host.cache_of(&scene.workspace).join("1/aside");
    let fs = aside.with_file_name("fs");
    let below = stuck[0].strip_prefix(fs).expect("it is in the tree");
    stuck = [aside.join("1").join(below), aside.join("0/stuck")];
    assert!(mark("-i", &stuck), "{synced:?}");
    assert_eq!(
        synced.expect("it works"),
        (vec!["a.txt".to_owned()], Vec::new())
    );
    drop(scene.open());
    assert_eq!(listing(&aside), Vec::<String>::new());
}
