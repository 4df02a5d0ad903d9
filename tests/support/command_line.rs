//! Splits a command line into arguments with the quoting of redis-cli.

/// The arguments of `line`: separated by blanks; `"…"` with `\xNN`, `\n`, `\r`, `\t`, `\a`, `\b` and
/// `\\`; `'…'` taken as it is but for `\'`.
#[track_caller]
pub(crate) fn split(line: &str) -> Vec<Vec<u8>> {
    let mut rest = line.as_bytes();
    let mut arguments = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None => return arguments,
            Some(b'"') => arguments.push(double_quoted(&mut rest, line)),
            Some(b'\'') => arguments.push(single_quoted(&mut rest, line)),
            Some(_) => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                arguments.push(word.to_vec());
                rest = after;
            }
        }
    }
}

#[track_caller]
fn double_quoted(rest: &mut &[u8], line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 1;
    loop {
        match (rest.get(at), rest.get(at + 1)) {
            (Some(b'"'), _) => break,
            (Some(b'\\'), Some(b'x')) => {
                let digits = rest.get(at + 2..at + 4).expect("two hex digits");
                let digits = std::str::from_utf8(digits).expect("hex digits");
                out.push(u8::from_str_radix(digits, 16).expect("hex digits"));
                at += 4;
            }
            (Some(b'\\'), Some(&escaped)) => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 0x07,
                    b'b' => 0x08,
                    other => other,
                });
                at += 2;
            }
            (Some(&byte), _) => {
                out.push(byte);
                at += 1;
            }
            (None, _) => panic!("unbalanced quotes: {line}"),
        }
    }
    *rest = &rest[at + 1..];
    out
}

#[track_caller]
fn single_quoted(rest: &mut &[u8], line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 1;
    loop {
        match (rest.get(at), rest.get(at + 1)) {
            (Some(b'\''), _) => break,
            (Some(b'\\'), Some(b'\'')) => {
                out.push(b'\'');
                at += 2;
            }
            (Some(&byte), _) => {
                out.push(byte);
                at += 1;
            }
            (None, _) => panic!("unbalanced quotes: {line}"),
        }
    }
    *rest = &rest[at + 1..];
    out
}

#[cfg(test)]
mod tests {
    use super::split;

    /// Words, quoted blanks, bytes and empty arguments come out as redis-cli would send them.
    #[test]
    fn splits_like_redis_cli() {
        assert_eq!(split(r#"SET  k "a b\x00\"\n" '' 'it\'s "x"' "#), [&b"SET"[..], b"k", b"a b\0\"\n", b"", b"it's \"x\""]);
    }
}
