//! The payload of DUMP, taken apart and put together again with a good checksum: how bytes of any kind get past RESTORE's own check.

/// A byte for the type, and the module's id with its encoding version, in nine.
const HEAD_BYTES: usize = 10;
/// The version of the RDB format, in two bytes, and the checksum, in eight.
const FOOT_BYTES: usize = 10;
/// Begins a string that a module saved.
const STRING: u8 = 5;
/// Ends the module's value.
const END: u8 = 0;

/// A DUMP of a queue. The server must run with `rdbcompression no`, or the strings are compressed.
#[derive(Clone)]
pub(crate) struct Dump {
    head: Vec<u8>,
    /// The strings that the module saved.
    pub(crate) strings: Vec<Vec<u8>>,
    version: [u8; 2],
}

impl Dump {
    #[track_caller]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (body, foot) = bytes.split_at(bytes.len() - FOOT_BYTES);
        let (head, mut rest) = body.split_at(HEAD_BYTES);
        let mut strings = Vec::new();
        while rest[0] == STRING {
            let (start, len) = match rest[1] >> 6 {
                0 => (2, usize::from(rest[1] & 0x3f)),
                1 => (3, usize::from(rest[1] & 0x3f) << 8 | usize::from(rest[2])),
                _ => (6, u32::from_be_bytes(rest[2..6].try_into().expect("four bytes")) as usize),
            };
            strings.push(rest[start..start + len].to_vec());
            rest = &rest[start + len..];
        }
        assert_eq!(rest, [END], "a module's value of strings");
        Self { head: head.to_vec(), strings, version: [foot[0], foot[1]] }
    }

    /// What RESTORE takes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.sealed(self.body())
    }

    /// The value as DUMP and an RDB write it.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = self.head.clone();
        for string in &self.strings {
            body.extend([STRING, 0x80]);
            body.extend(u32::try_from(string.len()).expect("a short string").to_be_bytes());
            body.extend(string);
        }
        body.push(END);
        body
    }

    /// `body` with the version and the checksum that RESTORE wants.
    pub(crate) fn sealed(&self, mut body: Vec<u8>) -> Vec<u8> {
        body.extend(self.version);
        let checksum = crc64(&body);
        body.extend(checksum.to_le_bytes());
        body
    }
}

/// CRC-64 with the polynomial that Redis takes, reflected, from 0 and without a final xor.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9;
    let step = |crc: u64| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL.reverse_bits() } else { 0 };
    bytes.iter().fold(0, |crc, &byte| (0..8).fold(crc ^ u64::from(byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::{Dump, crc64};
    use crate::support::{Server, ok};

    /// The check value of this CRC; and a dump taken apart is the same when put together.
    #[test]
    fn a_dump_is_taken_apart_and_put_together() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let server = Server::builder().config("rdbcompression", "no").start();
        server.run_all(&["TASK.PUSH jobs hello ID a", "TASK.PUSH jobs x ID b"]);
        let dump = Dump::of(&server.dump("jobs"));
        assert_eq!(dump.strings.len(), 2);
        assert_eq!(server.cmd(&[b"RESTORE", b"copy", b"0", &dump.bytes()]), ok());
        assert!(server.dump("copy") == server.dump("jobs"));
    }
}
