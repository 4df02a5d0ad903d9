//! Commands with arguments of all kinds, from clients of all kinds: the server lives, and all who hold its data agree.

use crate::support::{Client, Dice, Server, Value, eventually, eventually_eq};
use std::{fs, io, time::Duration};

type Command = Vec<Vec<u8>>;

/// What may be refused, and as what.
const CODES: [&str; 14] = [
    "ERR",
    "WRONGTYPE",
    "NOTASK",
    "CANCELED",
    "STALE",
    "NOTCLAIMED",
    "DONE",
    "QUEUEFULL",
    "PAUSED",
    "EXECABORT",
    "NOSCRIPT",
    "OOM",
    "UNBLOCKED",
    "NOPERM",
];

/// Text that is at the edge of what something takes, or beyond it.
const ODD: [&str; 50] = [
    "",
    " ",
    "\0",
    "a\r\nb",
    "a b",
    "\u{2028}",
    "\u{e9}",
    "%s%n%s",
    "'",
    "\"",
    "ALL",
    "batch",
    "0",
    "-0",
    "-1",
    "+1",
    "007",
    "1.0",
    "1e3",
    " 1",
    "0x10",
    "255",
    "256",
    "65535",
    "65536",
    "10000",
    "10001",
    "4294967295",
    "4294967296",
    "315360000000",
    "315360000001",
    "281474976710655",
    "281474976710656",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "0-0",
    "0-1",
    "281474976710655-65535",
    "281474976710656-0",
    "s:0",
    "s:4294967295",
    "s:4294967296",
    "t:0:0:0:0:a",
    "t:18446744073709551615:18446744073709551615:4294967295:18446744073709551615:a",
    "t:::::",
    "COUNT",
    "JSON",
];

/// Options of CLAIM, and of what stands after NEXT, with the kind of their value.
const CLAIM_OPTIONS: [(&str, char); 5] = [("COUNT", 'c'), ("WORKER", 'i'), ("LEASE", 'm'), ("SESSION", ' '), ("BLOCK", 'm')];

/// Options of a push; the first four are not those of MPUSH.
const PUSH_OPTIONS: [(&str, char); 19] = [
    ("ID", 'i'),
    ("RENEW", ' '),
    ("NX", ' '),
    ("UNIQUE", 'u'),
    ("PRIORITY", 'c'),
    ("DELAY", 'm'),
    ("AT", 'm'),
    ("TTL", 'm'),
    ("ATTEMPTS", 'c'),
    ("BACKOFF", 'm'),
    ("LEASE", 'm'),
    ("TIMEOUT", 'm'),
    ("RETAIN", 'm'),
    ("RETAINFAILED", 'm'),
    ("BATCH", 's'),
    ("GROUP", 'i'),
    ("AFTER", 'a'),
    ("AFTERBATCH", 'b'),
    ("ONFAIL", 'f'),
];

/// Options of SET; most of what is pushed and claimed is to get through.
const SET_OPTIONS: [(&str, char); 14] = [
    ("LEASE", 'm'),
    ("ATTEMPTS", 'c'),
    ("BACKOFF", 'm'),
    ("TIMEOUT", 'm'),
    ("RETAIN", 'm'),
    ("RETAINFAILED", 'm'),
    ("RETAINMAX", 'm'),
    ("FAILEDMAX", 'm'),
    ("MAXLEN", 'm'),
    ("RATE", 'r'),
    ("CONCURRENCY", 'm'),
    ("GROUPCONCURRENCY", 'm'),
    ("EVENTS", 'm'),
    ("PAUSED", 'p'),
];

/// Options of SCHEDULE that are not those of a push.
const SCHEDULE_OPTIONS: [(&str, char); 2] = [("MISFIRE", 'f'), ("OVERLAP", 'f')];

/// Makes commands.
struct Grammar {
    dice: Dice,
    /// Whether a command may wait for ever.
    may_wait: bool,
    /// Whether a queue may be moved to another database.
    may_move: bool,
}

