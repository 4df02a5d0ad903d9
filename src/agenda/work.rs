//! What is done when the timer fires: clients are let go, and queues do what is due.

use super::{Key, arm, monotonic_ms};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::{Context, add_latency, avoid_replica_traffic};
use crate::redis::string::{KeyName, OwnedName};
use crate::transact::{Missing, now, transact};
use crate::value::QUEUE;
use crate::waiters::Orphan;
use crate::{sessions, state, waiters};
use std::ffi::CStr;
use std::time::{Duration, Instant};
use taskqueue::{Ms, UnixMs, op};

/// The longest that one tick works on queues. The rest follows after the clients had their turn.
const TICK_BUDGET: Duration = Duration::from_millis(1);
/// Tasks of each kind that a tick looks at before it looks at the clock.
const SLICE: usize = 64;
/// How soon to look again whether the server would take a write.
const HOLD: Ms = Ms(10);
const PROBE_NAME: &CStr = c"task.probe";

/// A command that changes nothing, to learn from the server whether it would let a client write.
pub(crate) const PROBE: CommandSpec = CommandSpec {
    name: "task.probe",
    handler: handler(|context, _| {
        // Made anew: this is what `ok` passes on.
        context.simple(c"OK");
        Ok(())
    }),
    // That the server is out of memory refuses it only if it is asked so: what drains a queue goes on.
    flags: "write deny-oom no-monitor no-slowlog fast",
    arity: 2,
    summary: "Internal: would the server take a write of this key now? Changes nothing.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue")],
    access: Access::Update,
    acl: "write fast",
};

/// Why nothing happens to a queue of this master now, though it is due: the server would refuse the write, or has paused writes.
pub(crate) fn refusal(context: &Context, key: KeyName<'_>) -> Option<String> {
    if avoid_replica_traffic() {
        return Some("writes are paused, by CLIENT PAUSE or a failover".to_owned());
    }
    context.refusal(PROBE_NAME, key)
}

/// What the timer runs.
pub(super) fn tick(context: &Context) {
    let began = Instant::now();
    state::with(|state| {
        state.agenda.timer_fired();
        state.agenda.let_give_up();
    });
    waiters::take_turn(context, budget());
    sessions::end_those_over(context, budget());
    if state::with(|state| state.agenda.is_master && !state.agenda.is_loading) {
        work(context);
    }
    arm();
    let took = began.elapsed();
    // While nobody monitors latencies the server takes each that it is told.
    if took >= TICK_BUDGET {
        add_latency(c"task-tick", took);
    }
}

/// Says whether one part of a tick may go on.
fn budget() -> impl Fn() -> bool {
    let end = Instant::now() + TICK_BUDGET;
    move || Instant::now() < end
}

/// Does what is due in queues, for as long as a tick may take.
fn work(context: &Context) {
    let may_go_on = budget();
    let now = now();
    state::with(|state| {
        state.agenda.ticked = now;
        state.agenda.is_held = false;
    });
    let is_cluster = context.flags().is_cluster();
    let mut may_write = None;
    while let Some(duty) = next_duty(now) {
        let (db, name) = match &duty {
            Duty::Release(orphan) => (orphan.db, orphan.key.clone()),
            Duty::Tick(db, key) => (*db, OwnedName::new(key)),
        };
        // In a cluster the answer depends on the key's slot, elsewhere it is the same for all of this tick.
        let takes_writes =
            || !avoid_replica_traffic() && context.select_db(db) && !context.refuses_writes(PROBE_NAME, name.as_name());
        let may = match may_write {
            Some(may) if !is_cluster => may,
            _ => takes_writes(),
        };
        may_write = Some(may);
        if may && context.select_db(db) {
            duty.perform(context, &name);
        } else {
            let is_release = matches!(duty, Duty::Release(_));
            // A claim whose slot has gone to another node ends there with its lease.
            if !is_release || context.owns_key(name.as_name()) {
                duty.put_off(now);
            }
            state::with(|state| state.agenda.is_held = true);
            if !is_cluster || is_release {
                state::with(|state| state.agenda.held_until = monotonic_ms() + HOLD.0);
                break;
            }
        }
        if !may_go_on() {
            break;
        }
    }
}

/// One thing to do to a queue.
enum Duty {
    /// Give back a claim that did not reach its client.
    Release(Orphan),
    /// Do what is due.
    Tick(i32, Key),
}

fn next_duty(now: UnixMs) -> Option<Duty> {
    state::with(|state| match state.agenda.orphans.pop() {
        Some(orphan) => Some(Duty::Release(orphan)),
        None => state.agenda.pop_due(now).map(|(db, key)| Duty::Tick(db, key)),
    })
}

impl Duty {
    fn perform(self, context: &Context, name: &OwnedName) {
        // What cannot be done now, because the key is gone or holds something else, need not be done.
        let _ = match self {
            Self::Release(orphan) => transact(context, name.as_name(), Missing::Leave, |txn, _| {
                Ok(op::release(txn, orphan.id.as_id(), Some(orphan.attempt), Ms(0))?)
            }),
            Self::Tick(..) => {
                let mut fires = false;
                if let Ok(key) = context.open_read(name.as_name(), &QUEUE)
                    && let Ok(Some(value)) = key.value()
                {
                    value.alarm.set(UnixMs::NEVER);
                    fires = value.queue.next_slot() <= now();
                }
                let has_room = !fires || !context.refuses_pushes(PROBE_NAME, name.as_name());
                transact(context, name.as_name(), Missing::Leave, |txn, env| {
                    if fires {
                        op::fire(txn, SLICE, has_room);
                    }
                    op::tick(txn, SLICE, &env.defaults);
                    Ok(())
                })
            }
        };
    }

    fn put_off(self, now: UnixMs) {
        state::with(|state| match self {
            Self::Release(orphan) => state.agenda.orphans.push(orphan),
            Self::Tick(db, key) => state.agenda.insert(db, &key, now.after(HOLD)),
        });
    }
}
