//! RESTORE takes what a queue can be, and refuses the rest.

use super::{STATES, make_rich};
use crate::support::{Dice, Dump, Server, Value, eventually, eventually_eq};
use taskqueue::effect::{ExtraImage, Head, Image, unpack};
use taskqueue::{Effect, LastClaim, MadeId, Ms, Options, Packed, State, TaskId, UnixMs};

/// Instants and counts where something may overflow.
const EXTREMES: [u64; 12] = [
    0,
    1,
    0xffff,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    UnixMs::MAX.0,
    UnixMs::MAX.0 + 1,
    u64::MAX / 2,
    u64::MAX / 2 + 1,
    u64::MAX - 1,
    u64::MAX,
    1_763_953_200_123,
];

/// Dumps of queues: one with tasks of all kinds, a long one, one that is new, one that has become empty.
fn sources(server: &Server) -> Vec<Dump> {
    make_rich(server, "rich");
    let payload = "p".repeat(7_000);
    let lines: Vec<_> = (0..40).map(|n| format!("TASK.PUSH long {payload} ID {n} PRIORITY {}", n % 3)).collect();
    server.client().run_each(&lines);
    server.run_all(&["TASK.CLAIM long COUNT 20 LEASE 900000 WORKER w", "TASK.COMPLETE long 38 result"]);
    server.run_all(&["TASK.PUSH new hello", "TASK.PUSH empty hello ID a", "TASK.CANCEL empty a", "TASK.FORGET empty a"]);
    let dumps: Vec<_> = ["rich", "long", "new", "empty"].into_iter().map(|key| Dump::of(&server.dump(key))).collect();
    assert!(dumps[1].strings.len() > 4, "several chunks");
    dumps
}

/// The payload of a RESTORE that may be bad in any way.
fn mutated(sources: &[Dump], dice: &mut Dice) -> Vec<u8> {
    let mut dump = sources[[0, 0, 0, 1, 2, 3][dice.index(6)]].clone();
    let other = &sources[dice.index(sources.len())];
    match dice.roll(4) {
        0 => {
            // The type stays: other types are the server's own.
            let (kind, mut value) = (dump.body()[0], dump.body()[1..].to_vec());
            for _ in 0..=dice.roll(3) {
                damage(&mut value, &other.body()[1..], dice);
            }
            return dump.sealed([vec![kind], value].concat());
        }
        1 => {
            let index = dice.index(dump.strings.len());
            let with = &other.strings[dice.index(other.strings.len())];
            for _ in 0..=dice.roll(3) {
                damage(&mut dump.strings[index], with, dice);
            }
        }
        2 => rearrange(&mut dump.strings, &other.strings, dice),
        _ => dump.strings = alter(&dump.strings, dice),
    }
    dump.bytes()
}

/// Flips, sets, cuts, repeats, puts in or takes out some bytes of `bytes`, or goes on as `other`.
fn damage(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let start = dice.index(bytes.len());
    let end = (start + dice.index(9)).min(bytes.len());
    match dice.roll(8) {
        0 | 1 => bytes[start] ^= 1 << dice.roll(8),
        2 => bytes[start] = dice.pick(&[0, 1, 0x3f, 0x7f, 0x80, 0x81, 0xc0, 0xff]),
        3 => bytes.truncate(start),
        4 => drop(bytes.drain(start..end)),
        5 => {
            let again = bytes[start..end].to_vec();
            bytes.splice(start..start, again);
        }
        6 => drop(bytes.splice(start..start, (0..9).map(|_| dice.byte()))),
        _ => {
            bytes.truncate(start);
            bytes.extend(other.iter().skip(dice.index(1 + other.len())));
        }
    }
}

/// Changes which strings there are, and their order.
fn rearrange(strings: &mut Vec<Vec<u8>>, others: &[Vec<u8>], dice: &mut Dice) {
    let (a, b) = (dice.index(strings.len()), dice.index(strings.len()));
    match dice.roll(5) {
        0 => strings.swap(a, b),
        1 => drop(strings.remove(a)),
        2 => strings.insert(a, strings[b].clone()),
        3 => strings.insert(a, others[dice.index(others.len())].clone()),
        _ => strings.insert(a, vec![dice.byte()]),
    }
}

/// The same effects, some of which say something else, or are missing, or are said twice or at another time.
fn alter(strings: &[Vec<u8>], dice: &mut Dice) -> Vec<Vec<u8>> {
    let (last, packed) = strings.split_last().expect("an empty string at the end");
    let mut effects: Vec<Effect<'_>> = packed.iter().flat_map(|string| unpack(string)).map(|effect| effect.unwrap()).collect();
    for _ in 0..=dice.roll(4) {
        let (a, b) = (dice.index(effects.len()), dice.index(effects.len()));
        match dice.roll(12) {
            0 => effects.swap(a, b),
            1 => effects.insert(a, effects[b]),
            2 if effects.len() > 1 => drop(effects.remove(a)),
            _ => effects[a] = altered(&effects[a], dice),
        }
    }
    let mut packed = Packed::default();
    for effect in &effects {
        packed.push(effect);
    }
    vec![packed.bytes().to_vec(), last.clone()]
}

