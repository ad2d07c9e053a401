//! What a token may do at a path, and help, which anybody known may ask for.

use coffer_api::token::TokenRef;

use crate::{
    Caller, Error,
    caller::Done,
    policy::{Operation, Parameters},
    token::Authority,
};

impl Caller {
    /// What the caller may do at each path.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/capabilities-self`.
    pub async fn capabilities_self(
        &self,
        paths: &[String],
        parameters: &dyn Parameters,
    ) -> Result<Vec<(String, Vec<&'static str>)>, Error> {
        let path = "sys/capabilities-self";
        self.recorded(self.record("capabilities.read", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            Ok(Done::Unlogged(self.held(&self.authority, paths)))
        })
        .await
    }

    /// What another token may do at each path.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/capabilities`, or on `sys/capabilities-accessor` for
    /// an accessor; [`coffer_api::Code::Invalid`] where there is no such token.
    pub async fn capabilities(
        &self,
        of: &TokenRef,
        paths: &[String],
        parameters: &dyn Parameters,
    ) -> Result<Vec<(String, Vec<&'static str>)>, Error> {
        let (path, unknown) = match of.accessor {
            Some(_) => ("sys/capabilities-accessor", "1 error occurred:\n\t* invalid accessor\n\n"),
            None => ("sys/capabilities", "1 error occurred:\n\t* invalid token\n\n"),
        };
        let mut record = self.record("capabilities.read", path);
        if let Some(accessor) = &of.accessor {
            record = record.fact("accessor", accessor.clone());
        }
        self.recorded(record, async {
            self.authorise(path, Operation::Update, parameters)?;
            let referred = self.referred(of).await;
            let state = referred.map_err(|error| match error.code() == coffer_api::Code::NotFound {
                true => Error::invalid(unknown),
                false => error,
            })?;
            let authority = self.active.authority_of(&state).await?;
            Ok(Done::Unlogged(self.held(&authority, paths)))
        })
        .await
    }

    /// Records that help was asked for: no policy speaks about it, since it tells nothing of what is stored.
    ///
    /// # Errors
    /// Where the record cannot be logged.
    pub async fn help(&self, path: &str) -> Result<(), Error> {
        self.recorded(self.record("help.read", path), async { Ok(Done::Unlogged(())) }).await
    }

    fn held(&self, authority: &Authority, paths: &[String]) -> Vec<(String, Vec<&'static str>)> {
        let now = self.active.clock.now();
        let acl = &authority.acl;
        let held = |path: &str| match acl.has_built_in().then(|| self.active.mounts.usual(path)).flatten() {
            Some(usual) => acl.capabilities_of_engine(path, &usual, now),
            None => acl.capabilities(path, now),
        };
        paths.iter().map(|path| (path.clone(), held(path).names())).collect()
    }
}
