//! What the caller makes of a client's requests: each answers an event.

use std::collections::VecDeque;

use super::{AfterBody, CloseReason, Compression, Expected, Misuse, Server, State};
use crate::proto::extension::{ExtensionReply, Remaining};
use crate::proto::{Refusal, Reply, Verb};

impl Server {
    /// Asks for the offered body; that of a `PUT` comes unasked.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::Offered`](super::Event::Offered) or
    /// [`Event::PutOffered`](super::Event::PutOffered).
    pub fn accept(&mut self) -> Result<(), Misuse> {
        let State::Offered { verb, size } = self.state else { return Err(self.misuse("accept()")) };
        if verb != Verb::Put {
            self.reply(verb, &Reply::Ok);
        }
        self.receive(verb, size);
        Ok(())
    }

    /// Answers that the body is stored.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::BodyComplete`](super::Event::BodyComplete).
    pub fn stored(&mut self) -> Result<(), Misuse> {
        let State::Storing { verb } = self.state else { return Err(self.misuse("stored()")) };
        self.reply(verb, &Reply::Ok);
        self.state = State::awaiting(Expected::Command);
        Ok(())
    }

    /// Answers how many bytes there are of what it asked for, at most [`MAX_SIZE`](crate::proto::MAX_SIZE).
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::Asked`](super::Event::Asked), of a command of stock's, or
    /// [`Event::ListAsked`](super::Event::ListAsked).
    pub fn announce(&mut self, size: u64) -> Result<(), Misuse> {
        let State::Asked { verb: verb @ (Verb::Ls | Verb::Recv | Verb::Zrecv | Verb::Mv) } = self.state else {
            return Err(self.misuse("announce()"));
        };
        self.reply(verb, &Reply::Size(size));
        self.state = State::awaiting(Expected::Answer { verb, size });
        Ok(())
    }

    /// Answers `GET` with a file of so many bytes, written at `mtime`, in nanoseconds since 1970; the bytes follow.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::Asked`](super::Event::Asked) of [`Verb::Get`].
    pub fn give_file(&mut self, size: u64, mtime: u64) -> Result<(), Misuse> {
        let State::Asked { verb: Verb::Get } = self.state else { return Err(self.misuse("give_file()")) };
        self.outbox.fill(|out| ExtensionReply::File { size, mtime }.encode(Verb::Get, out));
        self.supply(Verb::Get, size);
        Ok(())
    }

    /// Answers `LIST` with a page of so many bytes, which follow, and with what follows these.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::PageAsked`](super::Event::PageAsked).
    pub fn give_page(&mut self, size: u64, remaining: Option<Remaining>) -> Result<(), Misuse> {
        let State::Asked { verb: Verb::List } = self.state else { return Err(self.misuse("give_page()")) };
        self.outbox.fill(|out| ExtensionReply::Page { size, remaining }.encode(Verb::List, out));
        self.supply(Verb::List, size);
        Ok(())
    }

    /// Answers `DEFLATE`: all that follows is compressed, in both directions.
    /// [`Want::Compression`](super::Want::Compression) says from where.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::CompressionAsked`](super::Event::CompressionAsked).
    pub fn consent(&mut self) -> Result<(), Misuse> {
        let State::Asked { verb: Verb::Deflate } = self.state else { return Err(self.misuse("consent()")) };
        self.outbox.fill(|out| ExtensionReply::Done.encode(Verb::Deflate, out));
        self.state = State::Switching;
        Ok(())
    }

    /// What is taken from now on has been decompressed, and what is to be transmitted will be compressed.
    ///
    /// # Errors
    /// Nothing is done unless [`Want::Compression`](super::Want::Compression) and all of [`transmit`](Self::transmit) is written.
    pub fn compressed(&mut self) -> Result<(), Misuse> {
        match self.state {
            State::Switching if self.outbox.pending().is_empty() => {
                self.compression = Compression::On;
                self.state = State::awaiting(Expected::Command);
                Ok(())
            }
            _ => Err(self.misuse("compressed()")),
        }
    }

    /// The file is being removed: [`dropped`](Self::dropped) says what came of it. Meanwhile the session goes on.
    ///
    /// # Errors
    /// Nothing is done unless the last event was [`Event::DropAsked`](super::Event::DropAsked).
    pub fn dropping(&mut self) -> Result<(), Misuse> {
        let State::Asked { verb: Verb::Drop } = self.state else { return Err(self.misuse("dropping()")) };
        self.drops.push_back(None);
        self.state = State::awaiting(Expected::Command);
        Ok(())
    }

    /// What came of the oldest `DROP` that is under way. Then [`resume`](Self::resume).
    ///
    /// # Errors
    /// Nothing is done if none is.
    pub fn dropped(&mut self, result: Result<(), Refusal>) -> Result<(), Misuse> {
        let Some(oldest) = self.drops.iter_mut().find(|answer| answer.is_none()) else {
            return Err(self.misuse("dropped()"));
        };
        *oldest = Some(result.map_or_else(ExtensionReply::Refused, |()| ExtensionReply::Done));
        while let Some(Some(answer)) = self.drops.front() {
            self.outbox.fill(|out| answer.encode(Verb::Drop, out));
            self.drops.pop_front();
        }
        if self.drops.is_empty() {
            // An idle session holds no memory.
            self.drops = VecDeque::new();
        }
        Ok(())
    }

    /// Takes up the command that waited for answers, if there is one and none is owed any more.
    ///
    /// # Errors
    /// The session is over.
    pub fn resume(&mut self) -> Result<(), CloseReason> {
        match &mut self.state {
            State::Held { line } if self.drops.is_empty() => {
                let line = std::mem::take(line);
                self.execute(&line)
            }
            _ => Ok(()),
        }
    }

    /// Does not do what was asked; the session goes on.
    ///
    /// # Errors
    /// Nothing is done unless [`Want::Decision`](super::Want::Decision).
    pub fn refuse(&mut self, refusal: Refusal) -> Result<(), Misuse> {
        match self.state {
            State::Offered { verb: verb @ Verb::Put, size } => {
                self.state = State::Discarding { verb, remaining: size, then: AfterBody::Refuse(refusal) };
            }
            State::Offered { verb, .. } | State::Storing { verb } | State::Asked { verb } => {
                self.refuse_now(verb, refusal);
            }
            _ => return Err(self.misuse("refuse()")),
        }
        Ok(())
    }
}
