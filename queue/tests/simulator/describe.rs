//! Commands and answers as lines to read.

use crate::batches::named;
use crate::support::{AfterSpec, Answer, Command, DelaySpec, OnSpec, Passed, PushSpec};
use taskqueue::op::Next;
use taskqueue::{Ms, Options, Pause, Recurrence, Retention, Settings, UnixMs};

/// `command → answer`
pub(crate) fn describe(command: &Command, answer: &Answer, now: UnixMs) -> String {
    format!("{} → {}", said(command, now), answered(answer, now))
}

fn said(command: &Command, now: UnixMs) -> String {
    match command {
        Command::Push { task, id, renew, .. } => {
            let id = id.as_ref().map_or(String::new(), |id| format!(" ID {id}"));
            format!("PUSH {}{id}{}{}", text(&task.payload), if *renew { " RENEW" } else { "" }, order(task))
        }
        Command::PushAll { task, payloads, .. } => format!("MPUSH {} tasks{}", payloads.len(), order(task)),
        Command::Claim { worker, lease, session } => {
            let session = session.map_or(String::new(), |connection| format!(" SESSION (of connection {connection})"));
            format!("CLAIM WORKER {worker}{}{session}", ms("LEASE", *lease))
        }
        Command::Close(connection) => format!("connection {connection} is closed"),
        Command::Extend { id, attempt, lease, checkpoint } => {
            let checkpoint =
                checkpoint.as_deref().map_or(String::new(), |checkpoint| format!(" CHECKPOINT {}", text(checkpoint)));
            format!("EXTEND {id}{}{}{checkpoint}", token(*attempt), ms("LEASE", *lease))
        }
        Command::Complete { id, attempt, result, retain } => {
            format!("COMPLETE {id} {}{}{}", text(result), token(*attempt), kept("RETAIN", *retain))
        }
        Command::Fail { id, attempt, error, next, .. } => {
            let next = match next {
                Next::Retry => String::new(),
                Next::RetryAfter(delay) => format!(" DELAY {}", delay.0),
                Next::Dead => " DEAD".to_owned(),
            };
            format!("FAIL {id} {}{}{next}", text(error), token(*attempt))
        }
        Command::Release { id, attempt, delay } => format!("RELEASE {id}{} DELAY {}", token(*attempt), delay.0),
        Command::Cancel(id) => format!("CANCEL {id}"),
        Command::Forget(id) => format!("FORGET {id}"),
        Command::Retry(id) => format!("RETRY {id}"),
        Command::CancelAll(count) => format!("CANCEL ALL COUNT {count}"),
        Command::ForgetAll(count) => format!("FORGET ALL COUNT {count}"),
        Command::RetryAll(count) => format!("RETRY ALL COUNT {count}"),
        Command::Seal(batch) => format!("SEAL {batch}"),
        Command::CancelBatch(batch, count) => format!("CANCEL BATCH {batch} COUNT {count}"),
        Command::ForgetBatch(batch) => format!("FORGET BATCH {batch}"),
        Command::RetryBatch(batch, count) => format!("RETRY BATCH {batch} COUNT {count}"),
        Command::Tick { budget } => format!("tick, {budget} of each kind"),
        Command::Set(settings) => set(settings, now),
        Command::Schedule(name, spec) => {
            let when = match spec.recurrence() {
                Recurrence::Every(every) => format!("EVERY {}", every.0),
                Recurrence::Cron { expression, .. } => format!("CRON \"{expression}\""),
            };
            let (misfire, overlap) = (spec.misfire.name(), spec.overlap.name());
            let payload = text(&spec.task.payload);
            format!("SCHEDULE {name} {payload} {when} MISFIRE {misfire} OVERLAP {overlap}{}", order(&spec.task))
        }
        Command::Unschedule(name) => format!("UNSCHEDULE {name}"),
        Command::Fire { has_room: true } => "the next slot".to_owned(),
        Command::Fire { has_room: false } => "the next slot, without memory".to_owned(),
    }
}

