//! Section `[backup]`: backups that are made by themselves.

use std::{path::PathBuf, time::Duration};

use coffer_core::{BackupSchedule, BackupTime, Keep};
use serde::Deserialize;

use super::ConfigError;

/// The section's keys, each absent until set. There is no secret among them: a recipient is a public key.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BackupOverrides {
    /// The folder that they go to.
    pub dir: Option<PathBuf>,
    /// To whom they are encrypted, `age1…`.
    pub recipient: Option<String>,
    /// One is due so many seconds after the last …
    pub every_seconds: Option<u64>,
    /// … or at this time of the day, UTC.
    pub daily_at: Option<String>,
    /// The newest so many are kept.
    pub keep_count: Option<u32>,
    /// They are kept for so many days.
    pub keep_days: Option<u32>,
    /// Of the newest so many the object keys are kept.
    pub keep_object_keys_count: Option<u32>,
    /// Object keys are kept for so many days.
    pub keep_object_keys_days: Option<u32>,
}

impl BackupOverrides {
    /// These, and what is not set here out of the file. When one is due is one thing, in two keys.
    fn over(self, file: Self) -> Self {
        let (every_seconds, daily_at) = match (self.every_seconds, self.daily_at) {
            (None, None) => (file.every_seconds, file.daily_at),
            set => set,
        };
        Self {
            dir: self.dir.or(file.dir),
            recipient: self.recipient.or(file.recipient),
            every_seconds,
            daily_at,
            keep_count: self.keep_count.or(file.keep_count),
            keep_days: self.keep_days.or(file.keep_days),
            keep_object_keys_count: self.keep_object_keys_count.or(file.keep_object_keys_count),
            keep_object_keys_days: self.keep_object_keys_days.or(file.keep_object_keys_days),
        }
    }
}

/// The schedule, where any of its keys is set.
///
/// # Errors
/// Where a value is missing or outside its range, or two keys exclude each other.
pub(super) fn resolve(
    flags: BackupOverrides,
    file: Option<BackupOverrides>,
) -> Result<Option<BackupSchedule>, ConfigError> {
    if file.is_none() && flags == BackupOverrides::default() {
        return Ok(None);
    }
    let file = flags.over(file.unwrap_or_default());
    let refuse = |key, message: String| Err(ConfigError::Value { key, message });
    let Some(dir) = file.dir.filter(|dir| dir.is_absolute()) else {
        return refuse("backup.dir", "must be an absolute path".to_owned());
    };
    let Some(recipient) = file.recipient else {
        return refuse("backup.recipient", "must be set: to whom they are encrypted, age1…".to_owned());
    };
    if let Err(message) = BackupSchedule::check_recipient(&recipient) {
        return refuse("backup.recipient", message);
    }
    let when = match (file.every_seconds, file.daily_at.as_deref()) {
        (Some(seconds @ MIN_EVERY..=MAX_EVERY), None) => BackupTime::Every(Duration::from_secs(seconds)),
        (Some(_), None) => {
            return refuse("backup.every_seconds", "must be 60, a minute, to 31536000, a year".to_owned());
        }
        (None, Some(text)) => match minute_of(text) {
            Some(minute) => BackupTime::Daily { minute },
            None => return refuse("backup.daily_at", "must be a time of the day, UTC, like \"02:30\"".to_owned()),
        },
        (None, None) => return refuse("backup.every_seconds", "set every_seconds or daily_at".to_owned()),
        (Some(_), Some(_)) => return refuse("backup.every_seconds", "set either every_seconds or daily_at".to_owned()),
    };
    for (key, bound) in [
        ("backup.keep_count", file.keep_count),
        ("backup.keep_days", file.keep_days),
        ("backup.keep_object_keys_count", file.keep_object_keys_count),
        ("backup.keep_object_keys_days", file.keep_object_keys_days),
    ] {
        if bound == Some(0) {
            return refuse(key, "must be at least 1; leave it out to keep them for ever".to_owned());
        }
    }
    let keep =
        |count, days: Option<u32>| Keep { count, age: days.map(|days| Duration::from_secs(u64::from(days) * DAY)) };
    Ok(Some(BackupSchedule {
        dir,
        recipient,
        when,
        keep: keep(file.keep_count, file.keep_days),
        keep_object_keys: keep(file.keep_object_keys_count, file.keep_object_keys_days),
    }))
}

