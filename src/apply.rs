//! `TASK.APPLY`, the hidden command: effects as a master sends them, an AOF keeps them, and a rewrite writes them.

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{Argv, KeyName};
use crate::transact::{notify, now, remember_ids_of};
use crate::value::{QUEUE, QueueValue};
use crate::waiters::{Telling, may_end_a_wait, tell_of_batches, tell_of_events};
use crate::{agenda, config, publish, sessions, state, totals};
use std::ffi::CStr;
use taskqueue::{Effect, Event, Mismatch, Queue, effect};

pub(crate) const NAME: &CStr = c"task.apply";

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.apply",
    handler: handler(apply),
    flags: "write no-monitor no-slowlog",
    arity: 3,
    summary: "Internal: applies replicated effects. Refused to clients.",
    complexity: "O(N) for N effects",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), Arg::string("effects")],
    access: Access::Update,
    acl: "write slow dangerous",
};

/// Refuses no effect that is well-formed: what the master did has happened. Bytes that are none change nothing.
fn apply(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let flags = context.flags();
    if !flags.is_replicated() && !flags.is_loading() && !config::applies_from_clients() {
        return Err(Error::new("ERR", "TASK.APPLY is for replication and the AOF only; see task.apply-from-clients"));
    }
    let mut args = Args::new(args);
    let (name, packed) = (args.key()?, args.bytes()?);
    // What an AOF tells of has happened before.
    let is_news = !flags.is_loading();
    let mut telling = Telling::new();
    let outcome = decodable(packed).and_then(|()| {
        // Also if an effect will not fit: those before it are applied, here and by whoever follows us.
        context.replicate_verbatim();
        apply_all(context, name, packed, is_news, &mut telling)
    });
    match outcome {
        Ok(()) => {
            // Nobody reads it, and the server is not to be called while it loads.
            context.simple(c"OK");
            Ok(())
        }
        Err(mismatch) => {
            let queue = name.bytes().escape_ascii();
            let what = format!("effects on queue '{queue}' could not be applied: {mismatch}");
            if context.is_from_aof() {
                // Or else the queue would be one that never was, and tasks would run again whose results are lost.
                context.end_server(&format!("{what}. The append-only file is damaged, the server ends"));
            }
            if mismatch == Mismatch::Undecodable && flags.is_replicated() && !flags.is_master() {
                // Or else it could be promoted with other queues than its master had. (A master gets such by slot migration, and refuses.)
                context.end_server(&format!("{what}. The master has a newer version of the module, the replica ends"));
            }
            context.warn(&what);
            Err(Error::new("ERR", format!("the effects could not be applied: {mismatch}")))
        }
    }
}

fn decodable(packed: &[u8]) -> Result<(), Mismatch> {
    effect::unpack(packed).try_for_each(|effect| effect.map(drop))
}

fn apply_all(context: &Context, name: KeyName<'_>, packed: &[u8], is_news: bool, telling: &mut Telling) -> Result<(), Mismatch> {
    let mut key = context.open_write(name, &QUEUE).map_err(|_| Mismatch::Invalid)?;
    let (mut new, mut is_new) = (None, false);
    let value = match key.value() {
        Ok(Some(value)) => value,
        Ok(None) => {
            is_new = true;
            new.insert(QueueValue::new(Queue::default())).as_mut()
        }
        Err(_) => return Err(Mismatch::Invalid),
    };
    let db = context.selected_db();
    let has_waiters = !state::with(|state| state.waiters.is_empty());
    let mut events = Vec::new();
    // In a cluster the master's message comes to the subscribers of its replicas too.
    let mut notices = (is_news && config::publishes() && !context.flags().is_cluster()).then(Vec::new);
    let now = now();
    let outcome = effect::unpack(packed).try_for_each(|effect| {
        let effect = effect?;
        let heard = match &mut notices {
            Some(notices) => value.queue.apply_and_note(&effect, now, notices)?,
            None => value.queue.apply(&effect)?,
        };
        for (event, slot) in heard.into_iter().flatten() {
            events.push((event, slot));
            if has_waiters
                && may_end_a_wait(event)
                && let Some(id) = ended(&effect)
            {
                telling.tell(Some(&value.queue), id, db, name.bytes());
            }
        }
        Ok(())
    });
    if is_new && outcome.is_err() {
        return outcome;
    }
    tell_of_batches(telling, &value.queue, &events, db, name.bytes());
    tell_of_events(telling, &value.queue, db, name.bytes());
    remember_ids_of(&value.queue, now);
    sessions::follow(&mut value.queue, db, name.bytes());
    // Also after a mismatch: what came before it is in the queue, and falls due.
    agenda::schedule(value, db, name.bytes());
    match new {
        Some(value) => key.set(value).map(drop).map_err(|_| Mismatch::Invalid)?,
        None => key.modified(),
    }
    // Closed first: who listens may use the key.
    drop(key);
    if is_news {
        for &(event, _) in &events {
            totals::count(event);
        }
    }
    publish::publish(context, name, db, &notices.unwrap_or_default());
    notify(context, name, events.into_iter().map(|(event, _)| event).filter(|&event| event != Event::Restore));
    outcome
}

fn ended<'a>(effect: &Effect<'a>) -> Option<taskqueue::TaskId<'a>> {
    match effect {
        Effect::Changed(id, _) => Some(*id),
        _ => None,
    }
}