fn answered(answer: &Answer, now: UnixMs) -> String {
    match answer {
        Answer::Refused(refusal) => format!("{} {refusal}", refusal.code()),
        Answer::Pushed { id, added } => format!("{id}{}", if *added { "" } else { ", there already" }),
        Answer::PushedAll(ids) => ids.join(" "),
        Answer::Claimed(None) => "nil".to_owned(),
        Answer::Claimed(Some((id, _, attempt, UnixMs::NEVER))) => format!("{id}, attempt {attempt}"),
        Answer::Claimed(Some((id, _, attempt, deadline))) => format!("{id}, attempt {attempt}, for {} ms", deadline.since(now).0),
        Answer::Completed(completion) => format!("{completion:?}").to_lowercase(),
        Answer::State(state) => state.name().to_owned(),
        Answer::Done => "OK".to_owned(),
        Answer::Count(count) => count.to_string(),
        Answer::Next(next) => next.0.to_string(),
        Answer::Passed(passed) => passed.as_ref().map_or("none".to_owned(), |passed| {
            let Passed { name, slot, missed, outcome, .. } = passed;
            format!("{name}@{} {}, {missed} missed", slot.0, format!("{outcome:?}").to_lowercase())
        }),
        Answer::Left(left) => (if *left { "more is due" } else { "nothing more is due" }).to_owned(),
    }
}

fn set(settings: &Settings, now: UnixMs) -> String {
    let Settings { retain_max, failed_max, max_len, rate, concurrency, group_concurrency, events, .. } = *settings;
    let limits = [
        ("RETAINMAX", retain_max),
        ("FAILEDMAX", failed_max),
        ("MAXLEN", max_len),
        ("CONCURRENCY", concurrency),
        ("GROUPCONCURRENCY", group_concurrency),
        ("EVENTS", events),
    ];
    let limits = limits.into_iter().filter(|&(_, most)| most > 0).map(|(name, most)| format!(" {name} {most}"));
    let rate = rate.map_or(String::new(), |rate| format!(" RATE {} {}", rate.claims, rate.window.0));
    let pause = if settings.pause == Pause::No { String::new() } else { format!(" PAUSED {}", settings.pause.name()) };
    let until = ms("FOR", settings.paused_until.map(|until| until.since(now)));
    format!("SET{}{rate}{pause}{until}{}", limits.collect::<String>(), options(&settings.options))
}

fn options(options: &Options) -> String {
    let Options { attempts, backoff, lease, timeout, retain, retain_failed } = *options;
    let attempts = attempts.map_or(String::new(), |attempts| format!(" ATTEMPTS {attempts}"));
    let times = [ms("BACKOFF", backoff), ms("LEASE", lease), ms("TIMEOUT", timeout)].concat();
    [attempts, times, kept("RETAIN", retain), kept("RETAINFAILED", retain_failed)].concat()
}

fn order(task: &PushSpec) -> String {
    let delay = match task.delay {
        DelaySpec::For(0) => String::new(),
        DelaySpec::For(delay) => format!(" DELAY {delay}"),
        DelaySpec::At(at) => format!(" AT start+{at}"),
    };
    let priority = if task.priority == 0 { String::new() } else { format!(" PRIORITY {}", task.priority) };
    let ttl = ms("TTL", task.ttl.map(Ms));
    let after = task.after.as_ref().map_or(String::new(), after);
    let batch = named(task).map_or(String::new(), |(name, seal)| format!(" BATCH {name}{}", if seal { " SEAL" } else { "" }));
    let group = task.group.as_ref().map_or(String::new(), |group| format!(" GROUP {group}"));
    let unique = task.unique.as_ref().map_or(String::new(), |unique| {
        let hold = ms("FOR", unique.hold.map(Ms));
        format!(" UNIQUE {}{hold}{}", unique.key, if unique.replace { " REPLACE" } else { "" })
    });
    [priority, delay, ttl, batch, group, unique, options(&task.options), after].concat()
}

fn after(after: &AfterSpec) -> String {
    let on = match &after.on {
        OnSpec::Tasks(ids) => format!(" AFTER {} {}", ids.len(), ids.join(" ")),
        OnSpec::Batch(name) => format!(" AFTERBATCH {name}"),
        OnSpec::Picks(picks) => format!(" AFTER {picks:?}"),
    };
    on + if after.run_anyway { " ONFAIL run" } else { "" }
}

fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn token(attempt: Option<u32>) -> String {
    attempt.map_or(String::new(), |attempt| format!(" ATTEMPT {attempt}"))
}

fn ms(name: &str, time: Option<Ms>) -> String {
    time.map_or(String::new(), |time| format!(" {name} {}", time.0))
}

fn kept(name: &str, time: Option<Retention>) -> String {
    match time {
        Some(Retention::For(time)) => format!(" {name} {}", time.0),
        Some(Retention::Forever) => format!(" {name} -1"),
        None => String::new(),
    }
}