fn altered<'a>(effect: &Effect<'a>, dice: &mut Dice) -> Effect<'a> {
    let number = dice.pick(&EXTREMES);
    match *effect {
        Effect::Restored(ref image) => Effect::Restored(altered_image(image, dice)),
        Effect::Restarted(head) => Effect::Restarted(match dice.roll(4) {
            0 => Head { last_id: MadeId(number), ..head },
            1 => Head { last_order: number, ..head },
            2 => Head { totals: taskqueue::effect::Totals { pushed: number, claimed: number, ..head.totals }, ..head },
            _ => Head { totals: taskqueue::effect::Totals { dropped: number, expired: number, ..head.totals }, ..head },
        }),
        Effect::Measured { .. } => Effect::Measured {
            waits: dice.pick(&[&b""[..], b"\x01", b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x01\x01\x01\x01\x00\x01"]),
            runs: dice.pick(&[&b""[..], b"\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", b"\x02\x02\x01\x01\x03\x00"]),
        },
        other => other,
    }
}

fn altered_image<'a>(image: &Image<'a>, dice: &mut Dice) -> Image<'a> {
    let number = dice.pick(&EXTREMES);
    let instant = Some(UnixMs(number));
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    let extra = image.extra.unwrap_or_default();
    let with = |extra: ExtraImage<'a>| Image { extra: Some(extra), ..*image };
    let last_claims = [
        LastClaim::Open,
        LastClaim::Completed,
        LastClaim::Lapsed,
        LastClaim::Released,
        LastClaim::Voided,
        LastClaim::FailedForGood,
        LastClaim::FailedToReady,
        LastClaim::FailedToScheduled,
    ];
    match dice.roll(16) {
        0 => Image {
            id: dice.pick(&[TaskId::Made(MadeId(number)), TaskId::Named("x"), TaskId::Named("7-7"), TaskId::Named("")]),
            ..*image
        },
        1 => Image { state: dice.pick(&State::ALL), ..*image },
        2 => Image { last_claim: dice.pick(&last_claims), ..*image },
        3 => Image { state: dice.pick(&State::ALL), last_claim: dice.pick(&last_claims), ..*image },
        4 | 5 => Image { at: UnixMs(number), ..*image },
        6 => Image { order: number, ..*image },
        7 => Image { attempt: small, ..*image },
        8 => Image { priority: dice.byte(), ..*image },
        9 => Image { worker: dice.pick(&[None, Some(("w", Ms(number))), Some(("", Ms(1))), Some(("a b", Ms(1)))]), ..*image },
        10 => with(ExtraImage { created: instant, ..extra }),
        11 => with(ExtraImage { ttl_at: instant, ..extra }),
        12 => with(ExtraImage { uncounted: small, ..extra }),
        13 => with(ExtraImage { claimed_at: instant, ..extra }),
        14 => with(ExtraImage { timeout_at: instant, ..extra }),
        _ => with(ExtraImage {
            options: Some(Options { lease: Some(Ms(number)), attempts: Some(0), ..Options::default() }),
            ..extra
        }),
    }
}

