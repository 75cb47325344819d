//! The command line that the mainpage offers: a folder that its tasks see and nobody but the agent writes. `release` names the program,
//! which is beside it under its SHA-256.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Error, Files, replace};

const RELEASE: &str = "release";
/// A program on its way.
const NEW: &str = "arriving.new";

impl Files {
    /// What is offered now, as [`Files::offer`] was told it; `None` where nothing is, or the program is not there as a whole.
    #[must_use]
    pub fn offered(&self) -> Option<String> {
        let line = std::fs::read_to_string(self.download.join(RELEASE)).ok()?;
        let line = line.trim();
        let mut words = line.split(' ').skip(1);
        let (program, bytes) = (words.next()?, words.next()?.parse::<u64>().ok()?);
        let there = std::fs::metadata(self.download.join(program)).ok()?;
        (there.len() == bytes).then(|| line.to_owned())
    }

    /// A new file for a program on its way, in the place of one that did not arrive.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn arriving(&self) -> Result<(File, PathBuf), Error> {
        let path = self.download.join(NEW);
        std::fs::create_dir_all(&self.download).map_err(Error::of(&self.download))?;
        Ok((File::create(&path).map_err(Error::of(&path))?, path))
    }

    /// Offers the program that has arrived, whole and on the disk, by the line of its release (version, SHA-256 and length); then
    /// forgets the one before it. Who is being sent that one gets it to its end.
    ///
    /// # Errors
    /// When the program cannot be put into its place; what was offered before still is then.
    pub fn offer(&self, line: &str, sha256: &str) -> Result<(), Error> {
        let (new, program) = (self.download.join(NEW), self.download.join(sha256));
        std::fs::rename(&new, &program).map_err(Error::of(&program))?;
        replace(&self.download.join(RELEASE), format!("{line}\n").as_bytes())?;
        forget_others(&self.download, sha256);
        Ok(())
    }

    /// Takes away what did not arrive.
    pub fn give_up_arriving(&self) {
        let _written_over_next_time = std::fs::remove_file(self.download.join(NEW));
    }
}

/// Removes programs of before. What stays takes some room, and the next one tries again.
fn forget_others(folder: &Path, sha256: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() != RELEASE && entry.file_name() != sha256 {
            let _tried_again_next_time = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_program_is_offered_as_a_whole_and_replaced_by_another() {
        let folder = std::env::temp_dir().join(format!("futuswarm-download.{}", std::process::id()));
        let _not_there = std::fs::remove_dir_all(&folder);
        let files = Files { download: folder.join("cli"), ..Files::default() };
        assert_eq!(files.offered(), None);
        for (line, sha256, content) in [("0.1.0 aa 5", "aa", "first"), ("0.2.0 bb 6", "bb", "second")] {
            let (mut file, path) = files.arriving().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            assert!(path.exists());
            files.offer(line, sha256).unwrap();
            assert_eq!(files.offered().as_deref(), Some(line));
        }
        let mut there: Vec<_> =
            std::fs::read_dir(folder.join("cli")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        there.sort();
        assert_eq!(there, ["bb", "release"]);
        // Cut by a full disk, or by a power cut before it was on the disk.
        std::fs::write(folder.join("cli/bb"), "sec").unwrap();
        assert_eq!(files.offered(), None);
        files.arriving().unwrap();
        files.give_up_arriving();
        assert!(!folder.join("cli/arriving.new").exists());
        assert!(files.offer("0.3.0 cc 1", "cc").unwrap_err().to_string().contains("cli/cc"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
