//! A reply, exactly as the wire had it, and short ways to expect and to read one.

use super::render::render;

/// A RESP2 or RESP3 reply; nothing is folded together, so that a test can tell nil from nil.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    /// RESP2 `$-1`
    NullBulk,
    Array(Vec<Value>),
    /// RESP2 `*-1`
    NullArray,
    /// RESP3 `_`
    Null,
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(String),
    Bool(bool),
    Verbatim(String),
    BigNumber(String),
}

/// Shown as redis-cli would: what a failed assertion prints.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::NullArray => "null array ",
            Self::NullBulk => "null bulk ",
            Self::Simple(_) => "simple ",
            _ => "",
        };
        write!(f, "{kind}{}", render(self))
    }
}

/// Whether this reply reads `text`, as a simple or a bulk string.
impl PartialEq<str> for Value {
    fn eq(&self, text: &str) -> bool {
        match self {
            Self::Simple(s) => s == text,
            Self::Bulk(bytes) => bytes == text.as_bytes(),
            _ => false,
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, n: &i64) -> bool {
        matches!(self, Self::Int(i) if i == n)
    }
}

pub(crate) fn ok() -> Value {
    simple("OK")
}

pub(crate) fn simple(text: &str) -> Value {
    Value::Simple(text.to_owned())
}

pub(crate) fn bulk(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bulk(bytes.as_ref().to_vec())
}

pub(crate) fn int(n: i64) -> Value {
    Value::Int(n)
}

/// RESP2's null bulk string.
pub(crate) fn nil() -> Value {
    Value::NullBulk
}

/// RESP2's null array.
pub(crate) fn nil_array() -> Value {
    Value::NullArray
}

pub(crate) fn array(items: impl Into<Vec<Value>>) -> Value {
    Value::Array(items.into())
}

impl Value {
    /// Any of the three nils.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray | Self::Null)
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The text of a simple or bulk string, or an integer in digits.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Simple(s) | Self::Verbatim(s) | Self::Double(s) => s.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Int(n) => n.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The bytes of a bulk string.
    #[track_caller]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bulk(bytes) => bytes,
            other => panic!("no bulk string: {other:?}"),
        }
    }

    /// The number of an integer reply.
    #[track_caller]
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            other => panic!("no integer: {other:?}"),
        }
    }

    /// The message of an error reply, code first.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        match self {
            Self::Error(message) => message,
            other => panic!("no error: {other:?}"),
        }
    }

    /// The first word of an error reply.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        self.error().split(' ').next().unwrap_or_default()
    }

    /// The elements of an array, set or push.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("no array: {other:?}"),
        }
    }

    /// The element at `index` of an array.
    #[track_caller]
    pub(crate) fn at(&self, index: usize) -> &Value {
        match self.items().get(index) {
            Some(item) => item,
            None => panic!("no element {index}: {self:?}"),
        }
    }

    /// The pairs of a map, or of a flat array that stands for one in RESP2.
    #[track_caller]
    pub(crate) fn pairs(&self) -> Vec<(String, Value)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(k, v)| (k.text(), v.clone())).collect(),
            Self::Array(flat) => {
                assert!(flat.len() % 2 == 0, "no flat map: {self:?}");
                flat.chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect()
            }
            other => panic!("no map: {other:?}"),
        }
    }

    /// The value of `name` in a map or flat map; nil if absent.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Value {
        let found = self.pairs().into_iter().find(|(key, _)| key == name);
        found.map_or(Value::Null, |(_, value)| value)
    }
}
