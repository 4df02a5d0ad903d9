//! A small RESP2/RESP3 client that keeps every reply as it came.

use super::{Value, command_line, eventually::PATIENCE};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// How many of those bytes have been read.
    taken: usize,
}

impl Client {
    /// Connects to `port` on this machine; panics if nobody listens.
    #[track_caller]
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("a listening server")
    }

    pub(crate) fn try_connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new(), taken: 0 })
    }

    /// Sends one line, split as redis-cli does, and waits for its reply.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Value {
        self.send(line);
        match self.try_read(*PATIENCE).expect("an open connection") {
            Some(reply) => reply,
            None => panic!("no reply within {:?} to {line}", *PATIENCE),
        }
    }

    /// Runs a line on a server that may die meanwhile: an error if it does, or says nothing for five seconds.
    pub(crate) fn try_run(&mut self, line: &str) -> io::Result<Value> {
        self.stream.write_all(&encode(&command_line::split(line)))?;
        self.try_read(*PATIENCE)?.ok_or_else(|| ErrorKind::TimedOut.into())
    }

    /// Runs many lines in pipelines and gives their replies.
    #[track_caller]
    pub(crate) fn run_each<L: AsRef<str>>(&mut self, lines: &[L]) -> Vec<Value> {
        let mut replies = Vec::with_capacity(lines.len());
        for lines in lines.chunks(200) {
            let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
            self.send_all(&lines);
            replies.extend(lines.iter().map(|_| self.read()));
        }
        replies
    }

    /// Runs a command given as arguments of any bytes.
    #[track_caller]
    pub(crate) fn cmd(&mut self, arguments: &[&[u8]]) -> Value {
        self.send_cmd(arguments);
        self.read()
    }

    /// Sends one line and does not wait.
    #[track_caller]
    pub(crate) fn send(&mut self, line: &str) {
        self.send_all(&[line]);
    }

    /// Sends many lines in one packet (a pipeline) and does not wait.
    #[track_caller]
    pub(crate) fn send_all(&mut self, lines: &[&str]) {
        let packet: Vec<u8> = lines.iter().flat_map(|line| encode(&command_line::split(line))).collect();
        self.send_raw(&packet);
    }

    /// Sends bytes as they are: RESP made elsewhere.
    #[track_caller]
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a connection");
    }

    /// Sends a command given as arguments and does not wait.
    #[track_caller]
    pub(crate) fn send_cmd(&mut self, arguments: &[&[u8]]) {
        self.send_raw(&encode(arguments));
    }

    /// Sends a command to a server that may have closed the connection.
    pub(crate) fn try_send(&mut self, arguments: &[&[u8]]) -> io::Result<()> {
        self.stream.write_all(&encode(arguments))
    }

    /// The next reply; panics if there is none within five seconds.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        match self.try_read(*PATIENCE).expect("an open connection") {
            Some(reply) => reply,
            None => panic!("no reply within {:?}", *PATIENCE),
        }
    }

    /// The next reply, or None if there is none within `ms`; panics if the connection was closed.
    #[track_caller]
    pub(crate) fn read_within(&mut self, ms: u64) -> Option<Value> {
        self.try_read(Duration::from_millis(ms)).expect("an open connection")
    }

    /// The next reply, None at the end of `patience`, an error if the connection was closed.
    pub(crate) fn try_read(&mut self, patience: Duration) -> io::Result<Option<Value>> {
        let until = Instant::now() + patience;
        let mut may_be_whole = true;
        loop {
            if may_be_whole && let Some((value, length)) = parse(&self.received[self.taken..]) {
                self.taken += length;
                return Ok(Some(value));
            }
            self.received.drain(..self.taken);
            self.taken = 0;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut packet = vec![0; 65_536];
            match self.stream.read(&mut packet) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let fresh = &packet[..length];
                    // A line of megabytes, as MONITOR gives, is not to be searched from its beginning with each packet.
                    may_be_whole = self.received.first() != Some(&b'+') || fresh.contains(&b'\n');
                    self.received.extend_from_slice(fresh);
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Switches this connection to RESP3.
    #[track_caller]
    pub(crate) fn hello3(&mut self) {
        let reply = self.run("HELLO 3");
        assert!(matches!(reply, Value::Map(_)), "no RESP3: {reply:?}");
    }

    /// Whether MOVE leaves the connection in its database. Some versions of Valkey do not while a module listens to events of keys
    /// (mended by its pull request 4024): a MOVE then reaches replicas and AOF as if it had been said in the other database.
    #[track_caller]
    pub(crate) fn moves_well(&mut self) -> bool {
        let info = self.run("INFO server").text();
        !["8.1.", "9.0.", "9.1.0\r"].iter().any(|version| info.contains(&format!("valkey_version:{version}")))
    }

    /// The server's number of this connection.
    #[track_caller]
    pub(crate) fn id(&mut self) -> i64 {
        self.run("CLIENT ID").int()
    }
}

fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first whole reply in `bytes` and its length, or None if it has not arrived in full.
fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(1..line_end)?).into_owned();
    let start = line_end + 2;
    let length = || head.parse::<i64>().expect("a length");
    let value = match bytes[0] {
        b'+' => Value::Simple(head),
        b'-' => Value::Error(head),
        b':' => Value::Int(length()),
        b'_' => Value::Null,
        b'#' => Value::Bool(head == "t"),
        b',' => Value::Double(head),
        b'(' => Value::BigNumber(head),
        b'$' | b'=' | b'!' => {
            let Ok(size) = usize::try_from(length()) else {
                return Some((Value::NullBulk, start));
            };
            let end = start + size + 2;
            bytes.get(..end)?;
            return Some((blob(bytes[0], &bytes[start..end - 2]), end));
        }
        b'*' | b'~' | b'>' | b'%' | b'|' => return aggregate(bytes, &head, start),
        other => panic!("a reply of unknown type {:?}", char::from(other)),
    };
    Some((value, start))
}