impl Grammar {
    fn odd(&mut self) -> Vec<u8> {
        match self.dice.roll(24) {
            0 => vec![b'x'; 255],
            1 => vec![b'x'; 256],
            2 => b"\xff\xfe\x80".to_vec(),
            3 => vec![b'y'; 65_536],
            4 => vec![b'y'; 65_537],
            5 => vec![b'z'; 300_000],
            6 => (0..9).map(|_| self.dice.byte()).collect(),
            _ => self.dice.pick(&ODD).into(),
        }
    }

    /// Mostly a queue.
    fn key(&mut self) -> Vec<u8> {
        match self.dice.roll(40) {
            0 => b"string".to_vec(),
            1 => b"list".to_vec(),
            2 => b"".to_vec(),
            3 => self.odd(),
            n => format!("jobs{}", n % 3).into(),
        }
    }

    /// Mostly one of few.
    fn id(&mut self) -> Vec<u8> {
        if self.dice.once_in(25) { self.odd() } else { self.dice.roll(50).to_string().into() }
    }

    /// Mostly a few milliseconds.
    fn ms(&mut self) -> Vec<u8> {
        if self.dice.once_in(20) { self.odd() } else { self.dice.roll(30).to_string().into() }
    }

    fn count(&mut self) -> Vec<u8> {
        if self.dice.once_in(20) { self.odd() } else { (1 + self.dice.roll(5)).to_string().into() }
    }

    fn data(&mut self) -> Vec<u8> {
        if self.dice.once_in(20) { self.odd() } else { format!("data{}", self.dice.roll(9)).into() }
    }

    /// Mostly one of few batches.
    fn batch(&mut self) -> Vec<u8> {
        if self.dice.once_in(25) { self.odd() } else { format!("b{}", self.dice.roll(4)).into() }
    }

    /// Options of which each has a value of its kind: `m` milliseconds, `c` a count, `d` data, `i` an id, `b` a batch, `s` one and
    /// perhaps its seal, `u` a key and perhaps for how long and REPLACE, `a` ids and their count, `f` what to do at a failure or a slot, `r` a
    /// rate, `p` a pause, none.
    fn options(&mut self, known: &[(&str, char)]) -> Command {
        let mut out = Command::new();
        for _ in 0..self.dice.roll(4) {
            let (word, kind) = self.dice.pick(known);
            if word == "BLOCK" && !self.may_wait {
                continue;
            }
            out.push(if self.dice.once_in(3) { word.to_lowercase() } else { word.to_owned() }.into());
            match kind {
                'm' => out.push(self.ms()),
                'c' => out.push(self.count()),
                'd' => out.push(self.data()),
                'i' => out.push(self.id()),
                'b' => out.push(self.batch()),
                's' => {
                    out.push(self.batch());
                    if self.dice.once_in(6) {
                        out.push(b"SEAL".to_vec());
                    }
                }
                'u' => {
                    out.push(self.batch());
                    if self.dice.once_in(3) {
                        out.extend([b"FOR".to_vec(), self.ms()]);
                    }
                    if self.dice.once_in(2) {
                        out.push(b"REPLACE".to_vec());
                    }
                }
                'a' => {
                    let ids = self.many(Self::id);
                    out.push(self.count_of(ids.len()));
                    out.extend(ids);
                }
                'r' => out.extend([self.count(), self.ms()]),
                'p' => out.extend([self.dice.pick(&["no", "IN", "out", "all"]).into(), b"FOR".to_vec(), self.ms()]),
                'f' => out.push(if self.dice.once_in(20) {
                    self.odd()
                } else {
                    self.dice.pick(&["run", "FAIL", "skip", "ALL"]).into()
                }),
                _ => {}
            }
        }
        out
    }

