//! The two protocols: RESP, and beanstalkd's lines.

use crate::scenario::{Argument, Command, Piece, Step, Variable};

/// The variables of one task.
pub(crate) type Slot = Vec<Vec<u8>>;

fn value(slot: &Slot, variable: Variable) -> &[u8] {
    let bytes = &slot[variable.index];
    &bytes[..bytes.len().min(variable.len_max)]
}

fn piece<'a>(piece: &'a Piece, slot: &'a Slot) -> &'a [u8] {
    match piece {
        Piece::Literal(bytes) => bytes,
        Piece::Variable(variable) => value(slot, *variable),
    }
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn put_header(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    put_number(out, number as u64);
    out.extend_from_slice(b"\r\n");
}

/// Appends a command as the slot `me` says it.
pub(crate) fn encode(command: &Command, slots: &[Slot], me: usize, is_line: bool, out: &mut Vec<u8>) {
    if is_line {
        return encode_line(command, &slots[me], out);
    }
    let len = |argument: &Argument| match argument {
        Argument::One(_) => 1,
        Argument::OfEverySlot(variables) => variables.len() * slots.len(),
    };
    put_header(out, b'*', command.arguments.iter().map(len).sum());
    for argument in &command.arguments {
        match argument {
            Argument::One(pieces) => {
                put_header(out, b'$', pieces.iter().map(|part| piece(part, &slots[me]).len()).sum());
                for part in pieces {
                    out.extend_from_slice(piece(part, &slots[me]));
                }
                out.extend_from_slice(b"\r\n");
            }
            Argument::OfEverySlot(variables) => {
                for (slot, variable) in slots.iter().flat_map(|slot| variables.iter().map(move |variable| (slot, variable))) {
                    let bytes = value(slot, *variable);
                    put_header(out, b'$', bytes.len());
                    out.extend_from_slice(bytes);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

/// Words on a line; the word `|` ends the line, and what follows is its body.
fn encode_line(command: &Command, slot: &Slot, out: &mut Vec<u8>) {
    for (index, argument) in command.arguments.iter().enumerate() {
        let Argument::One(pieces) = argument else { continue };
        if matches!(pieces.as_slice(), [Piece::Literal(bytes)] if bytes == b"|") {
            out.extend_from_slice(b"\r\n");
            continue;
        }
        if index > 0 && !out.ends_with(b"\n") {
            out.push(b' ');
        }
        for part in pieces {
            out.extend_from_slice(piece(part, slot));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Where the line that begins at `from` ends, if all of it is here, its line feed too.
fn end_of_line(bytes: &[u8], from: usize) -> Option<usize> {
    let end = from + bytes[from..].iter().position(|&byte| byte == b'\r')?;
    (end + 1 < bytes.len()).then_some(end)
}

pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

fn len(bytes: &[u8]) -> Option<usize> {
    number(bytes).and_then(|len| usize::try_from(len).ok())
}

/// The end of the reply that begins at `at`; `None` while it is not all here.
pub(crate) fn skip(bytes: &[u8], at: usize, is_line: bool) -> Option<usize> {
    let kind = *bytes.get(at)?;
    let end = end_of_line(bytes, at)?;
    let body = if is_line {
        let line = &bytes[at..end];
        let has_body = line.starts_with(b"RESERVED") || line.starts_with(b"OK ");
        has_body.then(|| line.rsplit(|&byte| byte == b' ').next().and_then(len)).flatten()
    } else if kind == b'*' {
        let mut next = end + 2;
        for _ in 0..len(&bytes[at + 1..end]).unwrap_or(0) {
            next = skip(bytes, next, false)?;
        }
        return Some(next);
    } else {
        (kind == b'$').then(|| len(&bytes[at + 1..end])).flatten()
    };
    let end = end + 2 + body.map_or(0, |len| len + 2);
    (end <= bytes.len()).then_some(end)
}

/// Appends the values at `path` of the whole reply that begins at `at`.
pub(crate) fn pick<'a>(bytes: &'a [u8], at: usize, is_line: bool, path: &[Step], out: &mut Vec<&'a [u8]>) {
    let Some(end) = end_of_line(bytes, at) else { return };
    if is_line {
        let word = if let [Step::Element(index)] = path { *index } else { 0 };
        out.extend(bytes[at..end].split(|&byte| byte == b' ').nth(word));
        return;
    }
    let header = &bytes[at + 1..end];
    match (bytes[at], path) {
        (b'$', []) => out.extend(len(header).map(|len| &bytes[end + 2..end + 2 + len])),
        (b'+' | b':', []) => out.push(header),
        (b'*', [step, rest @ ..]) => {
            let mut at = end + 2;
            for index in 0..len(header).unwrap_or(0) {
                if matches!(step, Step::Every) || matches!(step, Step::Element(wanted) if *wanted == index) {
                    pick(bytes, at, false, rest, out);
                }
                let Some(next) = skip(bytes, at, false) else { return };
                at = next;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"*2\r\n*2\r\n$2\r\nid\r\n:7\r\n*-1\r\n";

    #[test]
    fn a_reply_ends_where_it_ends_and_not_before_it_is_here() {
        assert_eq!(skip(REPLY, 0, false), Some(REPLY.len()));
        for cut in 0..REPLY.len() {
            assert_eq!(skip(&REPLY[..cut], 0, false), None, "cut at {cut}");
        }
        assert_eq!(skip(b"RESERVED 1 3\r\nabc\r\n", 0, true), Some(19));
        assert_eq!(skip(b"RESERVED 1 3\r\nabc", 0, true), None);
        assert_eq!(skip(b"$-1\r\n", 0, false), Some(5));
    }

    #[test]
    fn captures_follow_their_path() {
        let mut found = Vec::new();
        pick(REPLY, 0, false, &[Step::Element(0), Step::Every], &mut found);
        assert_eq!(found, [b"id".as_slice(), b"7"]);
        found.clear();
        pick(REPLY, 0, false, &[Step::Element(1), Step::Element(0)], &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn a_number_is_written_in_decimal() {
        let mut out = Vec::new();
        put_number(&mut out, 0);
        put_number(&mut out, u64::MAX);
        assert_eq!(out, b"018446744073709551615");
    }
}
