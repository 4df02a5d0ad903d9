//! What COMMAND DOCS tells of arguments, and what routing and permissions need to know of keys.

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
    pub(super) since: Option<&'static str>,
    pub(super) flags: u32,
    pub(super) parts: &'static [Arg],
}

impl Arg {
    const fn new(name: &'static str, kind: raw::RedisModuleCommandArgType) -> Self {
        Self {
            name,
            kind,
            key_spec: -1,
            token: None,
            summary: None,
            since: None,
            flags: 0,
            parts: &[],
        }
    }

    /// A key; `spec` is the index into [`CommandSpec::keys`].
    pub(crate) const fn key(name: &'static str, spec: i32) -> Self {
        let mut arg = Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY);
        arg.key_spec = spec;
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

    /// A number with a fraction.
    pub(crate) const fn double(name: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE)
    }

    /// A glob.
    pub(crate) const fn pattern(name: &'static str) -> Self {
        Self::new(name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PATTERN)
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

    /// It may be left out.
    pub(crate) const fn optional(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        self
    }

    /// It may be repeated, its word not.
    pub(crate) const fn multiple(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        self
    }

    /// It may be repeated, each time with its word.
    pub(crate) const fn multiple_token(mut self) -> Self {
        self.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE | raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN;
        self
    }

    /// One line on what it is.
    pub(crate) const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = Some(summary);
        self
    }

    /// The version of the module that brought it.
    pub(crate) const fn since(mut self, since: &'static str) -> Self {
        self.since = Some(since);
        self
    }
}

/// Where keys are among the arguments, and what is done to them: routing and key permissions follow from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySpec {
    pub(super) flags: u32,
    pub(super) begin: Begin,
    pub(super) find: Find,
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    Index(i32),
    Keyword(&'static str, i32),
}

/// How keys are found from there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Find {
    /// To the `last`-th after the first (negative: from the end), every `step`-th.
    Range { last: i32, step: i32 },
    /// As many as the argument at the begin says, after it.
    Number,
}

/// What a command does to a key. The server takes one of these only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// Reads its data.
    Read,
    /// Adds to it.
    Insert,
    /// Changes it, and returns data of it.
    Update,
    /// Takes from it.
    Delete,
    /// Changes and reads it (claims and the like): read and write permission.
    ReadWrite,
    /// Reads its metadata only.
    Inspect,
}

impl KeySpec {
    /// One key, argument `index` (1 is the first after the name).
    pub(crate) const fn at(index: i32, access: Access) -> Self {
        Self {
            flags: bits(access),
            begin: Begin::Index(index),
            find: Find::Range { last: 0, step: 1 },
        }
    }

    /// `numkeys key …`, where `numkeys` is argument `index`.
    pub(crate) const fn numbered(index: i32, access: Access) -> Self {
        Self {
            flags: bits(access),
            begin: Begin::Index(index),
            find: Find::Number,
        }
    }

    /// The keys from argument `index` to the `last`-th after it; negative counts from the end, -1 being the last argument.
    pub(crate) const fn range(index: i32, last: i32, step: i32, access: Access) -> Self {
        Self {
            flags: bits(access),
            begin: Begin::Index(index),
            find: Find::Range { last, step },
        }
    }

    /// The key after `keyword`, searched from argument `from`.
    pub(crate) const fn after(keyword: &'static str, from: i32, access: Access) -> Self {
        Self {
            flags: bits(access),
            begin: Begin::Keyword(keyword, from),
            find: Find::Range { last: 0, step: 1 },
        }
    }

    /// First key, last key and step as `RM_CreateCommand` wants them; zeros where only the full form can say it.
    pub(super) fn legacy(self) -> (c_int, c_int, c_int) {
        match (self.begin, self.find) {
            (Begin::Index(first), Find::Range { last, step }) if last >= 0 => (first, first + last, step),
            (Begin::Index(first), Find::Range { last, step }) => (first, last, step),
            _ => (0, 0, 0),
        }
    }
}

const fn bits(access: Access) -> u32 {
    match access {
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        Access::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
        Access::Update | Access::ReadWrite => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        Access::Delete => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_DELETE,
        Access::Inspect => raw::REDISMODULE_CMD_KEY_RO,
    }
}