    /// When a schedule's slots are: far apart, as the queues are to come to rest.
    fn recurrence(&mut self) -> Command {
        match self.dice.roll(4) {
            0 => vec![b"EVERY".to_vec(), b"315360000000".to_vec()],
            1 => vec![b"CRON".to_vec(), self.odd()],
            2 => vec![b"CRON".to_vec(), b"@yearly".to_vec(), b"TZ".to_vec(), self.odd()],
            _ => vec![b"cron".to_vec(), self.dice.pick(&["0 0 29 2 *", "0 0 30 2 *", "0 59 23 L FEB,DEC *"]).into()],
        }
    }

    /// Mostly the right one.
    fn count_of(&mut self, count: usize) -> Vec<u8> {
        if self.dice.once_in(9) { self.odd() } else { count.to_string().into() }
    }

    /// NEXT with options, or nothing.
    fn next(&mut self) -> Command {
        if self.dice.once_in(3) { [vec![b"NEXT".to_vec()], self.options(&CLAIM_OPTIONS)].concat() } else { Command::new() }
    }

    fn many(&mut self, mut one: impl FnMut(&mut Self) -> Vec<u8>) -> Command {
        let count = if self.dice.once_in(60) { 1_001 } else { 1 + self.dice.roll(4) };
        (0..count).map(|_| one(self)).collect()
    }

    /// One of the module's commands, sometimes with an argument too many, too few, or out of place.
    fn command(&mut self) -> Command {
        let (name, arguments) = self.sensible();
        let mut command = vec![format!("TASK.{name}").into_bytes()];
        command.extend(arguments);
        for _ in 0..=self.dice.roll(2) {
            let at = self.dice.index(command.len());
            match self.dice.roll(30) {
                0 if at > 0 => drop(command.remove(at)),
                1 if at > 0 => command.insert(at, command[at].clone()),
                2 if at > 0 => command[at] = self.odd(),
                3 => command.push(self.odd()),
                4 if at > 1 => command.swap(1, at),
                5 => command.truncate(1 + at),
                _ => {}
            }
        }
        command
    }

