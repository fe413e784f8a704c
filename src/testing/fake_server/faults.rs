//! Ways to misbehave, and when.

use std::time::Duration;

use super::command::Verb;

/// A way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// At a connection: accepts it and never sends or does anything again.
    HangAfterAccept,
    /// At a TLS connection: takes the client's hello, sends half of what belongs next, and falls silent.
    HangInTls,
    /// At a connection: speaks plain where TLS is expected.
    PlainWhereTls,
    /// At a command: never answers it.
    Hang,
    /// At a command: closes instead of answering.
    Close,
    /// At a command: resets the connection instead of answering.
    Reset,
    /// At a command: answers with this many random bytes.
    Garbage(usize),
    /// At a command: answers `<VERB> ERR`.
    Refuse,
    /// At a command: closes once it has been carried out.
    CloseAfter,
    /// Keeps a file that was moved, as a server does whose client has not shown yet that it has it.
    KeepMoved,
    /// At a command: thinks for so long before it answers.
    Slow(Duration),
    /// At a body: announces another size than it sends.
    WrongSize(WrongSize),
    /// At a file: after the client's `OK`, and before it is opened, the file is overwritten with this.
    OverwriteBetween(Vec<u8>),
    /// At a file: after the client's `OK`, and before it is opened, the file disappears.
    VanishBetween,
    /// At a body: sends this many bytes of it and falls silent.
    StallBody {
        /// Bytes sent.
        after: usize,
    },
    /// At a body: sends it in drops.
    DripBody {
        /// Bytes in a drop.
        bytes: usize,
        /// From one drop to the next.
        every: Duration,
    },
    /// At a body: sends this many bytes of it and closes.
    CutBody {
        /// Bytes sent.
        after: usize,
    },
    /// At a body: another bit comes at this place.
    DamageBody {
        /// Its byte.
        at: usize,
    },
    /// At a body: sends this many bytes of it and resets the connection.
    ResetBody {
        /// Bytes sent.
        after: usize,
    },
}

/// What is announced in place of a body's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongSize {
    /// This many bytes more than are sent.
    Over(u64),
    /// This many bytes fewer than are sent (at least 0).
    Under(u64),
    /// This text, number or not.
    Literally(&'static str),
}

impl WrongSize {
    pub(super) fn about(&self, size: u64) -> String {
        match self {
            Self::Over(more) => size.saturating_add(*more).to_string(),
            Self::Under(fewer) => size.saturating_sub(*fewer).to_string(),
            Self::Literally(text) => (*text).to_owned(),
        }
    }
}

impl Fault {
    /// Plays the fault at each connection, or at each command, whatever it asks for.
    pub fn always(self) -> FaultRule {
        FaultRule { fault: self, verb: None, skip: 0, times: usize::MAX }
    }

    /// Plays the fault at each command `verb`.
    pub fn at(self, verb: Verb) -> FaultRule {
        FaultRule { verb: Some(verb), ..self.always() }
    }

    fn is_played_at_connections(&self) -> bool {
        matches!(self, Self::HangAfterAccept | Self::HangInTls | Self::PlainWhereTls)
    }
}

/// A fault and its occasions: connections, or commands of one kind, counted over the server's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    fault: Fault,
    verb: Option<Verb>,
    skip: usize,
    times: usize,
}

impl FaultRule {
    /// Behaves on the first `occasions`.
    #[must_use]
    pub fn after(self, occasions: usize) -> Self {
        Self { skip: occasions, ..self }
    }

    /// Plays the fault so many times, then behaves.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Plays the fault one time, then behaves.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// FaultRule, and how many of its occasions have passed.
#[derive(Debug)]
pub(super) struct Plan {
    rule: FaultRule,
    passed: usize,
}

impl Plan {
    pub(super) fn new(faults: FaultRule) -> Self {
        Self { rule: faults, passed: 0 }
    }

    /// Counts a connection; the fault if it is to be played there.
    pub(super) fn at_connection(&mut self) -> Option<Fault> {
        self.rule.fault.is_played_at_connections().then(|| self.occasion())?
    }

    /// Counts a command; the fault if it is to be played there.
    pub(super) fn at_command(&mut self, verb: Verb) -> Option<Fault> {
        let meant = self.rule.verb.is_none_or(|meant| meant == verb);
        (meant && !self.rule.fault.is_played_at_connections()).then(|| self.occasion())?
    }

    fn occasion(&mut self) -> Option<Fault> {
        let played = self.passed.checked_sub(self.rule.skip);
        self.passed += 1;
        played.filter(|&played| played < self.rule.times).map(|_| self.rule.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_occasions_meant_are_counted() {
        let mut plan = Plan::new(Fault::Close.at(Verb::Recv).after(1).times(2));
        assert_eq!(plan.at_connection(), None);
        assert_eq!(plan.at_command(Verb::Ls), None);
        let played: Vec<bool> = (0..5).map(|_| plan.at_command(Verb::Recv).is_some()).collect();
        assert_eq!(played, [false, true, true, false, false]);
    }

    #[test]
    fn a_trick_for_connections_is_not_played_at_commands() {
        let mut plan = Plan::new(Fault::HangInTls.always().once());
        assert_eq!(plan.at_command(Verb::Ls), None);
        assert_eq!(plan.at_connection(), Some(Fault::HangInTls));
        assert_eq!(plan.at_connection(), None);
    }
}
