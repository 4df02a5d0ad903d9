//! Clients that read the ends of batches page by page, over everything that happens between two pages.

use crate::batches::{BATCHES, Batch, End};
use crate::book::Book;
use crate::rules::ensure;
use std::rc::Rc;
use taskqueue::{EndsCursor, Queue, Refusal, State};

/// Who has written down where he goes on.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    name: &'static str,
    cursor: EndsCursor,
    /// The batch that the cursor is of, as its name was allocated; none at the start.
    of: Option<Rc<str>>,
    /// The ends that the cursor has passed, those too that did not stand any more.
    passed: Vec<End>,
    /// The ends that were given.
    given: Vec<Rc<str>>,
}

/// What a reader was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A page; it may be that more are to come.
    Page { is_last: bool, is_full: bool },
    /// There is no batch of that name, or the cursor is of an earlier one.
    Refused,
    /// The cursor has passed what is of a history that is lost.
    Lost(Lost),
}

/// What the cursor has passed and is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Ends that were given.
    Given,
    /// Only that a task had begun again, so that its end stands again and will not be given; or a batch of which nothing was given.
    Passed,
}

impl Reader {
    /// One for each batch, and one more, so that two read the same.
    pub(crate) fn all() -> Vec<Self> {
        BATCHES.into_iter().chain([BATCHES[0]]).map(Self::new).collect()
    }

    const fn new(name: &'static str) -> Self {
        Self { name, cursor: EndsCursor::Start, of: None, passed: Vec::new(), given: Vec::new() }
    }

    /// Begins from the start.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::new(self.name);
    }

    /// As `COLLECT batch cursor COUNT count`.
    pub(crate) fn says(&self, count: usize) -> String {
        format!("COLLECT {} {} COUNT {count}", self.name, self.cursor)
    }

    /// Is given the next page by this queue, of which the book tells. If the answer is `lost` he will ask again from where he is.
    pub(crate) fn read(&mut self, queue: &Queue, book: &Book, count: usize, lost: bool) -> Result<Told, String> {
        let page = queue.collect(self.name, self.cursor, count);
        let Some((born, batch)) = book.batch(self.name) else {
            ensure(page == Err(Refusal::NoBatch), "a page of a batch that is not there")?;
            return Ok(Told::Refused);
        };
        let is_gone = |of: &Rc<str>| book.gone.iter().any(|gone| Rc::ptr_eq(gone, of));
        match &self.of {
            Some(of) if is_gone(of) => {
                // Of a queue that was deleted and made anew, when the clock showed the same.
                let looks_the_same = matches!(self.cursor, EndsCursor::At { batch: of, .. } if of == batch.incarnation);
                ensure(looks_the_same || page == Err(Refusal::NoBatch), "a cursor of an earlier batch was taken")?;
                self.begin_anew();
                return Ok(Told::Refused);
            }
            Some(of) => {
                if let Some(lost) = self.lost(of, batch) {
                    let may_go_on = (lost == Lost::Passed || self.looks_unlost(batch)) && !self.more_stand(batch);
                    ensure(may_go_on || page.is_err(), "a cursor was taken whose ends are lost")?;
                    self.begin_anew();
                    return Ok(Told::Lost(lost));
                }
            }
            None => {}
        }
        let page = page.map_err(|refusal| format!("the cursor was refused: {refusal}"))?;
        let left = batch.ends.iter().enumerate().skip(self.passed.len()).filter(|(_, end)| end.stands);
        let left: Vec<(usize, Rc<str>)> = left.map(|(place, end)| (place, end.id.clone())).collect();
        let (given, left) = left.split_at(count.min(left.len()));
        let next = given.last().map_or(self.passed.len(), |(place, _)| place + 1);
        let is_right = page.slots.iter().map(|&slot| queue.id(slot).to_string()).eq(given.iter().map(|(_, id)| id.to_string()));
        ensure(is_right, "these are not the ends that come next")?;
        let view = book.view_batch(born);
        let open: usize =
            State::ALL.into_iter().zip(view.counts).filter(|(state, _)| !state.is_terminal()).map(|(_, open)| open).sum();
        ensure(page.remaining == view.sealed.then_some(open + left.len()), "not as many remain as it says")?;
        ensure(page.is_last == (view.done && left.is_empty()), "it does not know whether more will come")?;
        let told = Told::Page { is_last: page.is_last, is_full: given.len() == count };
        if !lost {
            (self.cursor, self.of) = (page.next, Some(batch.name.clone()));
            // The cursor of an empty page is the one before.
            if !given.is_empty() {
                self.passed = batch.ends[..next].to_vec();
            }
            self.given.extend(given.iter().map(|(_, id)| id.clone()));
            let is_given_once = |end: &Rc<str>| self.given.iter().filter(|given| Rc::ptr_eq(given, end)).count() == 1;
            ensure(self.given.iter().all(is_given_once), "an end was given twice")?;
            let mut all = batch.ends.iter().filter(|end| end.stands);
            ensure(!page.is_last || all.all(|end| is_given_once(&end.id)), "an end of a batch that is done was not given")?;
        }
        Ok(told)
    }

    /// Whether the last end that he was given cannot be told from what is in its place: an end of the same task, maybe of the same
    /// instant, or one of a task that has begun again.
    fn looks_unlost(&self, batch: &Batch) -> bool {
        let last = self.passed.len().checked_sub(1);
        let place = last.and_then(|last| self.passed.get(last).zip(batch.ends.get(last)));
        place.is_some_and(|(passed, end)| !end.stands || end.id == passed.id)
    }

    /// Whether more ends stand among those that he has passed than did: a RETRY was lost, or something else.
    fn more_stand(&self, batch: &Batch) -> bool {
        let standing = |ends: &mut dyn Iterator<Item = &End>| ends.filter(|end| end.stands).count();
        standing(&mut batch.ends.iter().take(self.passed.len())) > standing(&mut self.passed.iter())
    }

    /// What of the cursor was lost by a failover, if anything was: the batch's ends do not begin with those that it has passed, or one
    /// of them stands again.
    fn lost(&self, of: &Rc<str>, batch: &Batch) -> Option<Lost> {
        let is_there = |given: &Rc<str>| batch.ends.iter().any(|end| Rc::ptr_eq(&end.id, given));
        if !self.given.iter().all(is_there) {
            return Some(Lost::Given);
        }
        let is_same = |(passed, end): &(&End, &End)| Rc::ptr_eq(&passed.id, &end.id) && (passed.stands || !end.stands);
        let is_passed = self.passed.iter().zip(&batch.ends).filter(is_same).count() == self.passed.len();
        (!is_passed || !Rc::ptr_eq(of, &batch.name)).then_some(Lost::Passed)
    }
}
