//! The limits of docs/commands.md: what is at one is taken, what is beyond is refused and changes nothing; and no call's work grows
//! with the queue.

use super::STATES;
use crate::support::{Client, Server, Value};

const MB: usize = 1 << 20;

/// Runs `line` with its `_` being `argument`.
fn with(client: &mut Client, line: &str, argument: &[u8]) -> Value {
    let words: Vec<&[u8]> = line.split(' ').map(|word| if word == "_" { argument } else { word.as_bytes() }).collect();
    client.cmd(&words)
}

/// A server with a claimed task `held`, a waiting one and an ended one.
fn server() -> Server {
    let server = Server::builder().module_args(&["max-payload", "1000"]).start();
    server.run_all(&["TASK.PUSH jobs x ID done", "TASK.CLAIM jobs", "TASK.COMPLETE jobs done result"]);
    server.run_all(&["TASK.PUSH jobs x ID held", "TASK.CLAIM jobs LEASE 900000", "TASK.PUSH jobs x ID ready DELAY 900000"]);
    server
}

/// Payloads, results, errors, checkpoints, ids and names, at their limit and beyond.
#[test]
fn bytes_are_limited() {
    for (line, limit) in [
        ("TASK.PUSH jobs _", 1_000),
        ("TASK.MPUSH jobs 2 x _", 1_000),
        ("TASK.CALL jobs _ DELAY 900000 BLOCK 1", 1_000),
        ("TASK.COMPLETE jobs held _", 1_000),
        ("TASK.MCOMPLETE jobs 1 held 1 _", 1_000),
        ("TASK.FAIL jobs held _", 1_000),
        ("TASK.EXTEND jobs held CHECKPOINT _", 65_536),
        ("TASK.PUSH jobs x ID _", 255),
        ("TASK.CLAIM jobs WORKER _", 255),
        ("TASK.EXTEND jobs _", 255),
        ("TASK.COMPLETE jobs _ result", 255),
        ("TASK.FAIL jobs _ error", 255),
        ("TASK.RELEASE jobs _", 255),
        ("TASK.RESULT jobs _", 255),
        ("TASK.GET jobs _", 255),
        ("TASK.GATHER jobs 1 _", 255),
        ("TASK.MEXTEND jobs 1 _ 1", 255),
        ("TASK.MCOMPLETE jobs 1 _ 1 result", 255),
        ("TASK.RELEASE jobs held NEXT WORKER _", 255),
        ("TASK.CANCEL jobs _", 255),
        ("TASK.RETRY jobs _", 255),
        ("TASK.FORGET jobs _", 255),
        ("TASK.SCHEDULE jobs s _ EVERY 900000000", 1_000),
        ("TASK.SCHEDULE jobs _ x EVERY 900000000", 200),
        ("TASK.UNSCHEDULE jobs _", 200),
    ] {
        let server = server();
        let mut client = server.client();
        let before = server.dump("jobs");
        for size in [limit + 1, 65_537 + limit, 3 * MB] {
            let reply = with(&mut client, line, &vec![b'x'; size]);
            assert_eq!(reply.code(), "ERR", "{line} with {size} bytes");
            assert!(reply.error().len() < 200, "{line}: {reply:?}");
            assert!(server.dump("jobs") == before, "{line} with {size} bytes changed the queue");
        }
        let reply = with(&mut client, line, &vec![b'x'; limit]);
        assert!(!reply.is_error() || reply.code() == "NOTASK", "{line} with {limit} bytes: {reply:?}");
    }
}

/// Counts of tasks, lists of ids, numbers, at their limits and beyond.
#[test]
fn counts_are_limited() {
    let server = server();
    let mut client = server.client();
    for line in [
        "TASK.CLAIM none COUNT _",
        "TASK.LIST jobs completed 0 COUNT _",
        "TASK.CANCEL none ALL COUNT _",
        "TASK.RETRY none ALL COUNT _",
    ] {
        for (count, is_taken) in [("10000", true), ("10001", false), ("0", false), ("-1", false), ("18446744073709551617", false)]
        {
            assert_eq!(!with(&mut client, line, count.as_bytes()).is_error(), is_taken, "{line} with {count}");
        }
    }
    let before = server.dump("jobs");
    for verb in ["CANCEL", "RETRY", "FORGET"] {
        for (count, is_taken) in [(1_000, true), (1_001, false), (200_000, false)] {
            let line = format!("TASK.{verb} jobs{}", " none".repeat(count));
            assert_eq!(!client.run(&line).is_error(), is_taken, "{verb} of {count} ids");
        }
    }
    for (count, pairs, is_taken) in
        [(10_000, 10_000, true), (10_001, 10_001, false), (3, 2, false), (2, 3, false), (0, 0, false), (1, 0, false)]
    {
        let line = format!("TASK.MEXTEND jobs {count}{}", " none 1".repeat(pairs));
        assert_eq!(!client.run(&line).is_error(), is_taken, "MEXTEND of {count} tasks, {pairs} given");
        let line = format!("TASK.MCOMPLETE jobs {count}{}", " none 1 x".repeat(pairs));
        assert_eq!(!client.run(&line).is_error(), is_taken, "MCOMPLETE of {count} tasks, {pairs} given");
        let line = format!("TASK.GATHER jobs {count}{}", " none".repeat(pairs));
        assert_eq!(!client.run(&line).is_error(), is_taken, "GATHER of {count} tasks, {pairs} given");
        let line = format!("TASK.MPUSH other {count}{}", " x".repeat(pairs));
        assert_eq!(!client.run(&line).is_error(), is_taken, "MPUSH of {count} tasks, {pairs} given");
    }
    assert!(server.dump("jobs") == before);
    // An instant or a duration too long is refused, the longest taken: no sum of them overflows.
    for options in
        ["AT 281474976710655 TTL 315360000000", "DELAY 315359999999 TTL 315360000000", "LEASE 315360000000 TIMEOUT 315360000000"]
    {
        let reply = client.run(&format!("TASK.PUSH jobs x {options}"));
        assert!(!reply.is_error() || options.starts_with("AT"), "{options}: {reply:?}");
    }
}

