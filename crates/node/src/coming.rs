//! A file that is written beside the one whose place it takes, in one step. One that does not come so far goes: on a small
//! disk it would leave no room for anything else.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub struct Coming {
    place: PathBuf,
    /// Taken away when it has its place.
    beside: Option<PathBuf>,
}

/// A file that has its place, for as long as there is power.
#[must_use = "its name has to outlast a loss of power as well"]
pub struct Placed(PathBuf);

impl Coming {
    /// Empty, for its owner alone, and appended to.
    pub fn begin(place: &Path) -> io::Result<(Self, File)> {
        let beside = beside(place);
        let file = append_to(&beside)?;
        file.set_len(0)?;
        Ok((Self { place: place.to_owned(), beside: Some(beside) }, file))
    }

    /// The caller has brought to the disk what was written.
    pub fn take_place(mut self) -> io::Result<Placed> {
        if let Some(beside) = &self.beside {
            fs::rename(beside, &self.place)?;
            self.beside = None;
        }
        Ok(Placed(std::mem::take(&mut self.place)))
    }

    /// Removes what a process that was killed has left.
    pub fn clear(place: &Path) -> io::Result<()> {
        match fs::remove_file(beside(place)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside
            && let Err(error) = fs::remove_file(beside)
        {
            tracing::warn!(file = %beside.display(), %error, "a file that is of no use cannot be removed");
        }
    }
}

impl Placed {
    /// Brings the file's new name to the disk.
    pub fn make_name_last(self) -> io::Result<()> {
        let directory = self.0.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// For its owner alone.
pub fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Each file's own: several are written at the same time.
fn beside(place: &Path) -> PathBuf {
    let mut name = place.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".coming");
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_comes_takes_its_place_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("node.state");
        let (coming, mut file) = Coming::begin(&place).unwrap();
        file.write_all(b"first").unwrap();
        coming.take_place().unwrap().make_name_last().unwrap();
        let (coming, mut file) = Coming::begin(&place).unwrap();
        file.write_all(b"second").unwrap();
        drop(coming);
        assert_eq!(fs::read(&place).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_written_at_the_same_time_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let places = ["node.state", "node.counters"].map(|name| folder.path().join(name));
        let coming = places.each_ref().map(|place| Coming::begin(place).unwrap());
        for ((coming, mut file), place) in coming.into_iter().zip(&places) {
            file.write_all(place.as_os_str().as_encoded_bytes()).unwrap();
            coming.take_place().unwrap().make_name_last().unwrap();
        }
        for place in places {
            assert_eq!(fs::read(&place).unwrap(), place.as_os_str().as_encoded_bytes());
        }
    }
}