    fn sensible(&mut self) -> (&'static str, Command) {
        let key = self.key();
        let with = |rest: &[Command]| [&[vec![key.clone()]], rest].concat().concat();
        let attempt = ("ATTEMPT", 'c');
        match self.dice.roll(41) {
            0..=5 => {
                // A call may wait even if it does not say so.
                let name = if self.may_wait && self.dice.once_in(4) { "CALL" } else { "PUSH" };
                (name, with(&[vec![self.data()], self.options(&PUSH_OPTIONS)]))
            }
            6..=9 => ("CLAIM", with(&[self.options(&CLAIM_OPTIONS)])),
            10 => ("EXTEND", with(&[vec![self.id()], self.options(&[attempt, ("LEASE", 'm'), ("CHECKPOINT", 'd')])])),
            11 => {
                let pairs = self.many(Self::id).into_iter().flat_map(|id| [id, b"1".to_vec()]).collect::<Command>();
                let count = self.count_of(pairs.len() / 2);
                ("MEXTEND", with(&[vec![count], pairs, self.options(&[("LEASE", 'm')])]))
            }
            12 | 13 => {
                let options = self.options(&[attempt, ("RETAIN", 'm')]);
                ("COMPLETE", with(&[vec![self.id(), self.data()], options, self.next()]))
            }
            14 => {
                let options = self.options(&[attempt, ("DELAY", 'm'), ("DEAD", ' ')]);
                ("FAIL", with(&[vec![self.id(), self.data()], options, self.next()]))
            }
            15 => {
                let options = self.options(&[attempt, ("DELAY", 'm')]);
                ("RELEASE", with(&[vec![self.id()], options, self.next()]))
            }
            16 => ("RESULT", with(&[vec![self.id()], self.options(&[("BLOCK", 'm')])])),
            17 | 18 => {
                let all = match self.dice.roll(3) {
                    0 => vec![b"ALL".to_vec()],
                    1 => vec![b"BATCH".to_vec(), self.batch()],
                    _ => self.many(Self::id),
                };
                (self.dice.pick(&["CANCEL", "FORGET", "RETRY"]), with(&[all, self.options(&[("COUNT", 'c')])]))
            }
            19 if self.dice.once_in(2) => ("EXPLAIN", with(&[vec![self.id()]])),
            19 => ("GET", with(&[vec![self.id()], self.options(&[("JSON", ' ')])])),
            20 => ("INFO", with(&[self.options(&[("JSON", ' ')])])),
            21 | 22 => {
                let state = self.dice.pick(&super::STATES);
                let cursor = if self.dice.once_in(2) { b"0".to_vec() } else { self.odd() };
                ("LIST", with(&[vec![state.into(), cursor], self.options(&[("COUNT", 'c'), ("JSON", ' ')])]))
            }
            23 | 24 => {
                let ids = self.many(Self::id);
                let count = self.count_of(ids.len());
                ("GATHER", with(&[vec![count], ids, self.options(&[("BLOCK", 'm')])]))
            }
            25 => {
                let payloads = self.many(Self::data);
                let count = self.count_of(payloads.len());
                ("MPUSH", with(&[vec![count], payloads, self.options(&PUSH_OPTIONS[4..])]))
            }
            26 | 27 => {
                let ids = self.many(Self::id);
                let count = self.count_of(ids.len());
                let answers = ids.into_iter().flat_map(|id| [id, b"1".to_vec(), self.data()]).collect::<Command>();
                ("MCOMPLETE", with(&[vec![count], answers, self.options(&[("RETAIN", 'm')]), self.next()]))
            }
            28 | 29 => {
                let cursor = if self.dice.once_in(5) { self.odd() } else { b"0".to_vec() };
                ("COLLECT", with(&[vec![self.batch(), cursor], self.options(&[("COUNT", 'c'), ("BLOCK", 'm')])]))
            }
            30 => ("SEAL", with(&[vec![self.batch()]])),
            31 => ("BATCH", with(&[vec![self.batch()]])),
            32 => ("SET", with(&[self.options(&SET_OPTIONS)])),
            33 | 34 => {
                let options = self.options(&[PUSH_OPTIONS.as_slice(), &SCHEDULE_OPTIONS].concat());
                ("SCHEDULE", with(&[vec![self.id(), self.data()], self.recurrence(), options]))
            }
            35 => ("UNSCHEDULE", with(&[self.many(Self::id)])),
            36 if self.dice.once_in(2) => ("SCHEDULES", with(&[self.options(&[("JSON", ' ')])])),
            36 => {
                let cursor = match self.dice.roll(3) {
                    0 => self.odd(),
                    1 => b"0".to_vec(),
                    _ => [b"n:".to_vec(), self.id()].concat(),
                };
                ("SCHEDULES", with(&[vec![cursor], self.options(&[("COUNT", 'c'), ("JSON", ' ')])]))
            }
            37 | 38 => {
                let cursor = match self.dice.roll(5) {
                    0 => self.odd(),
                    1 | 2 => self.dice.roll(40).to_string().into(),
                    _ => self.dice.pick(&["0", "$"]).into(),
                };
                ("EVENTS", with(&[vec![cursor], self.options(&[("COUNT", 'c'), ("BLOCK", 'm')])]))
            }
            _ => (self.dice.pick(&["APPLY", "PROBE", "NONE"]), with(&[vec![self.data()]])),
        }
    }

    /// Anything else that happens to keys and to the server.
    fn other(&mut self) -> &'static str {
        let moved = if self.may_move { "MOVE jobs1 1" } else { "SWAPDB 0 1" };
        self.dice.pick(&[
            "RENAME jobs0 jobs1",
            "COPY jobs1 jobs2 REPLACE",
            "UNLINK jobs2",
            "DEL jobs0",
            "SWAPDB 0 1",
            moved,
            "PEXPIRE jobs2 20",
            "FLUSHALL ASYNC",
            "FLUSHDB",
            "SET jobs0 string",
            "RESTORE jobs1 0 x",
            "CONFIG SET task.lease 5 task.retain 0 task.timeout 3",
            "CONFIG SET task.lease 900000 task.retain -1 task.timeout 0",
            "CONFIG SET task.max-payload 70000",
            "CONFIG SET task.max-payload 536870912",
            "CLIENT PAUSE 10 WRITE",
            "CLIENT PAUSE 5",
            "WAIT 1 5",
        ])
    }
}

