//! Moving a mount to another path. Rows are keyed by the mount's id, so a move is one change of its row; policies go
//! on naming paths.

use std::collections::VecDeque;

use coffer_storage::Expect;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Mount,
    enable::{check_path, is_taken},
    provisional::{Standing, displace},
};
use crate::{
    Caller, Error,
    caller::Done,
    codec,
    commit::Edit,
    identity::parse_id,
    keys,
    policy::{Operation, Parameters},
};

/// Moves that are remembered, the newest.
const REMEMBERED: usize = 1000;

/// A move that was made.
#[derive(Clone, Debug)]
pub struct MountMove {
    /// Names it.
    pub id: Uuid,
    /// The path that was left.
    pub from: String,
    /// The path that was taken.
    pub to: String,
}

/// The latest moves, in memory alone: who asks for one asks soon. The log has them all.
#[derive(Default)]
pub(crate) struct Moves(Mutex<VecDeque<MountMove>>);

impl Moves {
    fn remember(&self, made: MountMove) {
        let mut moves = self.0.lock();
        if moves.len() >= REMEMBERED {
            moves.pop_front();
        }
        moves.push_back(made);
    }

    fn find(&self, id: Uuid) -> Option<MountMove> {
        self.0.lock().iter().find(|made| made.id == id).cloned()
    }
}

impl Caller {
    /// Moves a mount (`kv`, `auth/userpass`); a login method's tokens are void from then on. The id that names the
    /// move.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/remount`; [`coffer_api::Code::Invalid`] where there
    /// is nothing at `from`, it cannot move, or `to` is taken or unusable.
    pub async fn mount_move(&self, from: &str, to: &str, parameters: &dyn Parameters) -> Result<Uuid, Error> {
        let path = "sys/remount";
        let record = self.record("mount.move", path).fact("from", from).fact("to", to);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            if let Some((name, _)) = [("from", from), ("to", to)].into_iter().find(|(_, path)| *path != path.trim()) {
                return Err(Error::invalid(format!("'{name}' path cannot contain trailing whitespace")));
            }
            let (from, to) = (slashed(from), slashed(to));
            check_move(&from, &to)?;
            check_path(&to)?;
            let guard = self.active.locks.lock(&[keys::MOUNT]).await;
            let absent = || Error::invalid(format!("no matching mount at {from:?}"));
            let mount = self.active.mounts.at(&from);
            let gone = self.active.mounts.place_of_move(&from, &to)?;
            let mut mount = mount.ok_or_else(absent)?.as_ref().clone();
            mount.standing = Standing::Chosen;
            mount.path.clone_from(&to);
            mount.tenure = Uuid::new_v4();
            let made = MountMove { id: Uuid::new_v4(), from: from.clone(), to: to.clone() };
            let id = made.id;
            let mut edit = Edit::under(guard);
            edit.delete(Mount::row(&from), None);
            let record = displace(&gone, &to, &mut edit, record);
            let replaces = gone.iter().any(|gone| gone.path == to);
            edit.put(Mount::row(&to), codec::encode(&mount)?, (!replaces).then_some(Expect::Absent));
            edit.in_force(move |active| {
                active.mounts.rename(&from, mount);
                active.moves.remember(made);
            });
            Ok(Done::Logged(id, self.commit(edit, record).await?))
        })
        .await
    }

    /// One of the latest moves of this node's leadership.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/remount/status/{id}`; [`coffer_api::Code::NotFound`] for an
    /// unknown one.
    pub async fn mount_move_read(&self, id: &str) -> Result<MountMove, Error> {
        let path = format!("sys/remount/status/{id}");
        self.recorded(self.record("mount.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            let found = parse_id(id).and_then(|id| self.active.moves.find(id));
            found.map(Done::Unlogged).ok_or_else(Error::not_found)
        })
        .await
    }
}

fn slashed(path: &str) -> String {
    format!("{}/", path.trim_matches('/'))
}

/// What stays where it is, and where nothing comes.
fn check_move(from: &str, to: &str) -> Result<(), Error> {
    let stays = |path: &str| (is_taken(path) && !path.starts_with("auth/")) || path == "auth/token/";
    if stays(from) {
        return Err(Error::invalid(format!("cannot remount {from:?}")));
    }
    match (from.starts_with("auth/"), to.starts_with("auth/")) {
        (true, false) => Err(Error::invalid(format!("cannot remount auth mount to non-auth mount {to:?}"))),
        (true, true) if to == "auth/token/" => Err(Error::invalid(format!("cannot remount to destination {to:?}"))),
        (true, true) => Ok(()),
        (false, _) if is_taken(to) => Err(Error::invalid(format!("cannot remount to destination {to}"))),
        (false, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_places_are_neither_left_nor_taken() {
        for (from, to) in [("a/", "b/"), ("auth/a/", "auth/b/"), ("a/", "b/c/"), ("a/", "system/")] {
            assert!(check_move(from, to).is_ok(), "{from} {to}");
        }
        for (from, to) in [
            ("sys/", "a/"),
            ("cubbyhole/", "a/"),
            ("identity/", "a/"),
            ("auth/token/", "auth/a/"),
            ("a/", "sys/"),
            ("a/", "sys/x/"),
            ("a/", "auth/x/"),
            ("auth/a/", "b/"),
            ("auth/a/", "auth/token/"),
        ] {
            assert!(check_move(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn only_the_newest_moves_are_remembered() {
        let moves = Moves::default();
        let made: Vec<MountMove> = (0..=REMEMBERED)
            .map(|number| MountMove { id: Uuid::new_v4(), from: format!("{number}/"), to: "x/".to_owned() })
            .collect();
        made.iter().cloned().for_each(|made| moves.remember(made));
        assert!(moves.find(made[0].id).is_none());
        assert_eq!(moves.find(made[REMEMBERED].id).unwrap().from, format!("{REMEMBERED}/"));
    }
}