/// The time that one call of TASK.LIST took in the server, in microseconds, on average.
fn list_us(server: &Server) -> f64 {
    let stats = server.info("cmdstat_task.list");
    let us = stats.split(',').find_map(|field| field.strip_prefix("usec_per_call="));
    us.expect("calls of TASK.LIST").parse().expect("a number")
}

/// Makes `count` tasks and some more, many of each state but `waiting`, which there is none of.
fn fill(server: &Server, count: usize) {
    let script = b"\
for n = ARGV[1], ARGV[2] do
  local id, kind = 'id' .. n, n % 7
  local when = kind == 0 and {'DELAY', 900000 + n} or kind == 6 and {'TTL', 1} or {}
  redis.call('TASK.PUSH', 'jobs', 'x', 'ID', id, 'RETAIN', 900000 + n, unpack(when))
  if kind >= 2 and kind < 5 then
    redis.call('TASK.PUSH', 'jobs', 'x', 'ID', id .. 'p', 'PRIORITY', 9)
    local task = redis.call('TASK.CLAIM', 'jobs', 'LEASE', 900000 + n)
    if kind == 3 then redis.call('TASK.COMPLETE', 'jobs', task[1], 'result') end
    if kind == 4 then redis.call('TASK.FAIL', 'jobs', task[1], 'error', 'DEAD') end
  end
  if kind == 5 then redis.call('TASK.CANCEL', 'jobs', id) end
end";
    // In parts: no script is to run for seconds.
    for start in (0..count).step_by(10_000) {
        let (first, last) = (start.to_string(), (count.min(start + 10_000) - 1).to_string());
        let reply = server.cmd(&[b"EVAL", script, b"0", first.as_bytes(), last.as_bytes()]);
        assert!(!reply.is_error(), "{reply:?}");
    }
}

/// Goes through `pages` pages of each state; between two, tasks move to earlier places, so that listings lose theirs.
fn page_through(server: &Server, pages: usize) {
    let mut client = server.client();
    let mut most = 0;
    for state in STATES {
        let mut cursor = "0".to_owned();
        for n in 0..pages {
            let page = client.run(&format!("TASK.LIST jobs {state} {cursor} COUNT {}", 1 + n % 10));
            cursor = page.at(0).text();
            most = most.max(page.at(1).items().len());
            if n % 5 == 0 {
                let task = client.run("TASK.CLAIM jobs");
                if !task.is_nil() {
                    client.run(&format!("TASK.RELEASE jobs {}", task.at(0).text()));
                }
            }
        }
        // Cursors that no page gave.
        for cursor in
            ["s:0", "s:100000", "s:4294967295", "t:0:0:0:0:none", "t:99:900000:1:1:id7", "t:0:18446744073709551615:0:0:a"]
        {
            let page = client.run(&format!("TASK.LIST jobs {state} {cursor} COUNT 10"));
            assert!(page.at(1).items().len() <= 10, "{page:?}");
        }
    }
    assert!(most > 0 && most <= 10);
}

/// A page of a queue of 200,000 tasks takes no longer than one of a small queue, whatever the state and the cursor.
#[test]
fn a_page_costs_the_same_of_a_long_queue() {
    let measured = |tasks| {
        let server = Server::builder().config("slowlog-log-slower-than", "-1").start();
        fill(&server, tasks);
        page_through(&server, 200);
        list_us(&server)
    };
    let (short, long) = (measured(100), measured(200_000));
    println!("TASK.LIST took {short} us of 100 tasks, {long} us of 200,000");
    assert!(long < 10.0 * short + 50.0, "TASK.LIST took {short} us of 100 tasks, and {long} us of 200,000");
}
