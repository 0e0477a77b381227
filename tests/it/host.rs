//! A host on which things go wrong: its clock is set, its disk is full.
//!
//! Neither can be done to one process; a library put before the C library's says another time, and that there is no
//! room, as files have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fakes::TOKEN;

/// Adds the seconds in the file `WALL_CLOCK` to what the wall clock says, the other clocks are left alone; refuses to
/// write into files while there is one called `DISK_FULL`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, at);
  const char *path = getenv("WALL_CLOCK");
  if (id == CLOCK_REALTIME && path) {
    char text[32] = {0};
    int file = open(path, O_RDONLY);
    if (file >= 0) {
      if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
      close(file);
    }
  }
  return result;
}
static int full(int file) {
  const char *path = getenv("DISK_FULL");
  struct stat what;
  if (!path || access(path, F_OK) || file < 3 || fstat(file, &what) || !S_ISREG(what.st_mode)) return 0;
  errno = ENOSPC;
  return 1;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
  static ssize_t (*real)(int, const void *, size_t, off_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  return full(file) ? -1 : real(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  return full(file) ? -1 : real(file, bytes, count, at);
}
ssize_t write(int file, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return full(file) ? -1 : real(file, bytes, count);
}
"#;

pub(crate) struct Host {
    library: PathBuf,
    clock: PathBuf,
    full: PathBuf,
}

impl Host {
    pub(crate) fn make(folder: &Path) -> Self {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SHIM).unwrap();
        // Building edgewatch takes a C compiler, so there is one.
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
        assert!(
            compiler
                .arg(&source)
                .arg("-ldl")
                .status()
                .unwrap()
                .success()
        );
        let host = Self {
            library,
            clock: folder.join("clock"),
            full: folder.join("full"),
        };
        host.set_clock(0);
        host
    }

    /// So many seconds from the right time.
    pub(crate) fn set_clock(&self, seconds: i64) {
        let new = self.clock.with_extension("new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, &self.clock).unwrap();
    }

    pub(crate) fn fill_disk(&self, full: bool) {
        if full {
            std::fs::write(&self.full, "").unwrap();
        } else {
            std::fs::remove_file(&self.full).unwrap();
        }
    }

    /// The program on this host.
    pub(crate) fn applied(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("WALL_CLOCK", &self.clock)
            .env("DISK_FULL", &self.full)
            .env("SLACK_BOT_TOKEN", TOKEN);
        command
    }
}