fn slices(command: &[Vec<u8>]) -> Vec<&[u8]> {
    command.iter().map(Vec::as_slice).collect()
}

/// For an error message: the command, long arguments shortened.
fn shown(command: &[Vec<u8>]) -> String {
    let shown = command.iter().map(|argument| argument[..argument.len().min(80)].escape_ascii().to_string());
    shown.take(30).collect::<Vec<_>>().join(" ")
}

/// Waits until the client has been answered all that it said: until its PING with this mark is.
fn answered(client: &mut Client, mark: &str) -> io::Result<()> {
    client.try_send(&[b"PING", mark.as_bytes()])?;
    loop {
        let reply = client.try_read(Duration::from_secs(30))?.unwrap_or_else(|| panic!("{mark} was not answered"));
        let is_pong = |value: &Value| matches!(value, Value::Bulk(bytes) if bytes == mark.as_bytes());
        if is_pong(&reply) || matches!(&reply, Value::Array(items) if items.len() == 2 && is_pong(&items[1])) {
            return Ok(());
        }
    }
}

/// The servers and the clients of a run.
struct Run {
    grammar: Grammar,
    master: Server,
    /// Says commands and reads each reply.
    plain: Client,
    /// Subscribed in RESP2 and in RESP3, a monitor, and one that wants no replies.
    listeners: Vec<Client>,
    /// Clients that may be waiting.
    waiting: Vec<Client>,
}

