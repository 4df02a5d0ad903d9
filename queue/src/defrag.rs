//! The blocks of memory that tasks own, one after the other, for a shell that moves them to where memory is less scattered.

use crate::index::segments::Slot;
use crate::queue::Queue;

/// A block that may be replaced by one of the same content.
#[derive(Debug)]
pub enum Block<'a> {
    /// A payload, a result, an error or a checkpoint.
    Bytes(&'a mut Box<[u8]>),
    /// An id or a key.
    Text(&'a mut Box<str>),
}

impl Queue {
    /// Shows what the tasks in the next `slots` slots from `from` on own, and answers where to go on; None at the end. Tasks that
    /// come and go meanwhile may be missed.
    pub fn for_each_block(&mut self, from: u32, slots: u32, mut show: impl FnMut(Block<'_>)) -> Option<u32> {
        let bound = self.tasks.bound();
        let end = from.saturating_add(slots).min(bound);
        for slot in (from..end).map(Slot) {
            let Some(task) = self.tasks.get(slot) else { continue };
            let extra = self.extra_slot(task);
            show(Block::Bytes(&mut self.tasks.at_mut(slot).data));
            let Some(extra) = self.extras.get_mut(extra) else { continue };
            if let Some(name) = &mut extra.name {
                show(Block::Text(name));
            }
            if let Some(rare) = &mut extra.rare {
                if let Some(key) = &mut rare.key {
                    show(Block::Text(&mut key.name));
                }
                [&mut rare.error, &mut rare.checkpoint].into_iter().flatten().for_each(|text| show(Block::Bytes(text)));
            }
        }
        (end < bound).then_some(end)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::Block;
    use crate::op::{self, Delay, Push};
    use crate::{Defaults, Journal, MadeId, Ms, Options, Queue, TaskId, Txn, UnixMs};

    /// Every block of every task is shown once, in steps, and a queue whose blocks were replaced is the same.
    #[test]
    fn every_block_is_shown_once() {
        let (mut queue, mut journal) = (Queue::default(), Journal::default());
        let mut txn = Txn::new(&mut queue, &mut journal, UnixMs(1));
        for n in 0..5_000 {
            let name = format!("name-{n}");
            let (delay, id) = (Delay::For(Ms::default()), (n % 2 == 0).then_some(TaskId::Named(&name)));
            let push = Push {
                payload: b"payload",
                id,
                renew: false,
                priority: 0,
                delay,
                ttl: None,
                options: Options::default(),
                batch: None,
                after: None,
                unique: None,
                group: None,
            };
            op::push(&mut txn, &push, MadeId::default()).unwrap();
        }
        let claim = op::Claim { worker: "w", lease: None, session: None };
        let slot = op::claim(&mut txn, &claim, &Defaults::default()).unwrap();
        let id = txn.queue().id(slot).to_string();
        let id = TaskId::parse(id.as_bytes()).unwrap();
        op::extend(&mut txn, id, Some(1), None, Some(b"checkpoint")).unwrap();
        let before = queue.snapshot();
        let (mut next, mut steps, mut bytes, mut names) = (Some(0), 0, 0, 0);
        while let Some(from) = next {
            steps += 1;
            next = queue.for_each_block(from, 64, |block| match block {
                Block::Bytes(block) => {
                    bytes += 1;
                    *block = block.to_vec().into();
                }
                Block::Text(block) => {
                    names += 1;
                    *block = block.to_string().into();
                }
            });
        }
        assert_eq!((bytes, names, steps), (5_001, 2_500, 128));
        assert_eq!(queue.snapshot(), before);
    }
}
