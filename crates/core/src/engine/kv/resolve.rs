//! References in native values, replaced when a reader asks for it: each secret that one leads to is a read of its own,
//! with its own decision and its own record.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use coffer_api::{
    Code, Name, Scope, Sensitive,
    reference::{self, Part, Reference, Target},
    secrets::{Effective, Secret},
};
use zeroize::Zeroizing;

use super::{data::MAX_VALUE, native::MOUNT};
use crate::{Caller, Error, caller::Done, record::Record};

/// How many references may lead from one to the next.
const MAX_DEPTH: usize = 8;
/// Places that are looked at for one request.
const MAX_LOOKS: usize = 10_000;
/// Bytes that references may come to in one answer.
const MAX_EXPANDED: usize = 32 << 20;
/// Bytes of text with references that are taken apart for one answer.
const MAX_PARSED: usize = 32 << 20;
/// How deep defaults may stand in defaults.
const MAX_DEFAULTS: usize = 8;
/// Pieces of text and references that are looked at for one answer.
const MAX_PARTS: usize = 1_000_000;
/// Of them, how many before other requests have their turn.
const PARTS_AT_ONCE: usize = 256;

impl Caller {
    /// Reads a secret with the values of others in the place of its references.
    ///
    /// # Errors
    /// As [`Caller::secret_get`]; [`Code::Denied`] where one of the others may not be read; [`Code::Unresolved`] where
    /// one is not there, they lead in a circle or too far, or the value outgrows its bound.
    pub async fn secret_get_resolved(&self, scope: &Scope, name: &Name, version: Option<u64>) -> Result<Secret, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let mut record = self.record("secret.read", &logical);
        let mut resolver = Resolver::new(self, None);
        let result = match self.get(scope, name, &path, version, &mut record.version).await {
            Ok(Some(secret)) => resolver.secret(scope, secret).await,
            Ok(None) => Err(super::native::unreadable()),
            Err(error) => Err(error),
        };
        let result = resolver.told(&logical, result).await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// What a service sees, as [`Caller::secret_effective`], with the values of others in the place of references. A value
    /// that refers to what the caller may not read is hidden like that.
    ///
    /// # Errors
    /// As there; [`Code::Unresolved`] as [`Caller::secret_get_resolved`].
    pub async fn secret_effective_resolved(
        &self,
        scope: &Scope,
        only: Option<&BTreeSet<Name>>,
    ) -> Result<Effective, Error> {
        let logical = format!("{MOUNT}metadata/{}/", scope.path());
        let record = self.record("secret.effective", &logical);
        let mut read = Vec::new();
        let mut resolved: Vec<Resolved> = Vec::new();
        let mut result = self.effective(scope, only, &logical, &mut read).await;
        if let Ok(effective) = &mut result {
            let stored = std::mem::take(&mut effective.secrets);
            let mut resolver = Resolver::new(self, Some((scope, &stored)));
            let (mut failed, mut hidden) = (None, HashSet::new());
            for secret in &stored {
                match resolver.of_view(scope, secret).await {
                    Ok(value) => resolved.push(value),
                    Err(error) if error.code() == Code::Denied => {
                        resolved.push(Resolved::Hidden);
                        hidden.insert(format!("{MOUNT}data/{}/{}", secret.scope.path(), secret.name));
                        effective.hidden += 1;
                        resolver.refused = None;
                    }
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            // What does not leave was not read.
            read.retain(|(path, _)| !hidden.contains(path));
            let told = resolver.told(&logical, failed.map_or(Ok(()), Err)).await;
            match told {
                // What is text alone is moved: a view may be large, and nothing of it should be in memory twice.
                Ok(()) => effective.secrets = stored.into_iter().zip(resolved).filter_map(Resolved::put).collect(),
                Err(error) => {
                    read.clear();
                    result = Err(error);
                }
            }
        }
        self.log_values(scope, read).await?;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }
}

/// A secret that a reference leads to.
#[derive(Clone, Eq, Hash, PartialEq)]
enum Hop {
    /// What a service of this scope sees under this name.
    Seen(Scope, Name),
    /// What lies there, as this version.
    There(Scope, Name, Option<u64>),
}

/// A secret whose references are being followed.
struct Step {
    /// Where it lies: `acme:prod:api/NAME`.
    place: String,
    version: u64,
    /// Whose view its own references mean.
    view: Scope,
}

/// A value that was found.
struct Found {
    step: Step,
    value: Sensitive<String>,
}

/// What lies at a place.
enum Look {
    Foreign,
    Found(Found),
    Nothing,
}

type Value = Arc<Zeroizing<String>>;

/// What became of a secret of a view.
enum Resolved {
    /// It refers to what may not be read.
    Hidden,
    /// It is text alone.
    Literal,
    /// It came to this.
    Value(Value),
}

impl Resolved {
    /// The secret with its value, where it is shown.
    fn put((secret, resolved): (Secret, Self)) -> Option<Secret> {
        match resolved {
            Self::Hidden => None,
            Self::Literal => Some(secret),
            Self::Value(value) => Some(Secret { value: Sensitive::new(value.as_str().to_owned()), ..secret }),
        }
    }
}

/// Follows references for one request.
struct Resolver<'a> {
    caller: &'a Caller,
    /// What is known of a view, sorted by name: its values are read and recorded already.
    view: Option<(&'a Scope, &'a [Secret])>,
    /// What each came to; `None` where there is no such secret.
    known: HashMap<Hop, Option<Value>>,
    steps: Vec<Step>,
    /// What was read beside what was asked for: logical paths with versions.
    read: Vec<(String, u64)>,
    /// The path of what may not be read.
    refused: Option<String>,
    looks: usize,
    expanded: usize,
    parsed: usize,
    taken: usize,
}

impl<'a> Resolver<'a> {
    fn new(caller: &'a Caller, view: Option<(&'a Scope, &'a [Secret])>) -> Self {
        Self {
            caller,
            view,
            known: HashMap::new(),
            steps: Vec::new(),
            read: Vec::new(),
            refused: None,
            looks: 0,
            expanded: 0,
            parsed: 0,
            taken: 0,
        }
    }

