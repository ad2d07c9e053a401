//! The server's data directory, where it is on this machine: who can read and change it, and how much room there is.

use std::{os::unix::fs::MetadataExt, path::Path};

use crate::{
    data_dir::data_directory,
    failure::{Exit, Failure, plain},
    session::Session,
};

use super::Finding;

pub(super) fn look(session: &Session, named: Option<&Path>) -> Vec<Finding> {
    let directory = match data_directory(named, &session.environment) {
        Ok(directory) => directory,
        Err(failure) if named.is_some() => return vec![Finding::of_failure("data", &failure)],
        Err(_) => return Vec::new(),
    };
    let is_meant = named.is_some() || session.environment.path("COFFER_DATA").is_some();
    match directory.try_exists() {
        Ok(true) => {}
        // The server is elsewhere, as it usually is.
        Ok(false) | Err(_) if !is_meant => return Vec::new(),
        Ok(false) | Err(_) => {
            let what = format!("there is no {}", directory.display());
            return vec![Finding::wrong("data", Exit::Local, what, "name the server's data directory with --data")];
        }
    }
    let mut findings = vec![folder(&directory)];
    // Where the server's own variable puts the key; a configuration file is not read here.
    let key = session.environment.path("COFFER_SEAL_KEY_FILE").unwrap_or_else(|| directory.join("seal.key"));
    let of_others = [("seal key", key), ("token", directory.join("initial-token"))];
    findings.extend(of_others.iter().filter_map(|(check, path)| private(check, path)));
    findings.push(room(&directory).unwrap_or_else(|failure| Finding::of_failure("disk", &failure)));
    findings
}

fn folder(directory: &Path) -> Finding {
    match std::fs::metadata(directory) {
        Ok(found) if found.mode() & 0o022 != 0 => Finding::wrong(
            "data",
            Exit::Local,
            format!("others can change {}", directory.display()),
            format!("chmod 700 {}", directory.display()),
        ),
        Ok(found) if found.mode() & 0o055 != 0 => Finding::warning(
            "data",
            format!("others can look into {}", directory.display()),
            format!("chmod 700 {}", directory.display()),
        ),
        Ok(_) => Finding::fine("data", format!("{} is its owner's alone", directory.display())),
        Err(error) => unreadable("data", directory, &error),
    }
}

/// A file that nobody else may read; `None` where there is none. Of a link it is what the link points to that counts.
fn private(check: &'static str, path: &Path) -> Option<Finding> {
    let link = match std::fs::symlink_metadata(path) {
        Ok(found) => found.is_symlink(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(unreadable(check, path, &error)),
    };
    let (found, real) = match std::fs::metadata(path).and_then(|found| Ok((found, path.canonicalize()?))) {
        Ok(found) => found,
        Err(error) => return Some(unreadable(check, path, &error)),
    };
    let target = if link { real.as_path() } else { path };
    let shown = match link {
        true => format!("{}, a link to {},", path.display(), target.display()),
        false => path.display().to_string(),
    };
    Some(match found.mode() & 0o077 {
        0 => Finding::fine(check, format!("{shown} is its owner's alone")),
        _ => Finding::wrong(
            check,
            Exit::Local,
            format!("others can use {}", shown.trim_end_matches(',')),
            format!("chmod 600 {}, and count what is in it as known to them", target.display()),
        ),
    })
}

/// The server refuses changes below the smaller of 5 % and 1 GiB, and reads below the smaller of 2 % and 256 MiB, unless
/// it is told otherwise.
fn room(directory: &Path) -> Result<Finding, Failure> {
    let found = rustix::fs::statvfs(directory)
        .map_err(|error| Failure::io(format!("cannot examine {}", directory.display()), &error.into()))?;
    Ok(verdict_of_room(found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

fn verdict_of_room(free: u64, total: u64) -> Finding {
    let changes = (total / 20).min(1 << 30);
    let reads = (total / 50).min(256 << 20);
    let what = format!("{} MiB of {} MiB are free", free >> 20, total >> 20);
    let mend = "make room on the file system of the data directory; docs/CONFIGURATION.md has the limits";
    if free < reads {
        Finding::wrong("disk", Exit::Unavailable, format!("{what}: the server refuses reads and changes"), mend)
    } else if free < changes {
        Finding::wrong("disk", Exit::Unavailable, format!("{what}: the server refuses changes"), mend)
    } else if free < changes.saturating_mul(2) {
        Finding::warning("disk", format!("{what}: below {} MiB the server refuses changes", changes >> 20), mend)
    } else {
        Finding::fine("disk", what)
    }
}

fn unreadable(check: &'static str, path: &Path, error: &std::io::Error) -> Finding {
    let what = format!("{} cannot be examined: {}", path.display(), plain(error));
    Finding::warning(check, what, "run this as the server's own user")
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn room_is_judged_as_the_server_judges_it() {
        const GIB: u64 = 1 << 30;
        for (free, total, expected) in [
            (50 * GIB, 100 * GIB, Verdict::Fine),
            (3 * GIB / 2, 100 * GIB, Verdict::Warning),
            (GIB / 2, 100 * GIB, Verdict::Wrong),
            (0, 100 * GIB, Verdict::Wrong),
            // A small file system has small limits.
            (200 << 20, GIB, Verdict::Fine),
            (80 << 20, GIB, Verdict::Warning),
            (30 << 20, GIB, Verdict::Wrong),
        ] {
            assert_eq!(verdict_of_room(free, total).verdict, expected, "{free} of {total}");
        }
    }

    #[test]
    fn what_others_can_use_is_wrong() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("seal.key");
        assert!(private("seal key", &key).is_none());
        std::fs::write(&key, "x").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        for (mode, expected) in [(0o600, Verdict::Fine), (0o640, Verdict::Wrong), (0o604, Verdict::Wrong)] {
            set(&key, mode);
            assert_eq!(private("seal key", &key).unwrap().verdict, expected, "{mode:o}");
        }
        for (mode, expected) in [(0o700, Verdict::Fine), (0o755, Verdict::Warning), (0o770, Verdict::Wrong)] {
            set(directory.path(), mode);
            assert_eq!(folder(directory.path()).verdict, expected, "{mode:o}");
        }
    }

    #[test]
    fn link_to_a_key_is_judged_by_what_it_points_to() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("seal.key"));
        std::fs::write(&real, "x").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for (mode, expected) in [(0o600, Verdict::Fine), (0o644, Verdict::Wrong)] {
            std::fs::set_permissions(&real, std::fs::Permissions::from_mode(mode)).unwrap();
            let finding = private("seal key", &link).unwrap();
            assert_eq!(finding.verdict, expected, "{mode:o}");
            assert!(finding.what.contains("a link to") && finding.what.contains("real"), "{}", finding.what);
            assert!(finding.mend.is_none_or(|mend| mend.contains("real")), "what the link points to is mended");
        }
        std::fs::remove_file(&real).unwrap();
        assert_eq!(private("seal key", &link).unwrap().verdict, Verdict::Warning, "it points nowhere");
    }
}
