//! Two folders that take turns: what is in one of them is served, the next is made in the other, and a link changes everything at once.

use std::path::Path;

use futuswarm_node_files as files;

use crate::Error;

/// The link to the folder that is served.
pub(crate) const CURRENT: &str = "current";
const TURNS: [&str; 2] = ["a", "b"];

/// The name of the folder that is served; `None` where none is yet.
pub(crate) fn current(dir: &Path) -> Option<&'static str> {
    let served = std::fs::read_link(dir.join(CURRENT)).ok()?;
    TURNS.into_iter().find(|turn| served == Path::new(turn))
}

/// The name of the folder whose turn is next.
pub(crate) fn next(dir: &Path) -> &'static str {
    let [first, second] = TURNS;
    if current(dir) == Some(first) { second } else { first }
}

/// Makes the link name another folder, in one step.
pub(crate) fn link(dir: &Path, turn: &str) -> Result<(), Error> {
    let (temporary, current) = (dir.join("current.new"), dir.join(CURRENT));
    let _left_by_a_killed_agent = std::fs::remove_file(&temporary);
    std::os::unix::fs::symlink(turn, &temporary).map_err(files::Error::of(&temporary))?;
    Ok(std::fs::rename(&temporary, &current).map_err(files::Error::of(&current))?)
}

/// Takes both folders away, and the link before them.
pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
    let link = dir.join(CURRENT);
    let gone = |outcome: std::io::Result<()>, path: &Path| match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(files::Error::of(path)(error)),
        _ => Ok(()),
    };
    gone(std::fs::remove_file(&link), &link)?;
    for turn in TURNS {
        let folder = dir.join(turn);
        gone(std::fs::remove_dir_all(&folder), &folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_changes_in_one_step_whatever_a_killed_agent_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!((current(dir.path()), next(dir.path())), (None, "a"));
        for (turn, following) in [("a", "b"), ("b", "a"), ("a", "b")] {
            std::fs::write(dir.path().join("current.new"), "left").unwrap();
            link(dir.path(), turn).unwrap();
            assert_eq!((current(dir.path()), next(dir.path())), (Some(turn), following));
        }
    }

    #[test]
    fn what_is_removed_was_there_or_was_not() {
        let dir = tempfile::tempdir().unwrap();
        remove(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/secrets.conf"), "x").unwrap();
        link(dir.path(), "a").unwrap();
        remove(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