    /// A secret with its references replaced, as the view of this scope has them.
    async fn secret(&mut self, view: &Scope, secret: Secret) -> Result<Secret, Error> {
        let resolved = self.of_view(view, &secret).await?;
        Resolved::put((secret, resolved)).ok_or_else(Error::not_found)
    }

    /// As [`Self::secret`], what it comes to alone.
    async fn of_view(&mut self, view: &Scope, secret: &Secret) -> Result<Resolved, Error> {
        if reference::is_literal(secret.value.expose()) {
            return Ok(Resolved::Literal);
        }
        self.steps.clear();
        let place = format!("{}/{}", secret.scope, secret.name);
        let step = Step { place, version: secret.version.version, view: view.clone() };
        self.follow(step, secret.value.expose()).await.map(Resolved::Value)
    }

    /// Records what was read besides, or what was not to be read, and gives the result back.
    async fn told<T>(&mut self, asked: &str, result: Result<T, Error>) -> Result<T, Error> {
        let record = |path: String| self.caller.record("secret.read", path).fact("referred_from", asked);
        match result {
            Ok(value) => {
                let reads: Vec<Record> = std::mem::take(&mut self.read)
                    .into_iter()
                    .map(|(path, version)| Record { version: Some(version), ..record(path) })
                    .collect();
                if !reads.is_empty() {
                    self.caller.active.log_reads(&reads).await?;
                }
                Ok(value)
            }
            Err(error) => match self.refused.take() {
                Some(path) => Err(self.caller.failed(record(path), error).await),
                None => Err(error),
            },
        }
    }

    /// The value of a secret with its own references replaced.
    async fn follow(&mut self, step: Step, text: &str) -> Result<Value, Error> {
        let again =
            |other: &Step| other.place == step.place && other.version == step.version && other.view == step.view;
        if self.steps.iter().any(again) {
            return Err(self.unresolved("its references lead in a circle", Some(&step.place)));
        }
        if self.steps.len() > MAX_DEPTH {
            let what = format!("more than {MAX_DEPTH} references lead from one to the next");
            return Err(self.unresolved(&what, Some(&step.place)));
        }
        let view = step.view.clone();
        self.steps.push(step);
        let mut out = Zeroizing::new(String::new());
        self.expand(text, &view, &mut out, 0).await?;
        self.steps.pop();
        Ok(Arc::new(out))
    }

    /// Adds what a text comes to, which stands in so many defaults.
    async fn expand(
        &mut self,
        text: &str,
        view: &Scope,
        out: &mut Zeroizing<String>,
        defaults: usize,
    ) -> Result<(), Error> {
        if reference::is_literal(text) {
            return self.push(text, out);
        }
        if defaults > MAX_DEFAULTS {
            return Err(self.unresolved(&format!("more than {MAX_DEFAULTS} defaults stand in one another"), None));
        }
        self.parsed += text.len();
        if self.parsed > MAX_PARSED {
            return Err(self.unresolved("more than 32 MiB of text with references stand behind this answer", None));
        }
        for part in reference::parts(text) {
            self.step().await?;
            let reference = match part {
                Part::Reference(reference) => reference,
                Part::Text(text) => {
                    self.push(text, out)?;
                    continue;
                }
            };
            let hop = match &reference.target {
                Target::Address(address) => Hop::There(address.scope.clone(), address.name.clone(), address.version),
                Target::Elsewhere(environment, name) => Hop::Seen(environment.of(view), name.clone()),
                Target::Here(name) => Hop::Seen(view.clone(), name.clone()),
            };
            let value = match self.known.get(&hop) {
                Some(value) => value.clone(),
                None => Box::pin(self.hop(hop, &reference)).await?,
            };
            match (value, reference.default) {
                (Some(value), None) => self.push(&value, out)?,
                (Some(value), Some(_)) if !value.is_empty() => self.push(&value, out)?,
                (Some(_) | None, Some(default)) => Box::pin(self.expand(default, view, out, defaults + 1)).await?,
                (None, None) => {
                    let what = format!("there is nothing for {} in it", reference.target);
                    return Err(self.unresolved(&what, None));
                }
            }
        }
        Ok(())
    }

