//! Which scope a command means: `--project`, `--env`, `--service` or their variables, or `--scope` whole.

use clap::Args;
use coffer_api::Scope;

use crate::{environment::Environment, failure::Failure};

/// Options that choose a scope.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Scope")]
pub(crate) struct ScopeArguments {
    /// Project [env: COFFER_PROJECT]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Environment of the project [env: COFFER_ENV]
    #[arg(long = "env", short, value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// Service of the environment [env: COFFER_SERVICE]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// All at once, as acme:prod:api; the variables above then do not count
    #[arg(long, value_name = "SCOPE", conflicts_with_all = ["project", "environment", "service"])]
    pub(crate) scope: Option<String>,
}

impl ScopeArguments {
    /// As [`Self::resolve`], `None` where neither an option nor a variable names a project.
    ///
    /// # Errors
    /// As there, but for that.
    pub(crate) fn resolve_if_given(&self, environment: &Environment) -> Result<Option<Scope>, Failure> {
        let options = [&self.project, &self.environment, &self.service, &self.scope];
        let by_option = options.into_iter().any(|option| option.as_ref().is_some_and(|text| !text.is_empty()));
        if !by_option && (self.project.is_some() || environment.text("COFFER_PROJECT")?.is_none()) {
            return Ok(None);
        }
        self.resolve(environment).map(Some)
    }

    /// The scope meant. An empty option unsets its variable.
    ///
    /// # Errors
    /// Where none is, where a level is left out, or where it is no scope.
    pub(crate) fn resolve(&self, environment: &Environment) -> Result<Scope, Failure> {
        if let Some(scope) = &self.scope {
            return scope.parse().map_err(|error| Failure::local(format!("{error}")));
        }
        let level = |flag: &Option<String>, variable| match flag {
            Some(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            None => environment.text(variable).map(|text| text.map(str::to_owned)),
        };
        let project = level(&self.project, "COFFER_PROJECT")?;
        let environment_name = level(&self.environment, "COFFER_ENV")?;
        let service = level(&self.service, "COFFER_SERVICE")?;
        let text = match (project, environment_name, service) {
            (Some(project), Some(environment), Some(service)) => format!("{project}:{environment}:{service}"),
            (Some(project), Some(environment), None) => format!("{project}:{environment}"),
            (Some(project), None, None) => project,
            (Some(_), None, Some(_)) => {
                return Err(Failure::local("a service needs its environment").hint("add --env or set COFFER_ENV"));
            }
            (None, _, _) => {
                return Err(Failure::local("no project given")
                    .hint("add --project NAME [--env NAME [--service NAME]], or set COFFER_PROJECT and so on"));
            }
        };
        // A colon inside of one option would shift the levels.
        let scope: Scope = text.parse().map_err(|error| Failure::local(format!("{error}")))?;
        let given = [&self.project, &self.environment, &self.service];
        if given.iter().any(|flag| flag.as_ref().is_some_and(|text| text.contains(':'))) {
            return Err(Failure::local("a level of a scope cannot hold ':'").hint("--scope takes them all at once"));
        }
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(project: Option<&str>, environment: Option<&str>, service: Option<&str>) -> ScopeArguments {
        let own = |text: Option<&str>| text.map(str::to_owned);
        ScopeArguments { project: own(project), environment: own(environment), service: own(service), scope: None }
    }

    #[test]
    fn options_stand_before_variables_level_by_level() {
        let set = Environment::from([("COFFER_PROJECT", "acme"), ("COFFER_ENV", "prod"), ("COFFER_SERVICE", "api")]);
        let none = Environment::from([]);
        let resolve = |arguments: ScopeArguments, environment| arguments.resolve(environment).map(|s| s.to_string());
        assert_eq!(resolve(arguments(None, None, None), &set).unwrap(), "acme:prod:api");
        assert_eq!(resolve(arguments(None, Some("dev"), None), &set).unwrap(), "acme:dev:api");
        assert_eq!(resolve(arguments(None, None, Some("")), &set).unwrap(), "acme:prod");
        assert_eq!(resolve(arguments(Some("x"), None, None), &none).unwrap(), "x");
        let whole = ScopeArguments { scope: Some("a:b".into()), ..ScopeArguments::default() };
        assert_eq!(resolve(whole, &set).unwrap(), "a:b");
    }

    #[test]
    fn missing_and_malformed_levels_are_refused() {
        let none = Environment::from([]);
        for bad in [
            arguments(None, None, None),
            arguments(None, Some("prod"), None),
            arguments(Some("acme"), None, Some("api")),
            arguments(Some("acme:prod"), None, None),
            arguments(Some("Acme"), None, None),
            ScopeArguments { scope: Some(String::new()), ..ScopeArguments::default() },
        ] {
            assert!(bad.resolve(&none).is_err(), "{bad:?}");
        }
    }
}
