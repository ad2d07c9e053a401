//! Lists page by page, gathered as far as the user asked.

use clap::Args;
use coffer_api::Page;
use coffer_client::{Error, Paging};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

/// Options of every list.
#[derive(Args, Clone, Debug)]
pub(crate) struct PageArguments {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Continue after this cursor, which the list before named
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

impl PageArguments {
    /// Asks for page after page until the limit or the end. What remains is named on stderr.
    ///
    /// # Errors
    /// Where a page fails, or the server's cursor stands still.
    pub(crate) async fn gather<T>(
        &self,
        output: &Output,
        page: impl AsyncFn(Paging) -> Result<Page<T>, Error>,
    ) -> Result<Page<T>, Failure> {
        let wanted = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut all = Page { items: Vec::new(), next: self.after.clone() };
        loop {
            let missing = u32::try_from(wanted - all.items.len()).unwrap_or(u32::MAX);
            let got = page(Paging { after: all.next.clone(), limit: Some(missing.min(PAGE)) }).await?;
            if got.next.is_some() && got.next == all.next {
                return Err(Failure::new(Exit::Server, "the server's list does not go on"));
            }
            all.items.extend(got.items);
            all.next = got.next;
            match &all.next {
                None => break,
                Some(next) if all.items.len() >= wanted => {
                    output.note(format!("there is more: continue with --after {next}"));
                    break;
                }
                Some(_) => {}
            }
        }
        if all.items.is_empty() {
            output.note("nothing there");
        }
        Ok(all)
    }
}

/// Items asked for at a time.
const PAGE: u32 = 1000;