/// The minute of the day in a text like `02:30`.
fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (u16, u16) =
        if two(hours) && two(minutes) { (hours.parse().ok()?, minutes.parse().ok()?) } else { return None };
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

const DAY: u64 = 86_400;
const MIN_EVERY: u64 = 60;
const MAX_EVERY: u64 = 365 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Option<BackupSchedule>, String> {
        let base = "dir = \"/b\"\nrecipient = \"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"\n";
        let file = toml::from_str(&format!("{base}{text}")).map_err(|error| error.to_string())?;
        resolve(BackupOverrides::default(), Some(file)).map_err(|error| error.to_string())
    }

    #[test]
    fn schedule_is_read_with_its_retention() {
        let schedule = resolved("daily_at = \"02:30\"\nkeep_count = 3\nkeep_object_keys_days = 2\n").unwrap().unwrap();
        assert_eq!(schedule.when, BackupTime::Daily { minute: 150 });
        assert_eq!(schedule.keep, Keep { count: Some(3), age: None });
        assert_eq!(schedule.keep_object_keys.age, Some(Duration::from_secs(2 * DAY)));
        let every = resolved("every_seconds = 3600\n").unwrap().unwrap();
        assert_eq!((every.when, every.keep), (BackupTime::Every(Duration::from_secs(3600)), Keep::default()));
        assert!(resolve(BackupOverrides::default(), None).unwrap().is_none());
    }

    #[test]
    fn what_makes_no_schedule_is_refused_by_its_key() {
        for (text, named) in [
            ("", "every_seconds or daily_at"),
            ("every_seconds = 60\ndaily_at = \"02:30\"", "either"),
            ("every_seconds = 59", "backup.every_seconds"),
            ("daily_at = \"24:00\"", "backup.daily_at"),
            ("daily_at = \"2:30\"", "backup.daily_at"),
            ("daily_at = \"02:60\"", "backup.daily_at"),
            ("every_seconds = 60\nkeep_count = 0", "backup.keep_count"),
            ("every_seconds = 60\npassphrase = \"x\"", "unknown field"),
        ] {
            let refused = resolved(text).unwrap_err();
            assert!(refused.contains(named), "{text}: {refused}");
        }
        for (dir, recipient, named) in [
            (Some("b"), Some("age1x"), "backup.dir"),
            (None, Some("age1x"), "backup.dir"),
            (Some("/b"), Some("age1x"), "backup.recipient"),
            (Some("/b"), None, "backup.recipient"),
        ] {
            let file = BackupOverrides {
                dir: dir.map(PathBuf::from),
                recipient: recipient.map(str::to_owned),
                every_seconds: Some(60),
                ..BackupOverrides::default()
            };
            assert!(resolve(file.clone(), None).unwrap_err().to_string().contains(named));
            assert!(resolve(BackupOverrides::default(), Some(file)).unwrap_err().to_string().contains(named));
        }
    }

    #[test]
    fn flags_stand_before_the_file_and_a_time_of_day_before_its_interval() {
        let file = "dir = \"/b\"\nrecipient = \"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"\n\
                    every_seconds = 60\nkeep_count = 3\nkeep_days = 4\n";
        let flags = BackupOverrides {
            dir: Some("/c".into()),
            daily_at: Some("00:01".to_owned()),
            keep_count: Some(9),
            ..BackupOverrides::default()
        };
        let schedule = resolve(flags, Some(toml::from_str(file).unwrap())).unwrap().unwrap();
        assert_eq!((schedule.dir, schedule.when), ("/c".into(), BackupTime::Daily { minute: 1 }));
        assert_eq!(schedule.keep, Keep { count: Some(9), age: Some(Duration::from_secs(4 * DAY)) });
    }
}