impl Run {
    fn new(dice: Dice, master: Server) -> Self {
        let library =
            "#!lua name=hostile\nredis.register_function('hostile', function(keys, argv) return redis.pcall(unpack(argv)) end)";
        assert_eq!(master.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]), "hostile");
        master.run_all(&["SET string x", "RPUSH list x"]);
        let listeners = (0..4).map(|kind| listener(&master, kind)).collect();
        let grammar = Grammar { dice, may_wait: false, may_move: master.client().moves_well() };
        Self { plain: master.client(), grammar, master, listeners, waiting: Vec::new() }
    }

    /// Says something, in one of the ways in which it can be said.
    fn step(&mut self) {
        match self.grammar.dice.roll(32) {
            0..=9 => self.say(),
            10..=15 => self.say_around_dumps(),
            16 | 17 => self.pipeline(),
            18..=20 => self.script(),
            21 | 22 => self.say_in_a_transaction(),
            23 | 24 => self.listen(),
            25..=27 => self.wait(),
            28 | 29 => self.wake(),
            _ => {
                let line = self.grammar.other();
                self.plain.run(line);
            }
        }
    }

    fn check(reply: &Value, command: &[Vec<u8>]) {
        if let Value::Error(message) = reply {
            let code = message.split(' ').next().unwrap_or_default();
            assert!(CODES.contains(&code), "{}: {message}", shown(command));
            assert!(message.len() < 600, "a long error: {message}");
            assert!(!message.contains("bug"), "{}: {message}", shown(command));
        }
    }

    fn say(&mut self) {
        let command = self.grammar.command();
        let reply = self.plain.cmd(&slices(&command));
        Self::check(&reply, &command);
    }

    /// What is refused has changed nothing.
    fn say_around_dumps(&mut self) {
        let command = self.grammar.command();
        let key = command.get(1).cloned().unwrap_or_default();
        let dump: [&[u8]; 2] = [b"DUMP", &key];
        self.plain.run("MULTI");
        for command in [&dump[..], &slices(&command), &dump] {
            self.plain.cmd(command);
        }
        match self.plain.run("EXEC") {
            Value::Array(replies) => {
                Self::check(&replies[1], &command);
                let is_same = replies[0] == replies[2];
                assert!(
                    is_same || !replies[1].is_error(),
                    "{} was refused and changed the queue: {:?}",
                    shown(&command),
                    replies[1]
                );
            }
            aborted => assert_eq!(aborted.code(), "EXECABORT", "{}", shown(&command)),
        }
    }

    fn pipeline(&mut self) {
        let commands: Vec<_> = (0..=self.grammar.dice.roll(8)).map(|_| self.grammar.command()).collect();
        for command in &commands {
            self.plain.send_cmd(&slices(command));
        }
        for command in &commands {
            Self::check(&self.plain.read(), command);
        }
    }

    fn script(&mut self) {
        // Within a script nobody waits.
        self.grammar.may_wait = true;
        let command = self.grammar.command();
        self.grammar.may_wait = false;
        let script = b"return redis.pcall(unpack(ARGV))";
        let raising = b"return redis.call(unpack(ARGV))";
        let head: [&[u8]; 3] = match self.grammar.dice.roll(4) {
            0 => [b"EVAL", script, b"0"],
            1 => [b"EVAL", raising, b"0"],
            2 => [b"EVAL_RO", script, b"0"],
            _ => [b"FCALL", b"hostile", b"0"],
        };
        let reply = self.plain.cmd(&[&head[..], &slices(&command)].concat());
        Self::check(&reply, &command);
    }

    fn say_in_a_transaction(&mut self) {
        self.grammar.may_wait = true;
        let commands: Vec<_> = (0..=self.grammar.dice.roll(6)).map(|_| self.grammar.command()).collect();
        self.grammar.may_wait = false;
        self.plain.run("MULTI");
        for command in &commands {
            self.plain.cmd(&slices(command));
            if self.grammar.dice.roll(4) == 0 {
                let line = self.grammar.other();
                self.plain.run(line);
            }
        }
        let end = self.grammar.dice.pick(&["EXEC", "EXEC", "EXEC", "DISCARD"]);
        self.plain.run(end);
    }

    fn listen(&mut self) {
        let kind = self.grammar.dice.index(self.listeners.len());
        let command = self.grammar.command();
        let client = &mut self.listeners[kind];
        let said = client.try_send(&slices(&command)).and_then(|()| match kind {
            3 => Ok(()),
            _ => answered(client, &format!("listener-{}", self.grammar.dice.roll(u64::MAX))),
        });
        if said.is_err() {
            self.listeners[kind] = listener(&self.master, kind);
        }
    }

    /// A command that may wait, on a connection of its own.
    fn wait(&mut self) {
        if self.waiting.len() > 12 {
            let gone = self.grammar.dice.index(self.waiting.len());
            self.waiting.swap_remove(gone);
        }
        let mut client = self.master.client();
        if self.grammar.dice.once_in(2) {
            client.hello3();
        }
        self.grammar.may_wait = true;
        for _ in 0..=self.grammar.dice.roll(2) {
            let mut command = self.grammar.command();
            if self.grammar.dice.once_in(2) {
                let (key, id, batch) = (self.grammar.key(), self.grammar.id(), self.grammar.batch());
                command = match self.grammar.dice.roll(6) {
                    5 => vec![b"TASK.EVENTS".to_vec(), key, b"$".to_vec(), b"BLOCK".to_vec(), b"0".to_vec()],
                    4 => vec![b"TASK.COLLECT".to_vec(), key, batch, b"0".to_vec(), b"BLOCK".to_vec(), b"0".to_vec()],
                    1 => vec![b"TASK.CALL".to_vec(), key, b"x".to_vec(), b"ID".to_vec(), id],
                    2 => vec![b"TASK.GATHER".to_vec(), key, b"2".to_vec(), id, b"1".to_vec(), b"BLOCK".to_vec(), b"0".to_vec()],
                    0 => vec![b"TASK.CLAIM".to_vec(), key, b"LEASE".to_vec(), b"20".to_vec(), b"BLOCK".to_vec(), b"0".to_vec()],
                    _ => vec![b"TASK.RESULT".to_vec(), key, id, b"BLOCK".to_vec(), b"0".to_vec()],
                };
            }
            client.send_cmd(&slices(&command));
        }
        self.grammar.may_wait = false;
        self.waiting.push(client);
    }

    /// Ends a wait, or the client.
    fn wake(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let at = self.grammar.dice.index(self.waiting.len());
        if self.grammar.dice.once_in(3) {
            drop(self.waiting.swap_remove(at));
            return;
        }
        let list = self.plain.run("CLIENT LIST").text();
        let blocked = list.lines().filter(|line| line.contains("cmd=task.") && line.contains(" flags=b"));
        let ids: Vec<_> = blocked.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()).collect();
        if !ids.is_empty() {
            let id = ids[self.grammar.dice.index(ids.len())];
            let how = self.grammar.dice.pick(&["CLIENT KILL ID _", "CLIENT UNBLOCK _ TIMEOUT", "CLIENT UNBLOCK _ ERROR"]);
            self.plain.run(&how.replace('_', id));
        }
    }

    /// Time stands still, and all that hold the data agree.
    fn end(mut self, mut replica: Server) {
        self.waiting.clear();
        self.listeners.clear();
        // What expires while writes are paused is left out of an RDB.
        for queue in ["jobs0", "jobs1", "jobs2"] {
            self.plain.run("SELECT 1");
            self.plain.run(&format!("PERSIST {queue}"));
            self.plain.run("SELECT 0");
            self.plain.run(&format!("PERSIST {queue}"));
        }
        self.plain.run("CLIENT PAUSE 600000 WRITE");
        for queue in ["jobs0", "jobs1", "jobs2"] {
            let info = self.plain.run(&format!("TASK.INFO {queue}"));
            assert!(!info.is_error() || info.code() == "WRONGTYPE", "{info:?}");
        }
        let mut master = self.master;
        let digest = master.digest();
        eventually_eq(|| replica.digest(), digest.clone());
        master.run("DEBUG RELOAD");
        assert_eq!(master.digest(), digest, "an RDB");
        master.kill();
        // A replica lets no time pass.
        let conf = master.directory().join("redis.conf");
        let lines = fs::read_to_string(&conf).unwrap();
        fs::write(conf, lines + "replicaof 127.0.0.1 1\n").unwrap();
        master.start_again();
        assert_eq!(master.digest(), digest, "the master's AOF");
        replica.crash_and_restart();
        assert_eq!(replica.digest(), digest, "the replica's AOF");
    }
}

