//! When an edited file is taken by itself: once it, and every file that it names, has stood still for a look.
//!
//! The files are looked at once a second, by what a call for their marks says and by their content, rather than heard
//! of: a rename over the file, a link that is set to another folder, a mount and a file of a network's file system all
//! look alike that way, and none of them does to the kernel's notifications, which hang on single inodes and folders.
//!
//! Half a file is often right YAML. So what is read at one look is held back until the next one finds it
//! unchanged; what is faulty may be half of something and is held back for longer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::load::{self, Error, Loaded};
use super::on_disk::OnDisk;

/// Between two looks, and so how long an edit must have stood at least.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks find a faulty file unchanged before it is refused.
const LOOKS_AT_FAULTS: u32 = 3;

/// What is known of the files that a plan comes from.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// As they were when they were last read, whatever came of that.
    read: OnDisk,
    edit: Option<Edit>,
}

/// Other files than those that were last read.
#[derive(Debug)]
struct Edit {
    found: Result<Loaded, Error>,
    on_disk: OnDisk,
    /// Looks that found it unchanged.
    stood: u32,
}

impl Watch {
    pub(super) fn new(path: &Path, read: OnDisk) -> Self {
        Self {
            path: path.to_owned(),
            read,
            edit: None,
        }
    }

    /// The files were read for another reason: these are known, whether they were taken or refused.
    pub(super) fn was_read(&mut self, on_disk: OnDisk) {
        self.read = on_disk;
        self.edit = None;
    }

