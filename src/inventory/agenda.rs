//! In which order one node is asked: which call may begin when a worker of it is free.
//!
//! A node has three workers of each daemon for everybody. All that we have under way at once is bounded, and what goes
//! through pvedaemon (agents, containers) is bounded below that, since one call of those may hold its worker for seconds.

use std::collections::VecDeque;

/// So many guests wait for their turn before more configurations are read: what waits is kept in memory, and where
/// guests are slower than configurations reading ahead ends nothing sooner.
const AHEAD: usize = 32;

/// Calls that wait for their turn: configurations, and the guests themselves.
#[derive(Debug)]
pub struct Agenda<C, G> {
    configs: VecDeque<C>,
    guests: VecDeque<G>,
    at_once: usize,
    protected: usize,
    running: usize,
    running_protected: usize,
}

/// What begins next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<C, G> {
    Config(C),
    Guest(G),
}

impl<C, G> Agenda<C, G> {
    pub fn new(configs: impl IntoIterator<Item = C>, at_once: usize, protected: usize) -> Self {
        let configs = configs.into_iter().collect();
        let (at_once, protected) = (at_once.max(1), protected.clamp(1, at_once.max(1)));
        Self { configs, guests: VecDeque::new(), at_once, protected, running: 0, running_protected: 0 }
    }

    /// A guest whose configuration is known is to be asked itself.
    pub fn then(&mut self, guest: G) {
        self.guests.push_back(guest);
    }

    /// What may begin now; it counts as running until [`Agenda::ended`]. Guests come first: one of them may take long.
    pub fn begin(&mut self) -> Option<Next<C, G>> {
        if self.running >= self.at_once {
            return None;
        }
        let guest = if self.running_protected < self.protected { self.guests.pop_front() } else { None };
        let next = match guest {
            Some(guest) => {
                self.running_protected += 1;
                Next::Guest(guest)
            }
            None if self.guests.len() >= AHEAD => return None,
            None => Next::Config(self.configs.pop_front()?),
        };
        self.running += 1;
        Some(next)
    }

    pub fn ended(&mut self, was_guest: bool) {
        self.running = self.running.saturating_sub(1);
        if was_guest {
            self.running_protected = self.running_protected.saturating_sub(1);
        }
    }

    /// Everything that has not begun: the node is given up.
    pub fn give_up(&mut self) -> (Vec<C>, Vec<G>) {
        (self.configs.drain(..).collect(), self.guests.drain(..).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_begins_than_may_be_under_way() {
        let mut agenda: Agenda<u32, u32> = Agenda::new(0..10, 3, 2);
        for wanted in 0..3 {
            assert_eq!(agenda.begin(), Some(Next::Config(wanted)));
        }
        assert_eq!(agenda.begin(), None);
        (0..3).for_each(|guest| agenda.then(guest));
        (0..3).for_each(|_| agenda.ended(false));
        assert_eq!(agenda.begin(), Some(Next::Guest(0)));
        assert_eq!(agenda.begin(), Some(Next::Guest(1)));
        // The daemon's third worker is left to others; the proxy's is not.
        assert_eq!(agenda.begin(), Some(Next::Config(3)));
        assert_eq!(agenda.begin(), None);
        agenda.ended(true);
        assert_eq!(agenda.begin(), Some(Next::Guest(2)));
        let (configs, guests) = agenda.give_up();
        assert_eq!((configs.len(), guests.len()), (6, 0));
    }

    #[test]
    fn configurations_are_not_read_far_ahead_of_slow_guests() {
        let mut agenda: Agenda<u32, u32> = Agenda::new(0..100, 3, 2);
        (0..2).for_each(|guest| agenda.then(guest));
        assert_eq!((agenda.begin(), agenda.begin()), (Some(Next::Guest(0)), Some(Next::Guest(1))));
        let mut read = 0;
        while let Some(Next::Config(config)) = agenda.begin() {
            agenda.ended(false);
            agenda.then(config);
            read += 1;
        }
        assert_eq!(read, AHEAD);
        agenda.ended(true);
        assert_eq!(agenda.begin(), Some(Next::Guest(0)));
        assert_eq!(agenda.begin(), Some(Next::Config(AHEAD as u32)));
    }
}
