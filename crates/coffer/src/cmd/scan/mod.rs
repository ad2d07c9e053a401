//! `coffer scan`: secrets where they should not be. Nothing of it needs a server but `--against-store`.

mod git;
mod hook;
mod show;
pub(crate) mod store;

use std::{
    io,
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
};

use clap::{Args, Subcommand, ValueEnum};
use coffer_scan::{
    Baseline, Finding, IgnoreFiles, Origin, Place, Report, Rules, Scanned, Tree, scan_reader, scan_tree,
};

use crate::{
    failure::{Exit, Failure, chain},
    input,
    output::Progress,
    session::Session,
    stream::{Readers, Target},
};

/// Options of `scan`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Rules come from --config, else from .coffer-scan.toml or .gitleaks.toml in the current
directory, else from coffer itself. A line that says coffer:allow is left alone.
Exit code 0 means nothing was found, 10 that something was."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Files and folders [default: the current one]
    #[arg(value_name = "PATH", conflicts_with_all = ["staged", "git_range", "stdin"])]
    paths: Vec<PathBuf>,
    /// What is staged for the next commit
    #[arg(long, conflicts_with_all = ["git_range", "stdin"])]
    staged: bool,
    /// What these commits added, as main..HEAD
    #[arg(long, value_name = "RANGE", conflicts_with = "stdin")]
    git_range: Option<String>,
    /// What comes in on stdin
    #[arg(long)]
    stdin: bool,
    /// Rules in the format of gitleaks
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Findings that are known already, from --write-baseline
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write what was found to a baseline, and be content with it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "report"])]
    write_baseline: Option<PathBuf>,
    /// How findings are written [default: as --format says]
    #[arg(short = 'f', long, value_name = "REPORT", value_enum)]
    report: Option<ReportFormat>,
    /// Scan files too that .gitignore leaves out
    #[arg(long)]
    no_ignore: bool,
    /// Ask the server which of its secrets hold what was found
    #[arg(long, conflicts_with = "write_baseline")]
    against_store: bool,
}

/// Commands of `scan`.
#[derive(Subcommand)]
enum Command {
    /// Make git scan what is staged before each commit in this repository
    InstallHook(hook::Arguments),
}

/// What is written of findings.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ReportFormat {
    /// One object
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// A line for each
    Text,
}

/// Scans, and tells what was found.
///
/// # Errors
/// Where rules, baseline or what is to be scanned cannot be read.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Some(Command::InstallHook(arguments)) => hook::install(session, arguments).map(|()| ExitCode::SUCCESS),
        None => arguments.scan(session).await,
    }
}

impl Arguments {
    /// Whether the server is asked for anything.
    pub(crate) fn is_asking(&self) -> bool {
        self.against_store && self.command.is_none()
    }

    async fn scan(&self, session: &Session) -> Result<ExitCode, Failure> {
        if session.is_planning() {
            return store::plan(session).await.map(|()| ExitCode::SUCCESS);
        }
        let rules = self.rules(session)?;
        let baseline = self.baseline()?;
        let mut scanned = self.scanned(session, &rules)?;
        if let Some(path) = &self.write_baseline {
            return self.write(session, path, &scanned);
        }
        let all = std::mem::take(&mut scanned.findings);
        let (known, new): (Vec<Finding>, Vec<Finding>) = all.into_iter().partition(|finding| baseline.knows(finding));
        let known = u64::try_from(known.len()).unwrap_or(u64::MAX);
        let mut report = Report::new(&scanned, &new, known);
        if self.against_store && !new.is_empty() {
            store::identify(session, &new, &mut report.findings).await?;
        }
        show::show(session, self.report, &report, &rules)?;
        if !report.findings.is_empty() || report.more > 0 {
            return Ok(ExitCode::from(Exit::Findings.code()));
        }
        match report.unreadable.len() {
            0 => Ok(ExitCode::SUCCESS),
            count => Err(Failure::local(format!(
                "nothing was found, but {} could not be read",
                show::counted(count, "file")
            ))),
        }
    }

