//! What the server calls to read and change a setting. `private` is always what [`Setting::register`] gave it.

use std::ffi::c_void;
use std::os::raw::{c_char, c_int, c_longlong};
use std::sync::atomic::Ordering;

use redis_module::raw::RedisModuleString;

use super::config::{Kind, Setting};
use super::guard::guard;
use super::{ERR, OK};

/// # Safety
/// `private` is what `register` gave.
unsafe fn setting(private: *mut c_void) -> Option<&'static Setting> {
    // SAFETY: it was made from a `&'static Setting`.
    unsafe { private.cast::<Setting>().as_ref() }
}

pub(super) unsafe extern "C" fn get_number(_: *const c_char, private: *mut c_void) -> c_longlong {
    guard(0, || {
        // SAFETY: see `setting`.
        match unsafe { setting(private) }.map(|setting| &setting.kind) {
            Some(Kind::Number { cell, .. }) => cell.load(Ordering::Relaxed),
            _ => 0,
        }
    })
}

pub(super) unsafe extern "C" fn set_number(
    _: *const c_char,
    value: c_longlong,
    private: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    guard(ERR, || {
        // SAFETY: see `setting`.
        let Some(setting) = (unsafe { setting(private) }) else {
            return ERR;
        };
        let Kind::Number { cell, .. } = setting.kind else {
            return ERR;
        };
        cell.store(value, Ordering::Relaxed);
        OK
    })
}

pub(super) unsafe extern "C" fn get_switch(_: *const c_char, private: *mut c_void) -> c_int {
    guard(0, || {
        // SAFETY: see `setting`.
        match unsafe { setting(private) }.map(|setting| &setting.kind) {
            Some(Kind::Switch { cell, .. }) => c_int::from(cell.load(Ordering::Relaxed)),
            _ => 0,
        }
    })
}

pub(super) unsafe extern "C" fn set_switch(
    _: *const c_char,
    value: c_int,
    private: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    guard(ERR, || {
        // SAFETY: see `setting`.
        let Some(setting) = (unsafe { setting(private) }) else {
            return ERR;
        };
        let Kind::Switch { cell, .. } = setting.kind else {
            return ERR;
        };
        cell.store(value != 0, Ordering::Relaxed);
        OK
    })
}
