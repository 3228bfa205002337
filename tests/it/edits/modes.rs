//! What becomes of the permissions and the other names of files that an edit makes or replaces.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use meliora::agent::edit::{Conflicts, apply_to_disk};
use meliora::agent::undo::{Direction, Wanted, Which, revert};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::RunId;
use meliora::safety::Policy;
use meliora::text::edit::{EditSet, Mode};

fn mode_of(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("it is there");
    metadata.permissions().mode() & 0o7777
}

#[test]
fn a_file_that_is_made_of_another_has_its_mode_and_other_names_are_told_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().canonicalize().expect("it exists");
    let root = base.join("work");
    fs::create_dir(&root).expect("made");
    let home = BTreeMap::from([("HOME".to_owned(), base.join("home").display().to_string())]);
    let host = Host::from_environment("/nowhere/meliora".into(), home);
    let mut config = Config::default();
    config.safety.require_approval_for.clear();
    let policy = Policy::new(&host, &config, &root);
    fs::write(root.join("run.sh"), "#!/bin/sh\n").expect("written");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o750)).expect("set");
    fs::write(root.join("a"), "1\n").expect("written");
    fs::hard_link(root.join("a"), root.join("b")).expect("linked");
    let mut set = EditSet::default();
    for (path, before, after) in [
        ("run.sh", Some("#!/bin/sh\n"), None),
        ("bin/go.sh", None, Some("#!/bin/sh\n")),
        ("bin/made.sh", None, Some("#!/bin/sh\n")),
        ("a", Some("1\n"), Some("2\n")),
    ] {
        set.record(path.into(), before.map(Into::into), after.map(Into::into));
    }
    set.give("bin/go.sh".into(), Mode::Of("run.sh".into()));
    set.give("bin/made.sh".into(), Mode::Program);
    let run = |number: u16| RunId::new(1_700_000_000, number);
    let applied = apply_to_disk(&host, &root, &policy, &run(1), (&set, &[]), &mut |_, _| {})
        .expect("applied");
    assert!(
        matches!(applied.notices.as_slice(), [one] if one.starts_with("a had other names")),
        "{:?}",
        applied.notices
    );
    assert_eq!(fs::read_to_string(root.join("b")).expect("text"), "1\n");
    let check = || {
        assert_eq!(mode_of(&root.join("bin/go.sh")), 0o750);
        assert_eq!(mode_of(&root.join("bin/made.sh")) & 0o100, 0o100);
        assert!(!root.join("run.sh").exists());
    };
    check();
    for (number, direction) in [(2, Direction::Undo), (3, Direction::Redo)] {
        let wanted = Wanted {
            direction,
            which: Which::Last,
            step: None,
            conflicts: Conflicts::Refuse,
        };
        revert(&host, &policy, &run(number), &wanted, &mut |_, _| {}).expect("reverted");
        if number == 2 {
            assert_eq!(mode_of(&root.join("run.sh")), 0o750);
            assert!(!root.join("bin").exists());
        }
    }
    check();
}