/// A client that hears more than its replies, or none of them.
fn listener(master: &Server, kind: usize) -> Client {
    let mut client = master.client();
    match kind {
        0 => client.send("PSUBSCRIBE *"),
        1 => {
            client.hello3();
            client.send("PSUBSCRIBE *");
        }
        2 => client.send("MONITOR"),
        _ => client.send("CLIENT REPLY OFF"),
    }
    client
}

fn say_hostile_commands(dice: Dice, steps: usize) {
    let master = Server::builder().aof().config("notify-keyspace-events", "KEA").start();
    let replica = Server::builder().aof_without_preamble().replica_of(&master).start();
    master.wait_for_replica(&replica);
    eventually(|| replica.info("aof_rewrite_in_progress") == "0" && replica.info("aof_rewrite_scheduled") == "0");
    let mut run = Run::new(dice, master);
    for _ in 0..steps {
        run.step();
    }
    run.end(replica);
}

/// Some thousand commands; see `Run::end` for what holds behind them.
#[test]
fn hostile_commands_are_refused_or_done() {
    say_hostile_commands(Dice::asked_or(0xbad_5eed), 3_000);
}

#[test]
#[ignore = "long: make soak"]
fn many_hostile_commands_are_refused_or_done() {
    for seed in 1..=40 {
        say_hostile_commands(Dice::asked_or(seed), 25_000);
    }
}
