//! Renders a reply as redis-cli prints it on a terminal.

use super::Value;
use std::fmt::Write;

/// The text redis-cli shows for `value`, without the last line break.
pub(crate) fn render(value: &Value) -> String {
    nested(value, "")
}

fn nested(value: &Value, prefix: &str) -> String {
    match value {
        Value::Simple(text) | Value::Verbatim(text) => text.clone(),
        Value::Error(message) => format!("(error) {message}"),
        Value::Int(n) => format!("(integer) {n}"),
        Value::Bulk(bytes) => quoted(bytes),
        Value::NullBulk | Value::NullArray | Value::Null => "(nil)".to_owned(),
        Value::Double(text) => format!("(double) {text}"),
        Value::Bool(flag) => format!("({flag})"),
        Value::BigNumber(digits) => digits.clone(),
        Value::Array(items) => list(items, ')', "(empty array)", prefix),
        Value::Push(items) => list(items, ')', "(empty push)", prefix),
        Value::Set(items) => list(items, '~', "(empty set)", prefix),
        Value::Map(pairs) => lines(pairs.len(), '#', "(empty hash)", prefix, |index, inner| {
            let (key, value) = &pairs[index];
            format!("{} => {}", nested(key, inner), nested(value, inner))
        }),
    }
}

fn list(items: &[Value], mark: char, empty: &str, prefix: &str) -> String {
    lines(items.len(), mark, empty, prefix, |index, inner| nested(&items[index], inner))
}

fn lines(count: usize, mark: char, empty: &str, prefix: &str, line: impl Fn(usize, &str) -> String) -> String {
    if count == 0 {
        return empty.to_owned();
    }
    let width = count.to_string().len();
    let inner = format!("{prefix}{}", " ".repeat(width + 2));
    let mut out = String::new();
    for index in 0..count {
        if index > 0 {
            out.push('\n');
            out.push_str(prefix);
        }
        let number = index + 1;
        let _ = write!(out, "{number:>width$}{mark} {}", line(index, &inner));
    }
    out
}

/// `bytes` in quotes, escaped as the server's `sdscatrepr` does.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{Value, render};
    use crate::support::{array, bulk, int, nil, simple};

    /// Nested arrays are numbered and indented as redis-cli does it.
    #[test]
    fn arrays_are_numbered_and_nested_ones_indented() {
        let inner = array([bulk("a\"\n\x01"), nil()]);
        let mut items = vec![inner, simple("OK"), array([])];
        items.extend((0..7).map(int));
        let shown = render(&array(items));
        let start = " 1) 1) \"a\\\"\\n\\x01\"\n    2) (nil)\n 2) OK\n 3) (empty array)\n 4) (integer) 0\n";
        assert!(shown.starts_with(start), "{shown}");
        assert!(shown.ends_with("\n10) (integer) 6"));
    }

    /// RESP3 maps show as `1# key => value`.
    #[test]
    fn maps_show_arrows() {
        let map = Value::Map(vec![(bulk("k"), int(1)), (bulk("list"), array([bulk("a"), bulk("b")]))]);
        assert_eq!(render(&map), "1# \"k\" => (integer) 1\n2# \"list\" => 1) \"a\"\n   2) \"b\"");
    }
}
