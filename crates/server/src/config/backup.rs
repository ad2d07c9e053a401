//! Section `[backup]`: backups that are made by themselves.

use std::{path::PathBuf, time::Duration};

use coffer_core::{BackupSchedule, BackupTime, Keep};
use serde::Deserialize;

use super::ConfigError;

/// The section's keys. There is no secret among them: a recipient is a public key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupFile {
    dir: PathBuf,
    recipient: String,
    every_seconds: Option<u64>,
    daily_at: Option<String>,
    keep_count: Option<u32>,
    keep_days: Option<u32>,
    keep_object_keys_count: Option<u32>,
    keep_object_keys_days: Option<u32>,
}

/// The schedule, where there is a section.
///
/// # Errors
/// Where a value is outside its range, or two keys exclude each other.
pub(super) fn resolve(file: Option<BackupFile>) -> Result<Option<BackupSchedule>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    let refuse = |key, message: String| Err(ConfigError::Value { key, message });
    if !file.dir.is_absolute() {
        return refuse("backup.dir", "must be an absolute path".to_owned());
    }
    if let Err(message) = BackupSchedule::check_recipient(&file.recipient) {
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
        (None, None) => return refuse("backup", "set every_seconds or daily_at".to_owned()),
        (Some(_), Some(_)) => return refuse("backup", "set either every_seconds or daily_at".to_owned()),
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
        dir: file.dir,
        recipient: file.recipient,
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
        resolve(Some(file)).map_err(|error| error.to_string())
    }

    #[test]
    fn schedule_is_read_with_its_retention() {
        let schedule = resolved("daily_at = \"02:30\"\nkeep_count = 3\nkeep_object_keys_days = 2\n").unwrap().unwrap();
        assert_eq!(schedule.when, BackupTime::Daily { minute: 150 });
        assert_eq!(schedule.keep, Keep { count: Some(3), age: None });
        assert_eq!(schedule.keep_object_keys.age, Some(Duration::from_secs(2 * DAY)));
        let every = resolved("every_seconds = 3600\n").unwrap().unwrap();
        assert_eq!((every.when, every.keep), (BackupTime::Every(Duration::from_secs(3600)), Keep::default()));
        assert!(resolve(None).unwrap().is_none());
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
        let file = |dir: &str, recipient: &str| BackupFile {
            dir: dir.into(),
            recipient: recipient.into(),
            every_seconds: Some(60),
            daily_at: None,
            keep_count: None,
            keep_days: None,
            keep_object_keys_count: None,
            keep_object_keys_days: None,
        };
        assert!(resolve(Some(file("b", "age1x"))).unwrap_err().to_string().contains("backup.dir"));
        assert!(resolve(Some(file("/b", "age1x"))).unwrap_err().to_string().contains("backup.recipient"));
    }
}