fn blob(kind: u8, data: &[u8]) -> Value {
    match kind {
        b'=' => Value::Verbatim(String::from_utf8_lossy(data.get(4..).unwrap_or(data)).into_owned()),
        b'!' => Value::Error(String::from_utf8_lossy(data).into_owned()),
        _ => Value::Bulk(data.to_vec()),
    }
}

fn aggregate(bytes: &[u8], head: &str, start: usize) -> Option<(Value, usize)> {
    let Ok(count) = head.parse::<usize>() else {
        return Some((Value::NullArray, start));
    };
    let pairs = matches!(bytes[0], b'%' | b'|');
    let mut items = Vec::new();
    let mut at = start;
    for _ in 0..if pairs { count * 2 } else { count } {
        let (item, length) = parse(&bytes[at..])?;
        items.push(item);
        at += length;
    }
    let value = match bytes[0] {
        b'%' => Value::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
        b'~' => Value::Set(items),
        b'>' => Value::Push(items),
        b'|' => {
            let (value, length) = parse(&bytes[at..])?;
            return Some((value, at + length));
        }
        _ => Value::Array(items),
    };
    Some((value, at))
}

#[cfg(test)]
mod tests {
    use super::{Client, parse};
    use crate::support::{Server, Value, array, bulk, int, nil, nil_array, ok};

    /// The nils, simple and bulk strings, maps and cut replies are told apart.
    #[test]
    fn replies_are_kept_as_they_came() {
        let whole = b"*4\r\n$-1\r\n*-1\r\n+OK\r\n$2\r\nOK\r\n";
        let value = array([nil(), nil_array(), ok(), bulk("OK")]);
        assert_eq!(parse(whole), Some((value, whole.len())));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None);
        }
        let map = b"%1\r\n+k\r\n#t\r\n:1\r\n";
        let value = Value::Map(vec![(Value::Simple("k".into()), Value::Bool(true))]);
        assert_eq!(parse(map), Some((value, map.len() - 4)));
    }

    /// The client speaks to a real server in both protocols, pipelined and blocked.
    #[test]
    fn speaks_to_a_plain_server() {
        let server = Server::builder().without_module().start();
        let mut client = server.client();
        assert_eq!(client.run(r#"SET k "a \x00b""#), ok());
        assert_eq!(client.cmd(&[b"GET", b"k"]), bulk(b"a \0b"));
        assert_eq!(client.run("GET none"), nil());
        client.send_all(&["INCR n", "INCR n"]);
        assert_eq!((client.read(), client.read()), (int(1), int(2)));
        let mut blocked: Client = server.client();
        blocked.send("BLPOP list 0");
        server.wait_for_blocked(1);
        assert_eq!(blocked.read_within(5), None);
        client.run("RPUSH list x");
        assert_eq!(blocked.read(), array([bulk("list"), bulk("x")]));
        client.hello3();
        assert_eq!(client.run("GET none"), Value::Null);
    }
}
