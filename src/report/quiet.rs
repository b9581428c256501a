//! Shows nothing while a run goes on.

use crate::engine::ports::Observer;
use crate::event::Event;

#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn see(&mut self, _: &Event) {}
}
