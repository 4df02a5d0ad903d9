//! Those who read on, page by page.

use super::World;
use crate::log_readers::{LogReader, Read};
use crate::readers::{Lost, Told};
use taskqueue::EventsCursor;

impl World {
    pub(super) fn begin_or_collect(&mut self, reader: usize, count: usize, anew: bool, lost: bool) -> Result<(), String> {
        if anew {
            self.readers[reader].begin_anew();
        }
        self.collect(reader, count, lost).map(drop)
    }

    pub(super) fn begin_or_read(
        &mut self,
        reader: usize,
        node: Option<usize>,
        count: usize,
        anew: Option<EventsCursor>,
        lost: bool,
    ) -> Result<(), String> {
        if let Some(cursor) = anew {
            self.log_readers[reader] = LogReader::new(cursor);
        }
        let node = node.map_or(self.master, |node| node % self.nodes.len());
        self.read_events(reader, node, count, lost).map(drop)
    }

    /// A reader asks the master for the next ends.
    pub(super) fn collect(&mut self, reader: usize, count: usize, lost: bool) -> Result<Told, String> {
        let node = &self.nodes[self.master];
        let says = self.readers[reader].says(count);
        let outcome = self.readers[reader].read(&node.queue, &node.book(), count, lost);
        self.tell(|| format!("reader-{reader}: {says} → {outcome:?}"));
        match outcome {
            Ok(Told::Page { .. }) => self.count("pages of ends"),
            Ok(Told::Lost(Lost::Given)) => self.count("cursors whose ends were lost"),
            Ok(Told::Lost(Lost::Passed)) => self.count("cursors that had passed what was lost"),
            _ => {}
        }
        outcome.map_err(|what| format!("{says}: {what}"))
    }

    /// A reader asks a node for the next events.
    fn read_events(&mut self, reader: usize, node: usize, count: usize, lost: bool) -> Result<Read, String> {
        let (asked, by) = (&self.nodes[node], &mut self.log_readers[reader]);
        let says = by.says(count);
        let outcome = by.read(&asked.queue, &asked.book(), node == self.master, count, lost);
        self.tell(|| format!("log-reader-{reader} to node {node}: {says} → {outcome:?}"));
        match outcome {
            Ok(Read::Page(events, missed)) => {
                self.count("pages of events");
                *self.counts.entry("events in them").or_default() += events as u64;
                *self.counts.entry("events that readers missed").or_default() += missed;
            }
            Ok(Read::TryAgain) => self.count("cursors that a replica did not know yet"),
            Ok(Read::Lost) => self.count("cursors whose events were lost"),
            Ok(Read::LostUnseen) => self.count("cursors whose events were lost, which nobody could know"),
            Err(_) => {}
        }
        outcome.map_err(|what| format!("{says}: {what}"))
    }

    /// Whoever reads events is told of all that are left.
    pub(super) fn read_all_events(&mut self) -> Result<(), String> {
        for reader in 0..self.log_readers.len() {
            while !matches!(self.read_events(reader, self.master, 50, false)?, Read::Page(0, 0)) {}
            self.log_readers[reader].knows_all(&self.nodes[self.master].book().log)?;
        }
        // From the start on, too.
        let node = &self.nodes[self.master];
        LogReader::new(EventsCursor::Oldest).read(&node.queue, &node.book(), true, usize::MAX, false).map(drop)
    }
}
