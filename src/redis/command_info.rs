//! A command's description in the form of C: tables that end with zeros, and live as long as this value.

use std::ffi::CString;
use std::os::raw::c_char;
use std::ptr;

use redis_module::raw::{
    self, RedisModuleCommandArg, RedisModuleCommandHistoryEntry, RedisModuleCommandInfo, RedisModuleCommandInfoVersion,
    RedisModuleCommandKeySpec,
};

use super::command::{CommandSpec, KEY_POSITION, c_string};
use super::command_spec::{Access, Arg};
use super::signed;

/// What the structures look like that we were compiled with: servers newer than this header still understand them.
static VERSION: RedisModuleCommandInfoVersion = RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<RedisModuleCommandArg>(),
};

/// The C structure and everything it points to.
pub(super) struct Info {
    raw: RedisModuleCommandInfo,
    _memory: Memory,
}

/// What the pointers point into. Neither a `CString`'s text nor a `Vec`'s elements move when the owner does.
#[derive(Default)]
struct Memory {
    texts: Vec<CString>,
    arguments: Vec<Vec<RedisModuleCommandArg>>,
    keys: Vec<RedisModuleCommandKeySpec>,
}

impl Info {
    pub(super) fn new(spec: &CommandSpec) -> Self {
        let mut memory = Memory { keys: key_specs(spec.access), ..Memory::default() };
        let raw = RedisModuleCommandInfo {
            version: &raw const VERSION,
            summary: memory.text(spec.summary),
            complexity: memory.text(spec.complexity),
            since: memory.text(spec.since),
            history: ptr::null_mut(),
            tips: if spec.tips.is_empty() { ptr::null() } else { memory.text(spec.tips) },
            arity: spec.arity,
            key_specs: memory.keys.as_mut_ptr(),
            args: memory.arguments(spec.args),
        };
        Self { raw, _memory: memory }
    }

    pub(super) fn raw(&self) -> *const RedisModuleCommandInfo {
        &raw const self.raw
    }
}

impl Memory {
    fn text(&mut self, text: &str) -> *const c_char {
        let text = c_string(text);
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }

    fn optional_text(&mut self, text: Option<&str>) -> *const c_char {
        text.map_or(ptr::null(), |text| self.text(text))
    }

    /// A table of arguments, ended by one without a name; null for none.
    fn arguments(&mut self, arguments: &[Arg]) -> *mut RedisModuleCommandArg {
        if arguments.is_empty() {
            return ptr::null_mut();
        }
        let mut table: Vec<RedisModuleCommandArg> = arguments.iter().map(|argument| self.argument(argument)).collect();
        table.push(end_of_arguments());
        let pointer = table.as_mut_ptr();
        self.arguments.push(table);
        pointer
    }

    fn argument(&mut self, argument: &Arg) -> RedisModuleCommandArg {
        RedisModuleCommandArg {
            name: self.text(argument.name),
            type_: argument.kind,
            key_spec_index: argument.key_spec,
            token: self.optional_text(argument.token),
            summary: self.optional_text(argument.summary),
            flags: signed(argument.flags),
            subargs: self.arguments(argument.parts),
            ..end_of_arguments()
        }
    }
}

/// The table of key specifications, with its end.
fn key_specs(access: Access) -> Vec<RedisModuleCommandKeySpec> {
    if matches!(access, Access::None) { vec![end_of_keys()] } else { vec![key_spec(access), end_of_keys()] }
}

/// One key at its place, or as many as the number at that place says.
fn key_spec(access: Access) -> RedisModuleCommandKeySpec {
    let mut spec = end_of_keys();
    spec.flags = u64::from(access.bits());
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = KEY_POSITION;
    if matches!(access, Access::UpdateCounted) {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
        spec.fk.keynum = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_2 { keynumidx: 0, firstkey: 1, keystep: 1 };
    } else {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
        spec.fk.range.keystep = 1;
    }
    spec
}

/// The argument that ends a table: all zeros but the index, for which -1 means none.
fn end_of_arguments() -> RedisModuleCommandArg {
    RedisModuleCommandArg {
        name: ptr::null(),
        type_: raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        key_spec_index: -1,
        token: ptr::null(),
        summary: ptr::null(),
        since: ptr::null(),
        flags: 0,
        deprecated_since: ptr::null(),
        subargs: ptr::null_mut(),
        display_text: ptr::null(),
    }
}

/// The key specification that ends a table: all zeros.
fn end_of_keys() -> RedisModuleCommandKeySpec {
    RedisModuleCommandKeySpec {
        notes: ptr::null(),
        flags: 0,
        begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INVALID,
        bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
            keyword: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_2 { keyword: ptr::null(), startfrom: 0 },
        },
        find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_OMITTED,
        fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
            range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 { lastkey: 0, keystep: 0, limit: 0 },
        },
    }
}
