//! What COMMAND DOCS tells of arguments, and what permissions need to know of the key.

use std::os::raw::c_int;

use redis_module::raw;

/// One argument of a command, or a group of them, for COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arg {
    pub(super) name: &'static str,
    pub(super) kind: raw::RedisModuleCommandArgType,
    pub(super) key_spec: c_int,
    pub(super) token: Option<&'static str>,
    pub(super) summary: Option<&'static str>,
    pub(super) flags: u32,
    pub(super) parts: &'static [Arg],
}

impl Arg {
    const fn new(name: &'static str, kind: raw::RedisModuleCommandArgType) -> Self {
        Self { name, kind, key_spec: -1, token: None, summary: None, flags: 0, parts: &[] }
    }

    /// The key.
    pub(crate) const fn key(name: &'static str) -> Self {
        let mut arg = Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY);
        arg.key_spec = 0;
        arg
    }

    /// Any bytes.
    pub(crate) const fn string(name: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING)
    }

    /// A whole number.
    pub(crate) const fn integer(name: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER)
    }

    /// An instant.
    pub(crate) const fn unix_time(name: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_UNIX_TIME)
    }

    /// A word that stands for itself.
    pub(crate) const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN).token(token)
    }

    /// One of its parts.
    pub(crate) const fn one_of(name: &'static str, parts: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF);
        arg.parts = parts;
        arg
    }

    /// All of its parts, in this order.
    pub(crate) const fn block(name: &'static str, parts: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK);
        arg.parts = parts;
        arg
    }

    /// The word that stands before it.
    pub(crate) const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// As one writes it: `[LEASE lease-ms]`, `id [id ...]`.
    pub(crate) fn syntax(&self) -> String {
        let parts = |between: &str| self.parts.iter().map(Self::syntax).collect::<Vec<_>>().join(between);
        let bare = match self.kind {
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN => String::new(),
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF => {
                let alternatives = parts(" | ");
                // Brackets around it say the same.
                if self.is(raw::REDISMODULE_CMD_ARG_OPTIONAL) && self.token.is_none() {
                    alternatives
                } else {
                    format!("({alternatives})")
                }
            }
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK => parts(" "),
            _ => self.name.to_owned(),
        };
        let mut text = if self.is(raw::REDISMODULE_CMD_ARG_MULTIPLE) { format!("{bare} [{bare} ...]") } else { bare };
        if let Some(token) = self.token {
            text = if text.is_empty() { token.to_owned() } else { format!("{token} {text}") };
        }
        if self.is(raw::REDISMODULE_CMD_ARG_OPTIONAL) { format!("[{text}]") } else { text }
    }

    /// The words of options among them and their parts. What stands after a word, as its value or as options of its own, has none.
    pub(crate) fn options(args: &'static [Self]) -> Vec<&'static str> {
        args.iter().flat_map(|arg| arg.token.map_or_else(|| Self::options(arg.parts), |token| vec![token])).collect()
    }

    const fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// It may be left out.
    pub(crate) const fn optional(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        self
    }

    /// It may be repeated.
    pub(crate) const fn multiple(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        self
    }

    /// One line on what it is.
    pub(crate) const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = Some(summary);
        self
    }
}

/// Tables of arguments put together; `N` is how many they are in all.
pub(crate) const fn join<const N: usize>(tables: &[&[Arg]]) -> [Arg; N] {
    let mut joined = [Arg::string(""); N];
    let (mut table, mut length) = (0, 0);
    #[allow(clippy::indexing_slicing, reason = "at compile time, where a wrong index is a compile error")]
    while table < tables.len() {
        let mut index = 0;
        while index < tables[table].len() {
            joined[length] = tables[table][index];
            (index, length) = (index + 1, length + 1);
        }
        table += 1;
    }
    assert!(length == N, "as many arguments as are announced");
    joined
}

/// What a command does to its key or keys. Routing and key permissions follow from it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// Names no key.
    None,
    /// Reads its data.
    Read,
    /// Adds to it.
    Insert,
    /// Changes it, and returns data of it: read and write permission.
    Update,
    /// The same of several keys, whose number is the first argument. Redis 7.0 finds them for a cluster only by the flag `getkeys-api`.
    UpdateCounted,
}

impl Access {
    /// Flags of a key specification.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            Self::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
            Self::Update | Self::UpdateCounted => {
                raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
            }
        }
    }
}
