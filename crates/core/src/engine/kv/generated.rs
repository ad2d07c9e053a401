//! Native secrets whose values the server makes, and makes anew.

use coffer_api::{
    Code, Name, Scope, Sensitive,
    generate::{self as api, Generated},
    secrets::SetOptions,
};

use super::{
    KvPath,
    data::{Loaded, Remembered, Write, write_operation},
    native::{MOUNT, SetParameters, foreign, native_json},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::Edit,
    generate::{Made, Recipe},
    mount::Mount,
    policy::Operation,
    record::Record,
};

/// What is to happen with a value that was made.
struct Making<'a> {
    mount: &'a Mount,
    path: KvPath<'a>,
    logical: &'a str,
    recipe: Recipe,
    options: SetOptions,
    record: Record,
    /// What it takes the place of, where that was looked at.
    seen: Option<Seen>,
}

/// Which version was in force when it was decided how its successor is made.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Seen {
    current: u64,
    /// When the secret came: numbers begin anew where it is removed with all its versions.
    created_ms: i64,
}

impl Seen {
    /// `None` where it is deleted or destroyed.
    fn of(loaded: &Loaded, now: i64) -> Option<Self> {
        let current = loaded.head.version(loaded.head.current).filter(|version| version.is_live(now))?;
        Some(Self { current: current.number, created_ms: loaded.head.created_ms })
    }
}

impl Caller {
    /// Makes a value and writes it as a new version; the secret remembers the recipe.
    ///
    /// # Errors
    /// As [`Caller::secret_set`]; [`Code::Invalid`] for a recipe that makes nothing.
    pub async fn secret_generate(
        &self,
        scope: &Scope,
        name: &Name,
        recipe: &api::Recipe,
        options: SetOptions,
    ) -> Result<Generated, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let record = self.record("secret.write", &logical);
        self.recorded(record.clone(), async {
            let mount = self.native_mount()?;
            let path = KvPath::parse(&path)?;
            let found = self.active.kv_load(&mount, path).await?;
            self.authorise_unmade(&logical, write_operation(found.as_ref()), &options)?;
            let recipe = Recipe::parse(recipe)?;
            let made = self.active.generate(&recipe).await?;
            self.put_made(Making { mount: &mount, path, logical: &logical, recipe, options, record, seen: None }, made)
                .await
        })
        .await
    }

    /// Makes a new value by a secret's own recipe, or by this one from now on, and writes it as a new version.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `secret/rotate/{path}` and `secret/data/{path}`; [`Code::NotFound`] where there is
    /// no such secret; [`Code::Conflict`] where it has no recipe and none is given, or its current version is gone.
    pub async fn secret_rotate(
        &self,
        scope: &Scope,
        name: &Name,
        recipe: Option<&api::Recipe>,
        options: SetOptions,
    ) -> Result<Generated, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let record = self.record("secret.rotate", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&format!("{MOUNT}rotate/{path}"), Operation::Update, &())?;
            self.authorise_unmade(&logical, Operation::Update, &options)?;
            let mount = self.native_mount()?;
            let kv = KvPath::parse(&path)?;
            let missing = || Error::new(Code::NotFound, format!("there is no secret {name} in {scope}"));
            let loaded = self.active.kv_load(&mount, kv).await?.ok_or_else(missing)?;
            self.refuse_foreign(&mount, kv, &loaded).await?;
            let Some(seen) = Seen::of(&loaded, self.active.clock.now()) else {
                let message = format!("the current version of {name} in {scope} is deleted or destroyed; set it anew");
                return Err(Error::new(Code::Conflict, message));
            };
            let recipe = match recipe {
                Some(recipe) => Recipe::parse(recipe)?,
                None => loaded.head.recipe.clone().ok_or_else(|| {
                    let message = format!("{name} in {scope} was not made by the server; say how to make its value");
                    Error::new(Code::Conflict, message)
                })?,
            };
            let made = self.active.generate(&recipe).await?;
            let seen = Some(seen);
            self.put_made(Making { mount: &mount, path: kv, logical: &logical, recipe, options, record, seen }, made)
                .await
        })
        .await
    }

    /// Whether the caller may write, before the work of making anything: with a value that no policy can name.
    fn authorise_unmade(&self, logical: &str, operation: Operation, options: &SetOptions) -> Result<(), Error> {
        let value = Sensitive::new(uuid::Uuid::new_v4().to_string());
        self.authorise(logical, operation, &SetParameters { value: &value, options }).map(drop)
    }

    async fn put_made(&self, making: Making<'_>, made: Made) -> Result<Done<Generated>, Error> {
        let Making { mount, path, logical, recipe, options, record, seen } = making;
        let Made { value, entropy_bits, public } = made;
        let guard = self.active.lock_in(mount, &[&path.row(mount)]).await?;
        let loaded = self.active.kv_load(mount, path).await?;
        let parameters = SetParameters { value: &value, options: &options };
        self.authorise(logical, write_operation(loaded.as_ref()), &parameters)?;
        if let Some(loaded) = &loaded
            && !self.is_native(mount, path, loaded).await?
        {
            return Err(foreign());
        }
        // Made for what was there: beside a deletion it would bring the secret back, beside another value take that away.
        if seen.is_some() && seen != loaded.as_ref().and_then(|loaded| Seen::of(loaded, self.active.clock.now())) {
            return Err(Error::new(Code::Conflict, "it was changed while its new value was made; try again"));
        }
        let record = record.fact("recipe", recipe.kind());
        let data = native_json(&value)?;
        let write =
            Write { data: &data, cas: options.cas, shred: options.shred, recipe: Remembered::Set(Some(recipe)) };
        let (head, logged) = self.kv_put(mount, path, loaded, write, Edit::under(guard), record).await?;
        let meta = head.version(head.current).copied().unwrap_or_default();
        Ok(Done::Logged(Generated { version: self.describe(&head, &meta), entropy_bits, public }, logged))
    }
}
