//! `task.publish`: each change of state is told to who subscribes to the queue's channel, with the task that it is of.

use crate::commands::fields::{Field, Fields};
use crate::redis::context::Context;
use crate::redis::string::{KeyName, OwnedName};
use taskqueue::{Notice, State};

/// Tells those who subscribe here. In a cluster they do so at the nodes of the queue's shard, and the master tells them all.
pub(crate) fn publish(context: &Context, queue: KeyName<'_>, db: i32, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    let is_cluster = context.flags().is_cluster();
    let Some(channel) = channel(queue.bytes(), is_cluster).map(|name| OwnedName::new(&name)) else { return };
    for notice in notices {
        context.publish(&channel, &message(queue.bytes(), db, notice), is_cluster);
    }
}

fn message(queue: &[u8], db: i32, notice: &Notice) -> Vec<u8> {
    let fields = Fields(vec![
        ("event", notice.event.name().into()),
        ("queue", Field::Bytes(queue)),
        ("db", Field::Integer(db.into())),
        ("id", Field::Text(notice.id.as_id().to_string())),
        ("state", notice.state.map(State::name).into()),
        ("attempt", u64::from(notice.attempt).into()),
        ("at", notice.at.into()),
    ]);
    fields.to_json()
}

/// The channel of a queue: in a cluster, one of the queue's slot. There is none of that form if the name has a closing brace but no hash tag, or
/// nothing at all.
fn channel(queue: &[u8], is_cluster: bool) -> Option<Vec<u8>> {
    if !is_cluster || has_hash_tag(queue) {
        return Some([b"task:", queue].concat());
    }
    let can_be_tag = !queue.is_empty() && !queue.contains(&b'}');
    can_be_tag.then(|| [b"task:{", queue, b"}"].concat())
}

/// Whether only a part of the name says which slot it is of: what is in the first braces, unless that is nothing.
fn has_hash_tag(name: &[u8]) -> bool {
    let mut from_tag = name.iter().skip_while(|&&byte| byte != b'{').skip(1);
    from_tag.position(|&byte| byte == b'}').is_some_and(|length| length > 0)
}
