//! Settings: `CONFIG SET task.name value`, `task.name value` in redis.conf, `loadmodule redis_task.so name value`.

use std::ffi::c_void;
use std::os::raw::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use redis_module::raw;

use super::command::c_string;
use super::config_callbacks::{get_number, get_switch, set_number, set_switch};
use super::context::Context;
use super::error::Error;
use super::string::Argv;
use super::{OK, api};

/// One setting, of a table that is a `static`. Its value is in a static of its own, which readers load (relaxed will do).
pub(crate) struct Setting {
    name: &'static str,
    pub(super) kind: Kind,
    flags: u32,
}

/// What a setting is, and where its value is kept.
pub(super) enum Kind {
    Number { cell: &'static AtomicI64, default: i64, min: i64, max: i64 },
    Switch { cell: &'static AtomicBool, default: bool },
}

impl Setting {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, flags: 0 }
    }

    /// A whole number within `min..=max`. `name` is without the module's, of letters, digits, `-` and `_`.
    pub(crate) const fn integer(name: &'static str, cell: &'static AtomicI64, default: i64, min: i64, max: i64) -> Self {
        Self::new(name, Kind::Number { cell, default, min, max })
    }

    /// `yes` or `no`.
    pub(crate) const fn boolean(name: &'static str, cell: &'static AtomicBool, default: bool) -> Self {
        Self::new(name, Kind::Switch { cell, default })
    }

    /// It can be set at start only.
    pub(crate) const fn immutable(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CONFIG_IMMUTABLE;
        self
    }

    /// Sets the value from a module argument; the error says what it may be.
    fn parse(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Number { cell, min, max, .. } => {
                let number = text
                    .parse::<i64>()
                    .ok()
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
        }
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
    Err(Error::new("ERR", "a setting in the configuration file is not valid, see above"))
}

/// Sets what `loadmodule`'s arguments say: pairs of a setting, with or without the module's name before it, and a value.
pub(super) fn apply_arguments(module: &str, settings: &[Setting], arguments: Argv<'_>) -> Result<(), Error> {
    let text = |index| arguments.get(index).map(String::from_utf8_lossy);
    let mut index = 0;
    while let Some(given) = text(index) {
        let lower = given.to_ascii_lowercase();
        let name = lower.strip_prefix(module).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&lower);
        let setting = settings.iter().find(|setting| setting.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
            Error::new("ERR", format!("unknown module argument '{given}'; known are {}", known.join(", ")))
        })?;
        let value = text(index + 1).ok_or_else(|| Error::new("ERR", format!("the module argument '{given}' has no value")))?;
        setting.parse(&value).map_err(|rule| Error::new("ERR", format!("module argument '{given} {value}': {rule}")))?;
        index += 2;
    }
    Ok(())
}