    async fn hop(&mut self, hop: Hop, reference: &Reference<'_>) -> Result<Option<Value>, Error> {
        let found = match &hop {
            Hop::There(scope, name, version) => match self.look(scope, scope, name, *version).await? {
                Look::Found(found) => Some(found),
                Look::Foreign => {
                    // The target alone: a default is a part of the value.
                    let what = format!("{} in it is a KV entry of another shape", reference.target);
                    return Err(self.unresolved(&what, None));
                }
                Look::Nothing => None,
            },
            Hop::Seen(view, name) => match self.in_view(view, name) {
                Some(found) => Some(found),
                None => self.seen(view, name).await?,
            },
        };
        let value = match found {
            Some(Found { step, value }) => Some(self.follow(step, value.expose()).await?),
            None => None,
        };
        self.known.insert(hop, value.clone());
        Ok(value)
    }

    /// What a view has under a name, as far as it is known.
    fn in_view(&self, view: &Scope, name: &Name) -> Option<Found> {
        let (_, secrets) = self.view.filter(|(known, _)| *known == view)?;
        let at = secrets.binary_search_by(|secret| secret.name.cmp(name)).ok()?;
        let secret = secrets.get(at)?;
        let place = format!("{}/{name}", secret.scope);
        let step = Step { place, version: secret.version.version, view: view.clone() };
        Some(Found { step, value: secret.value.clone() })
    }

    /// The nearest secret of this name, as a service of this scope sees it: every place up to it must be readable.
    async fn seen(&mut self, view: &Scope, name: &Name) -> Result<Option<Found>, Error> {
        for origin in std::iter::successors(Some(view.clone()), Scope::parent) {
            match self.look(&origin, view, name, None).await? {
                Look::Found(found) => return Ok(Some(found)),
                // What has another shape stands before nothing, as in every view.
                Look::Foreign | Look::Nothing => {}
            }
        }
        Ok(None)
    }

    async fn look(&mut self, scope: &Scope, view: &Scope, name: &Name, version: Option<u64>) -> Result<Look, Error> {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return Err(self.unresolved(&format!("its references lead to more than {MAX_LOOKS} places"), None));
        }
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let mut number = None;
        match self.caller.get(scope, name, &path, version, &mut number).await {
            Ok(Some(secret)) => {
                self.read.push((logical, secret.version.version));
                let step =
                    Step { place: format!("{scope}/{name}"), version: secret.version.version, view: view.clone() };
                Ok(Look::Found(Found { step, value: secret.value }))
            }
            Ok(None) => Ok(Look::Foreign),
            Err(error) if error.code() == Code::NotFound => Ok(Look::Nothing),
            Err(error) if error.code() == Code::Denied => {
                self.refused = Some(logical);
                let from = self.steps.last().map(|step| step.place.as_str()).unwrap_or_default();
                let message = format!("{}; {from} refers to it", error.public());
                Err(Error::new(Code::Denied, message))
            }
            Err(error) => Err(error),
        }
    }

    /// Others have their turn now and then.
    async fn step(&mut self) -> Result<(), Error> {
        self.taken += 1;
        if self.taken > MAX_PARTS {
            return Err(self.unresolved("more than 1,000,000 references and pieces stand behind this answer", None));
        }
        if self.taken.is_multiple_of(PARTS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn push(&mut self, text: &str, out: &mut Zeroizing<String>) -> Result<(), Error> {
        if out.len() + text.len() > MAX_VALUE {
            return Err(self.unresolved("its references come to more than 1 MiB", None));
        }
        self.expanded += text.len();
        if self.expanded > MAX_EXPANDED {
            return Err(self.unresolved("the references of this answer come to more than 32 MiB", None));
        }
        out.push_str(text);
        Ok(())
    }

    /// The error, with the way that led there. It names places, never what lies there.
    fn unresolved(&self, what: &str, next: Option<&str>) -> Error {
        let way: Vec<&str> = self.steps.iter().map(|step| step.place.as_str()).chain(next).collect();
        Error::new(Code::Unresolved, format!("the value cannot be put together: {what} ({})", way.join(" -> ")))
    }
}
