//! `coffer man`: the manual's pages, one for each command, as `man` reads them. For packages, and so hidden from people.

use std::{fs::File, io::Write, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::{cli::Cli, failure::Failure, session::Session};

/// Options of `man`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to: an existing directory, such as /usr/share/man/man1
    dir: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// Where a file cannot be written.
pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let mut written = 0_usize;
    for (name, page) in pages(&root, "coffer")? {
        let path = arguments.dir.join(format!("{name}.1"));
        File::create(&path)
            .and_then(|mut file| file.write_all(&page))
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
        written += 1;
    }
    session.output.note(format!("wrote {written} pages to {}", arguments.dir.display()));
    Ok(())
}

/// The page of a command and those of its commands, by name.
fn pages(command: &clap::Command, name: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone().display_name(name.to_owned()))
        .source(concat!("coffer ", env!("CARGO_PKG_VERSION")))
        .manual("Coffer")
        .render(&mut page)
        .map_err(|error| Failure::io(format!("cannot make the page of {name}"), &error))?;
    let mut pages = vec![(name.to_owned(), page)];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        pages.extend(pages_below(name, below)?);
    }
    Ok(pages)
}

fn pages_below(name: &str, below: &clap::Command) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    pages(below, &format!("{name}-{}", below.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let mut root = Cli::command();
        root.build();
        let pages = pages(&root, "coffer").unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["coffer", "coffer-secrets", "coffer-secrets-set", "coffer-keys-encrypt", "coffer-doctor"] {
            assert!(names.contains(&name), "{name} has no page");
        }
        assert!(!names.iter().any(|name| name.ends_with("-man") || name.contains("-help")), "{names:?}");
        for (name, page) in &pages {
            let text = String::from_utf8(page.clone()).unwrap();
            assert!(text.contains(".TH") && text.contains(".SH SYNOPSIS"), "{name}: {text}");
        }
        let (_, set) = pages.iter().find(|(name, _)| name == "coffer-secrets-set").unwrap();
        let set = String::from_utf8(set.clone()).unwrap();
        assert!(set.contains(r"\-\-shred"), "{set}");
        assert!(set.contains(r"coffer\-secrets\-set"), "{set}");
    }
}