    fn scanned(&self, session: &Session, rules: &Rules) -> Result<Scanned, Failure> {
        let progress = session.output.progress("scanning", None);
        if self.staged {
            return git::staged(rules, progress);
        }
        if let Some(range) = &self.git_range {
            return git::range(rules, range, progress);
        }
        if self.stdin {
            let mut stdin = Watched { reader: io::stdin().lock(), progress };
            let scanned = scan_reader(rules, Place::file("stdin"), &mut stdin, &mut Vec::new());
            return scanned.map_err(|error| Failure::io("cannot read stdin", &error));
        }
        let here = [PathBuf::from(".")];
        let progress = Mutex::new(progress);
        let watch = |bytes| {
            if let Ok(mut progress) = progress.lock() {
                progress.add(bytes);
            }
        };
        let tree = Tree {
            roots: if self.paths.is_empty() { &here } else { &self.paths },
            base: &std::env::current_dir().map_err(|error| Failure::io("cannot tell the current directory", &error))?,
            ignore_files: if self.no_ignore { IgnoreFiles::PassedOver } else { IgnoreFiles::Honoured },
            threads: std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS),
            watch: &watch,
        };
        scan_tree(rules, &tree).map_err(|error| failed(&error))
    }

    fn rules(&self, session: &Session) -> Result<Rules, Failure> {
        let found = IMPLIED.into_iter().map(Path::new).find(|path| path.is_file());
        let origin = self.config.as_deref().or(found).map_or(Origin::Builtin, Origin::File);
        let rules = Rules::load(origin).map_err(|error| failed(&error))?;
        if let (None, Some(path)) = (&self.config, found) {
            session.output.note(format!("rules from {}", path.display()));
        }
        rules.notes().iter().for_each(|note| session.output.note(format!("note: {note}")));
        Ok(rules)
    }

    fn baseline(&self) -> Result<Baseline, Failure> {
        let Some(path) = &self.baseline else { return Ok(Baseline::default()) };
        let text = input::text_file(path, BASELINE_LIMIT)?;
        Baseline::parse(path, &text).map_err(|error| failed(&error))
    }

    fn write(&self, session: &Session, path: &Path, scanned: &Scanned) -> Result<ExitCode, Failure> {
        let mut target = Target::open(Some(path), Readers::AsUsual)?;
        let text = Baseline::text(&scanned.findings);
        io::Write::write_all(&mut target, text.as_bytes()).map_err(|error| target.failed(&error))?;
        target.finish()?;
        let count = scanned.findings.len();
        session.output.note(format!("wrote {} with {}", path.display(), show::counted(count, "finding")));
        for (path, why) in &scanned.unreadable {
            session.output.note(show::unreadable(path, why));
        }
        match (scanned.more, scanned.unreadable.len()) {
            (0, 0) => Ok(ExitCode::SUCCESS),
            (0, count) => {
                let files = show::counted(count, "file");
                Err(Failure::local(format!("{files} could not be read, of which nothing is in the baseline")))
            }
            (more, _) => Err(Failure::local(format!("{more} more findings did not fit into the baseline"))),
        }
    }
}

/// What is scanned, shown on a terminal as it comes.
struct Watched<R> {
    reader: R,
    progress: Progress,
}

impl<R: io::Read> io::Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

/// A failure of the scanner with its causes.
fn failed(error: &coffer_scan::Error) -> Failure {
    // What is wrong with a pattern or with TOML takes several lines, with the place marked.
    Failure::local(chain(error).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Files with rules that count without being named.
const IMPLIED: [&str; 2] = [".coffer-scan.toml", ".gitleaks.toml"];

/// More of them than this find no files to read.
const MAX_THREADS: usize = 16;

/// Bytes of a baseline.
const BASELINE_LIMIT: usize = 64 << 20;
