//! Which native secrets hold a value, for who may read them.

use coffer_api::{
    Name, Scope, Sensitive,
    secrets::{Identified, ValueMatch},
};
use serde_json::{Map, json};

use super::{KvPath, entry::Data, native::MOUNT, value};
use crate::{
    Caller, Error,
    caller::Done,
    mount::MountTune,
    policy::{self, Operation, Parameters},
    record::Record,
};

/// Values that are asked about together.
const MAX_VALUES: usize = 1000;
/// Entries that are looked at for one value.
const MAX_ENTRIES: usize = 200;

/// Whether values are searched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValueSearch {
    /// From now on, and for what is there already once it is indexed.
    On,
    /// No more; what is known of values is deleted.
    Off,
}

/// What policies see of the switch.
struct SwitchParameters(ValueSearch);

impl Parameters for SwitchParameters {
    fn load(&self) -> policy::Loaded {
        let mut all = Map::new();
        all.insert("options".to_owned(), json!({ value::OPTION: self.0.option() }));
        Ok(Some(all))
    }
}

impl ValueSearch {
    fn option(self) -> &'static str {
        match self {
            Self::On => "true",
            Self::Off => "",
        }
    }
}

impl Caller {
    /// Which native secrets' current versions hold each of the values. What the caller may not read is not there, and of what
    /// is told there is a record each, as of a read. Values of less than 8 bytes are in no index.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] for more than 1,000 values.
    pub async fn secret_identify(&self, values: &[Sensitive<String>]) -> Result<Identified, Error> {
        let record = self.record("secret.identify", format!("{MOUNT}data/")).fact("values", values.len().to_string());
        let mut told = Vec::new();
        let result = self.identify(values, &mut told).await;
        self.active.log_reads(&told).await?;
        self.recorded(record.fact("matches", told.len().to_string()), async { result.map(Done::Unlogged) }).await
    }

    async fn identify(&self, values: &[Sensitive<String>], told: &mut Vec<Record>) -> Result<Identified, Error> {
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(Error::invalid(format!("1 to {MAX_VALUES} values are asked about together")));
        }
        let mount = self.native_mount()?;
        let searched = self.active.value_keys.of(mount.id).filter(|_| mount.is_searched_by_value());
        let mut identified = Identified { matches: Vec::new(), index: mount.value_index(searched.as_deref()) };
        let Some(key) = searched else { return Ok(identified) };
        for (index, value) in (0_u32..).zip(values) {
            let value = value.expose();
            let Some(rows) = key.rows_of(mount.id, value) else { continue };
            for path in self.active.names(&rows, "", MAX_ENTRIES).await?.names {
                let logical = format!("{MOUNT}data/{path}");
                // Nothing is done for who may not read it.
                if self.authorise(&logical, Operation::Read, &()).is_err() {
                    continue;
                }
                let Some((scope, name)) = native_name(&path) else { continue };
                let Some(loaded) = self.active.kv_load(&mount, KvPath::parse(&path)?).await? else { continue };
                if !loaded.opened.is_live(self.active.clock.now()) || !key.is_value(&loaded.opened.data(), value) {
                    continue;
                }
                let Data::Plain(json) = loaded.opened.data() else { continue };
                let version = loaded.head.current;
                let hash = self.active.value_hash(json)?;
                let record = self.record("secret.identify", logical);
                told.push(Record { version: Some(version), value: Some(hash), ..record });
                identified.matches.push(ValueMatch { index, scope, name, version });
            }
        }
        Ok(identified)
    }

    /// Switches the search by value of native secrets on or off: the option `value_search` of the mount `secret/`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/mounts/secret/tune`; [`coffer_api::Code::NotFound`] where no
    /// KV v2 mount is there.
    pub async fn value_search_set(&self, search: ValueSearch) -> Result<(), Error> {
        let options = [(value::OPTION.to_owned(), search.option().to_owned())].into();
        let tune = MountTune { options: Some(options), ..MountTune::default() };
        let parameters = SwitchParameters(search);
        if self.authorise(TUNE, Operation::Update, &parameters).is_ok()
            && let Err(error) = self.native_mount()
        {
            return Err(self.failed(self.record("mount.tune", TUNE), error).await);
        }
        self.mount_tune(TUNE, MOUNT, tune, &parameters).await?;
        // Writes that come after the answer are followed; what was there before is indexed in the background.
        if let Some(mount) = self.active.mounts.at(MOUNT) {
            value::settle(&self.active, &mount).await?;
        }
        Ok(())
    }
}

/// Where mounts' options are changed.
const TUNE: &str = "sys/mounts/secret/tune";

fn native_name(path: &str) -> Option<(Scope, Name)> {
    let (scope, name) = path.rsplit_once('/')?;
    Some((Scope::from_path(scope).ok()?, name.parse().ok()?))
}