    /// Looks at the files. What it gives out is to be taken or refused, and is given out once.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<Result<Loaded, Error>> {
        if let Some(edit) = &mut self.edit
            && edit.on_disk.look(now).is_none()
        {
            edit.stood += 1;
            let needed = if edit.found.is_ok() {
                1
            } else {
                LOOKS_AT_FAULTS
            };
            if edit.stood < needed {
                return None;
            }
            let edit = self.edit.take()?;
            self.read = edit.on_disk;
            return Some(edit.found);
        }
        self.edit = None;
        if self.read.look(now).is_some() {
            let (found, on_disk) = load::attempt(&self.path);
            self.edit = Some(Edit {
                found,
                on_disk,
                stood: 0,
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const FILE: &str = "version: 1\nservice: S\nclients: { a: A/1 }\nprobes: { p: { url: \"https://a.example/\", every: 5m, headers: { X: \"{{ credential.token }}\" }, with: c } }\ncredentials: { c: { token: { file: tok } } }\n";

    struct Place {
        folder: tempfile::TempDir,
        watch: Watch,
    }

    impl Place {
        /// A watch over a file that was just read; `lay` puts it there.
        fn new(lay: impl Fn(&Path)) -> Self {
            let folder = tempfile::tempdir().unwrap();
            lay(folder.path());
            let path = folder.path().join("probes.yaml");
            let (found, on_disk) = load::attempt(&path);
            assert!(found.is_ok(), "{found:?}");
            let watch = Watch::new(&path, on_disk);
            Self { folder, watch }
        }

        fn plain() -> Self {
            Self::new(|folder| {
                fs::write(folder.join("probes.yaml"), FILE).unwrap();
                fs::write(folder.join("tok"), "abc").unwrap();
            })
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// What so many looks gave out: `-` nothing, `x` a faulty file, else the name of its service.
        fn looks(&mut self, count: usize) -> String {
            let mut look = || match self.watch.look(Timestamp::UNIX_EPOCH) {
                None => "-".to_owned(),
                Some(Ok(loaded)) => loaded.checked.plan.service,
                Some(Err(_)) => "x".to_owned(),
            };
            let said: Vec<String> = (0..count).map(|_| look()).collect();
            said.concat()
        }
    }

    fn serving(service: &str) -> String {
        FILE.replace("service: S", &format!("service: {service}"))
    }

    #[test]
    fn an_edit_is_taken_once_when_it_stood_for_a_look() {
        let mut place = Place::plain();
        assert_eq!(place.looks(3), "---");
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(4), "-T--");
        // Saved again as it was.
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(3), "---");
        // Taken back before it stood.
        place.write("probes.yaml", &serving("U"));
        assert_eq!(place.looks(1), "-");
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(3), "---");
    }

    #[test]
    fn what_is_still_being_written_is_never_taken() {
        let mut place = Place::plain();
        let whole = serving("T").replace("service: T", "service: T\ntimezone: Europe/London");
        for bytes in (0..whole.len()).step_by(7) {
            place.write("probes.yaml", &whole[..bytes]);
            assert_eq!(place.looks(1), "-", "{bytes}");
        }
        place.write("probes.yaml", &whole);
        assert_eq!(place.looks(3), "-T-");
    }

    #[test]
    fn a_faulty_file_is_given_out_once_and_only_when_it_is_hardly_half_of_one() {
        let mut place = Place::plain();
        place.write("probes.yaml", "version: 1\nprobs: {}\n");
        assert_eq!(place.looks(6), "---x--");
        place.write("probes.yaml", "");
        assert_eq!(place.looks(2), "--");
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(3), "-T-");
        fs::remove_file(place.folder.path().join("probes.yaml")).unwrap();
        assert_eq!(place.looks(6), "---x--");
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(3), "-T-", "there again");
    }

    #[test]
    fn files_that_it_names_are_watched_also_those_of_a_file_that_was_refused() {
        let mut place = Place::plain();
        place.write("tok", "rotated");
        assert_eq!(place.looks(3), "-S-");
        let with_body = serving("B").replace(
            "every: 5m",
            "every: 5m, method: POST, body: { file: b.txt }",
        );
        place.write("probes.yaml", &with_body);
        assert_eq!(place.looks(5), "---x-");
        place.write("b.txt", "hello");
        assert_eq!(place.looks(3), "-B-");
    }

    #[test]
    fn files_that_it_includes_are_watched_and_new_ones_are_edits() {
        let mut place = Place::plain();
        let folder = place.folder.path().join("conf.d");
        fs::create_dir(&folder).unwrap();
        place.write("probes.yaml", &format!("{FILE}include: conf.d/*.yaml\n"));
        assert_eq!(place.looks(3), "-S-");
        let probe = |name: &str, path: &str| {
            format!("probes: {{ {name}: {{ url: \"https://b.example{path}\", every: 5m }} }}\n")
        };
        place.write("conf.d/one.yaml", &probe("q", "/"));
        assert_eq!(place.looks(3), "-S-", "a new file");
        place.write("conf.d/one.yaml", &probe("q", "/other"));
        assert_eq!(place.looks(3), "-S-", "an edited file");
        place.write("conf.d/.one.yaml.swp", "what editors leave");
        assert_eq!(place.looks(3), "---");
        place.write("conf.d/two.yaml", &probe("q", "/"));
        assert_eq!(place.looks(5), "---x-", "a name that is there twice");
        fs::remove_file(folder.join("two.yaml")).unwrap();
        assert_eq!(place.looks(3), "-S-", "a file that went");
    }

    #[test]
    fn renames_and_links_set_anew_are_edits() {
        // As editors save: another file under the name, the old one aside.
        let mut place = Place::plain();
        let at = |place: &Place, name: &str| place.folder.path().join(name);
        place.write("new.yaml", &serving("T"));
        fs::rename(at(&place, "probes.yaml"), at(&place, "probes.yaml~")).unwrap();
        assert_eq!(place.looks(1), "-");
        fs::rename(at(&place, "new.yaml"), at(&place, "probes.yaml")).unwrap();
        assert_eq!(place.looks(3), "-T-");

        // As Kubernetes mounts a ConfigMap: links to links, of which one is set to another folder.
        let mut place = Place::new(|folder| {
            for (version, service) in [("..1", "S"), ("..2", "T")] {
                fs::create_dir(folder.join(version)).unwrap();
                fs::write(folder.join(version).join("probes.yaml"), serving(service)).unwrap();
                fs::write(folder.join(version).join("tok"), service).unwrap();
            }
            symlink("..1", folder.join("..data")).unwrap();
            symlink("..data/probes.yaml", folder.join("probes.yaml")).unwrap();
            symlink("..data/tok", folder.join("tok")).unwrap();
        });
        assert_eq!(place.looks(2), "--");
        symlink("..2", at(&place, "..data_tmp")).unwrap();
        fs::rename(at(&place, "..data_tmp"), at(&place, "..data")).unwrap();
        fs::remove_dir_all(at(&place, "..1")).unwrap();
        assert_eq!(place.looks(3), "-T-");
    }

    #[test]
    fn what_was_read_for_another_reason_is_no_news() {
        let mut place = Place::plain();
        place.write("probes.yaml", &serving("T"));
        assert_eq!(place.looks(1), "-");
        let (_, on_disk) = load::attempt(&place.folder.path().join("probes.yaml"));
        place.watch.was_read(on_disk);
        assert_eq!(place.looks(3), "---");
    }
}
