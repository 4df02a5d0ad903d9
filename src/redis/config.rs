//! Settings: `CONFIG SET task.name value`, `task.name value` in redis.conf, `loadmodule redis_task.so name value`.

use std::ffi::c_void;
use std::os::raw::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use redis_module::raw;

use super::command::c_string;
use super::config_callbacks::{get_number, get_switch, get_words, set_number, set_switch, set_words};
use super::context::Context;
use super::error::Error;
use super::string::Argv;
use super::text::Text;
use super::{OK, api};

/// One setting, of a table that is a `static`. Its value is in a static of its own, which readers load (relaxed will do).
pub(crate) struct Setting {
    name: &'static str,
    pub(super) kind: Kind,
    flags: u32,
    changed: Option<fn()>,
}

/// What a setting is, and where its value is kept.
pub(super) enum Kind {
    Number {
        cell: &'static AtomicI64,
        default: i64,
        min: i64,
        max: i64,
    },
    Switch {
        cell: &'static AtomicBool,
        default: bool,
    },
    Words {
        cell: &'static Text,
        default: &'static str,
    },
}

impl Setting {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            flags: 0,
            changed: None,
        }
    }

    /// A whole number within `min..=max`. `name` is without the module's, of letters, digits, `-` and `_`.
    pub(crate) const fn integer(name: &'static str, cell: &'static AtomicI64, default: i64, min: i64, max: i64) -> Self {
        Self::new(name, Kind::Number { cell, default, min, max })
    }

    /// A number of bytes, which may be written `64mb`.
    pub(crate) const fn memory(name: &'static str, cell: &'static AtomicI64, default: i64, min: i64, max: i64) -> Self {
        let mut setting = Self::integer(name, cell, default, min, max);
        setting.flags = raw::REDISMODULE_CONFIG_MEMORY;
        setting
    }

    /// `yes` or `no`.
    pub(crate) const fn boolean(name: &'static str, cell: &'static AtomicBool, default: bool) -> Self {
        Self::new(name, Kind::Switch { cell, default })
    }

    /// Any text.
    pub(crate) const fn text(name: &'static str, cell: &'static Text, default: &'static str) -> Self {
        Self::new(name, Kind::Words { cell, default })
    }

    /// It can be set at start only.
    pub(crate) const fn immutable(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CONFIG_IMMUTABLE;
        self
    }

    /// What runs after the value was set, also while loading.
    pub(crate) const fn on_change(mut self, changed: fn()) -> Self {
        self.changed = Some(changed);
        self
    }

    pub(super) fn has_changed(&self) {
        if let Some(changed) = self.changed {
            changed();
        }
    }

    /// Sets the value from a module argument; the error says what it may be.
    fn parse(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Number { cell, min, max, .. } => {
                let is_memory = self.flags & raw::REDISMODULE_CONFIG_MEMORY != 0;
                let number = if is_memory { parse_memory(text) } else { text.parse().ok() };
                let number = number
                    .filter(|number| (min..=max).contains(number))
                    .ok_or_else(|| format!("{} must be an integer from {min} to {max}", self.name))?;
                cell.store(number, Ordering::Relaxed);
            }
            Kind::Switch { cell, .. } => {
                let value = match text.to_ascii_lowercase().as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(format!("{} must be yes or no", self.name)),
                };
                cell.store(value, Ordering::Relaxed);
            }
            Kind::Words { cell, .. } => cell.set(text.as_bytes()),
        }
        self.has_changed();
        Ok(())
    }

    pub(super) fn register(&'static self, context: &Context) -> Result<(), Error> {
        let name = c_string(self.name);
        let private = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the context is live and loading; the name is copied; the private data is `self`, which is static and only read.
        let status = unsafe {
            match self.kind {
                Kind::Number { default, min, max, .. } => api!(RedisModule_RegisterNumericConfig(
                    context.raw(),
                    name.as_ptr(),
                    default,
                    self.flags,
                    min,
                    max,
                    Some(get_number),
                    Some(set_number),
                    None,
                    private
                )),
                Kind::Switch { default, .. } => api!(RedisModule_RegisterBoolConfig(
                    context.raw(),
                    name.as_ptr(),
                    c_int::from(default),
                    self.flags,
                    Some(get_switch),
                    Some(set_switch),
                    None,
                    private
                )),
                Kind::Words { default, .. } => api!(RedisModule_RegisterStringConfig(
                    context.raw(),
                    name.as_ptr(),
                    c_string(default).as_ptr(),
                    self.flags,
                    Some(get_words),
                    Some(set_words),
                    None,
                    private
                )),
            }
        };
        if status == Some(OK) {
            return Ok(());
        }
        Err(Error::new("ERR", format!("the server refused the setting {}", self.name)))
    }
}

/// Sets what the server was told in redis.conf or MODULE LOADEX, and the rest to its default.
pub(super) fn load(context: &Context) -> Result<(), Error> {
    // SAFETY: the context is live and loading.
    if unsafe { api!(RedisModule_LoadConfigs(context.raw())) } == Some(OK) {
        return Ok(());
    }
    Err(Error::new(
        "ERR",
        "a setting in the configuration file is not valid, see above",
    ))
}

/// Sets what `loadmodule`'s arguments say: pairs of a setting, with or without the module's name before it, and a value.
pub(super) fn apply_arguments(module: &str, settings: &[Setting], arguments: Argv<'_>) -> Result<(), Error> {
    let text = |index| arguments.get(index).map(String::from_utf8_lossy);
    let mut index = 0;
    while let Some(given) = text(index) {
        let lower = given.to_ascii_lowercase();
        let name = lower
            .strip_prefix(module)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(&lower);
        let setting = settings
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
                Error::new(
                    "ERR",
                    format!("unknown module argument '{given}'; known are {}", known.join(", ")),
                )
            })?;
        let value = text(index + 1).ok_or_else(|| Error::new("ERR", format!("the module argument '{given}' has no value")))?;
        setting
            .parse(&value)
            .map_err(|rule| Error::new("ERR", format!("module argument '{given} {value}': {rule}")))?;
        index += 2;
    }
    Ok(())
}

/// A number of bytes as the server's own settings take it: `1k` is 1,000, `1kb` is 1,024.
fn parse_memory(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor = match lower.get(digits.len()..)? {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}