/// That the queue in the key `m` is whole: what is seen of it agrees, its dump gives it again, and every command works on it.
#[track_caller]
pub(super) fn lives(server: &Server, dice: &mut Dice) {
    let list = |state: &'static str| vec![&b"TASK.LIST"[..], b"m", state.as_bytes(), b"0", b"COUNT", b"10000"];
    let mut looks: Vec<Vec<&[u8]>> = STATES.iter().map(|state| list(state)).collect();
    looks.push(vec![b"TASK.INFO", b"m"]);
    looks.extend([vec![&b"DUMP"[..], b"m"], vec![b"COPY", b"m", b"copy", b"REPLACE"], vec![b"DUMP", b"copy"]]);
    let seen = server.at_once(&looks);
    let (lists, seen) = seen.split_at(STATES.len());
    let ids: Vec<Vec<u8>> = lists.iter().flat_map(|list| list.at(1).items()).map(|task| task.at(0).bytes().to_vec()).collect();
    for (state, list) in STATES.iter().zip(lists) {
        assert_eq!(list.at(0), &"0", "the whole state {state} on a page");
        assert_eq!(seen[0].field(state), i64::try_from(list.at(1).items().len()).unwrap(), "{state}");
    }
    assert_eq!(seen[1], seen[3], "the copy's dump");
    let dump = seen[1].bytes();
    let restored =
        server.at_once(&[vec![b"RESTORE", b"copy", b"0", dump, b"REPLACE"], vec![b"DUMP", b"copy"], vec![b"UNLINK", b"copy"]]);
    assert!(restored[1].bytes() == dump, "its dump gives another queue: {:?}", restored[0]);

    for state in STATES {
        let count = (1 + dice.roll(7)).to_string();
        let (mut cursor, mut pages) = (b"0".to_vec(), 0);
        loop {
            let page = server.cmd(&[b"TASK.LIST", b"m", state.as_bytes(), &cursor, b"COUNT", count.as_bytes(), b"JSON"]);
            cursor = page.at(0).bytes().to_vec();
            pages += 1;
            // In slot order a page looks at ten of the 4,096 slots that the smallest queue has.
            assert!(pages < 1_000, "the listing of {state} does not end");
            if cursor == b"0" {
                break;
            }
        }
    }
    for id in ids.iter().take(12) {
        assert!(!server.cmd(&[b"TASK.GET", b"m", id, b"JSON"]).is_error());
        assert!(!server.cmd(&[b"TASK.RESULT", b"m", id]).is_error());
        assert!(!server.cmd(&[b"TASK.EXPLAIN", b"m", id]).is_error());
        match dice.roll(8) {
            0 => server.cmd(&[b"TASK.RETRY", b"m", id]),
            1 => server.cmd(&[b"TASK.CANCEL", b"m", id]),
            2 => server.cmd(&[b"TASK.FORGET", b"m", id]),
            3 => server.cmd(&[b"TASK.EXTEND", b"m", id, b"LEASE", b"5"]),
            4 => server.cmd(&[b"TASK.COMPLETE", b"m", id, b"result"]),
            5 => server.cmd(&[b"TASK.FAIL", b"m", id, b"error", b"DELAY", b"1"]),
            6 => server.cmd(&[b"TASK.RELEASE", b"m", id, b"DELAY", b"1"]),
            _ => server.cmd(&[b"TASK.PUSH", b"m", b"again", b"ID", id, b"RENEW", b"TTL", b"9"]),
        };
    }
    for line in [
        "TASK.CLAIM m COUNT 3 LEASE 2",
        "TASK.RETRY m ALL",
        "TASK.CANCEL m ALL COUNT 2",
        "MEMORY USAGE m",
        "TASK.INFO m JSON",
        "TASK.EVENTS m 0 COUNT 10000",
        "TASK.SCHEDULES m",
    ] {
        let reply = server.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    if let Value::Error(message) = server.run("TASK.PUSH m more DELAY 3") {
        assert!(message.starts_with("QUEUEFULL") || message.starts_with("PAUSED"), "{message}");
    }
    if dice.once_in(8) {
        // While writes are paused time stands still.
        server.run("CLIENT PAUSE 60000 WRITE");
        let before = server.dump("m");
        assert_eq!(server.run("DEBUG RELOAD"), "OK");
        assert!(server.dump("m") == before, "another queue after a reload");
        server.run("CLIENT UNPAUSE");
    }
}

fn restore_mutated_dumps(mut dice: Dice, rounds: usize) {
    let server = Server::builder().config("rdbcompression", "no").config("repl-backlog-size", "16kb").start();
    let sources = sources(&server);
    for source in &sources {
        assert_eq!(server.cmd(&[b"RESTORE", b"m", b"0", &source.bytes(), b"REPLACE"]), "OK");
        lives(&server, &mut dice);
    }
    let replica = Server::replica_of(&server);
    let memory = |server: &Server| server.info("used_memory").parse::<u64>().unwrap();
    let before = memory(&server);
    let mut taken = 0;
    for _ in 0..rounds {
        let payload = mutated(&sources, &mut dice);
        if let Value::Error(message) = server.cmd(&[b"RESTORE", b"m", b"0", &payload, b"REPLACE"]) {
            assert!(message.contains("Bad data format"), "{message}");
        } else {
            taken += 1;
            lives(&server, &mut dice);
        }
    }
    println!("{taken} of {rounds} were taken");
    assert!(taken > rounds / 20 && taken < rounds, "{taken} of {rounds} were taken");
    // While writes are paused time stands still.
    server.run("CLIENT PAUSE 600000 WRITE");
    eventually_eq(|| replica.digest(), server.digest());
    server.run_all(&["CLIENT UNPAUSE", "UNLINK m", "MEMORY PURGE"]);
    eventually(|| server.info("lazyfree_pending_objects") == "0");
    let after = memory(&server);
    assert!(after < before + 1_000_000, "memory grew from {before} to {after}");
}

/// What is taken is a queue that works, on a replica too; the rest is refused.
#[test]
fn mutated_dumps_are_refused_or_work() {
    restore_mutated_dumps(Dice::asked_or(0x0bad_d00d), 500);
}

#[test]
#[ignore = "long: make soak"]
fn many_mutated_dumps_are_refused_or_work() {
    restore_mutated_dumps(Dice::asked_or(0xf00d), 100_000);
}
