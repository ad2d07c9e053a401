//! Random work on an engine and on a plain map: both must agree on every outcome and every page.

use std::collections::BTreeMap;

use coffer_storage::{Change, Error, Expect, Revision, Store};

use crate::backend::{Backend, commit, key, limit, prefix, sealed};

/// What must be stored: value and revision by key.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Revision)>;

pub(crate) async fn random_batches_and_scans_agree_with_a_model(backend: Backend) {
    let store = backend.open().await;
    let mut model = Model::new();
    // The same in every run, so that a failure can be repeated.
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut last = Revision(0);
    let (mut committed, mut refused) = (0, 0);
    for step in 0..400 {
        let (changes, holds) = batch(&mut random, &model);
        let next = apply(&model, &changes);
        match commit(&*store, changes).await {
            Ok(made) => {
                assert!(holds, "step {step} had to be refused");
                assert!(made > last);
                last = made;
                model = next;
                for (_, revision) in model.values_mut().filter(|(_, revision)| *revision == PENDING) {
                    *revision = made;
                }
                committed += 1;
            }
            Err(Error::Conflict) => {
                assert!(!holds, "step {step} had to succeed");
                refused += 1;
            }
            Err(other) => panic!("step {step}: {other:?}"),
        }
        check_page(&*store, &model, &mut random).await;
    }
    assert!(committed > 100 && refused > 50, "{committed} committed, {refused} refused");
}

/// A batch over distinct keys, and whether all its expectations hold.
fn batch(random: &mut Random, model: &Model) -> (Vec<Change>, bool) {
    let mut keys: Vec<Vec<u8>> = (0..=random.below(4)).map(|_| random.key()).collect();
    keys.sort();
    keys.dedup();
    let mut all_hold = true;
    let changes = keys.into_iter().map(|name| {
        let stored = model.get(&name).map(|(_, revision)| *revision);
        let right = stored.map_or(Expect::Absent, Expect::Revision);
        let expect = match random.below(8) {
            0 => Expect::Revision(Revision(random.below(500))),
            1 => Expect::Absent,
            _ => right,
        };
        let (key, unconditional) = (key(name), random.below(3) == 0);
        let action = random.below(4);
        all_hold &= expect == right || (unconditional && action != 0);
        let optional = (!unconditional).then_some(expect);
        match action {
            0 => Change::Check { key, expect },
            1 => Change::Delete { key, expect: optional },
            _ => Change::Put { key, value: sealed(vec![7; random.value_length()]), expect: optional },
        }
    });
    (changes.collect(), all_hold)
}

fn apply(model: &Model, changes: &[Change]) -> Model {
    let mut next = model.clone();
    for change in changes {
        match change {
            Change::Check { .. } => {}
            Change::Delete { key, .. } => drop(next.remove(key.as_bytes())),
            Change::Put { key, value, .. } => {
                next.insert(key.as_bytes().to_vec(), (value.as_ref().to_vec(), PENDING));
            }
        }
    }
    next
}

async fn check_page(store: &dyn Store, model: &Model, random: &mut Random) {
    let mut start = random.key();
    start.truncate(usize::try_from(random.below(3)).unwrap());
    let after = (random.below(2) == 0).then(|| random.key());
    let size = usize::try_from(1 + random.below(12)).unwrap();
    let matching: Vec<_> = model
        .iter()
        .filter(|(name, _)| name.starts_with(&start) && after.as_ref().is_none_or(|after| *name > after))
        .collect();
    let after = after.map(key);
    let page = store.scan(&prefix(&start), after.as_ref(), limit(size)).await.unwrap();
    let found: Vec<_> =
        page.items.iter().map(|(key, entry)| (key.as_bytes(), entry.value.as_ref(), entry.revision)).collect();
    let wanted: Vec<_> = matching
        .iter()
        .take(size)
        .map(|(name, (value, revision))| (name.as_slice(), value.as_slice(), *revision))
        .collect();
    assert!(found == wanted, "prefix {start:?} after {after:?} limit {size}");
    assert_eq!(page.more, matching.len() > size);
    let name = random.key();
    let entry = store.get(&key(&name)).await.unwrap().map(|entry| (entry.value.to_vec(), entry.revision));
    assert_eq!(entry, model.get(&name).cloned());
}

struct Random(u64);

impl Random {
    /// Below `bound`, by xorshift.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// One of a few keys, of bytes at which orders and encodings go wrong.
    fn key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 6] = [0x00, 0x01, b'a', 0x7f, 0x80, 0xff];
        (0..=self.below(3)).map(|_| BYTES[usize::try_from(self.below(6)).unwrap()]).collect()
    }

    fn value_length(&mut self) -> usize {
        usize::try_from(match self.below(10) {
            0 => 0,
            1 => 10_000,
            _ => self.below(900),
        })
        .unwrap()
    }
}

/// Stands for the revision of the batch in the making.
const PENDING: Revision = Revision(u64::MAX);
