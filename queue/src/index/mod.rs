//! The structures in which a queue finds its tasks. Each knows where tasks are and nothing of what they mean.

pub(crate) mod counted;
pub(crate) mod deadlines;
pub(crate) mod ids;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod option_sets;
pub(crate) mod ready;
pub(crate) mod segments;
pub(crate) mod workers;
