//! Logical paths, as policies name them: which ones there are, and the form that a request's takes.

use coffer_core::{Error, Operation};

/// The path that policies are asked about for a request: checked, and a list's with its slash at the end.
///
/// # Errors
/// [`coffer_api::Code::Invalid`] where the path is longer than 4,096 bytes, has empty, relative or unprintable segments,
/// or ends in `/` for a write.
pub fn logical_path(mut path: String, operation: Operation) -> Result<String, Error> {
    check_path(&path)?;
    match operation {
        Operation::List | Operation::Scan if !path.ends_with('/') => path.push('/'),
        Operation::Create | Operation::Patch | Operation::Update if path.ends_with('/') => {
            return Err(Error::invalid("cannot write to a path ending in '/'"));
        }
        Operation::Create
        | Operation::Delete
        | Operation::List
        | Operation::Patch
        | Operation::Read
        | Operation::Scan
        | Operation::Update => {}
    }
    Ok(path)
}

fn check_path(path: &str) -> Result<(), Error> {
    if path.len() > MAX_PATH {
        return Err(Error::invalid(format!("the path is longer than {MAX_PATH} bytes")));
    }
    if path.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'.') && !path.contains("//") && !path.starts_with('/') {
        return Ok(());
    }
    if path.chars().any(char::is_control) {
        return Err(Error::invalid("the path holds characters that cannot be printed"));
    }
    let inner = path.strip_suffix('/').unwrap_or(path);
    if !path.is_empty() && inner.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Error::invalid("the path has empty or relative segments"));
    }
    Ok(())
}

/// The longest path.
const MAX_PATH: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn list_gets_its_slash_and_a_write_may_have_none() {
        let path = |path: &str, operation| logical_path(path.to_owned(), operation).map_err(|error| error.to_string());
        for operation in [Operation::List, Operation::Scan] {
            assert_eq!(path("a/b", operation).unwrap(), "a/b/");
            assert_eq!(path("a/b/", operation).unwrap(), "a/b/");
        }
        for operation in [Operation::Create, Operation::Patch, Operation::Update] {
            assert_eq!(path("a/b", operation).unwrap(), "a/b");
            assert!(path("a/b/", operation).is_err(), "{operation}");
        }
        for operation in [Operation::Delete, Operation::Read] {
            assert_eq!(path("a/b/", operation).unwrap(), "a/b/");
        }
        for operation in Operation::ALL {
            assert!(path("a/../b", operation).is_err(), "{operation}");
        }
    }

    proptest! {
        #[test]
        fn fast_check_agrees_with_the_slow_one(path in "[a./ é\u{0}]{0,12}") {
            let segments = path.strip_suffix('/').unwrap_or(&path).split('/');
            let relative = !path.is_empty() && segments.into_iter().any(|s| matches!(s, "" | "." | ".."));
            let expected = !relative && !path.chars().any(char::is_control);
            prop_assert_eq!(check_path(&path).is_ok(), expected, "{:?}", path);
        }
    }
}
