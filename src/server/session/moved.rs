//! Files that a client was moved: they are removed once it shows that it has them.

use std::time::Duration;

use super::{Context, LINE, PumpOutcome, Session};
use crate::net::Read;
use crate::proto::FileName;
use crate::server::Reason;
use crate::server::claims::Claim;
use crate::server::ports::Connection;
use crate::store::{Identity, StorageDir};

/// How soon to look again whether the client's kernel has acknowledged everything.
const ACKNOWLEDGED_SOON: Duration = Duration::from_millis(5);

/// A file that was moved to a client who has not shown that it has it.
#[derive(Debug)]
pub(in crate::server) struct MovedFile {
    pub(in crate::server) dir: StorageDir,
    pub(in crate::server) name: FileName,
    pub(in crate::server) identity: Identity,
    /// Until it has shown that, or is gone, nobody else is moved it.
    pub(super) _claim: Claim,
}

impl Session {
    /// Whether the client has been moved files and not shown yet that it has them. Its orderly end would.
    pub(in crate::server) fn has_unconfirmed(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Whether the client's next command shows that it has what it was moved. Not if it came before the kernel's word
    /// that the last byte arrived, which it would have brought along.
    pub(super) fn check_receipt(&mut self, io: &mut dyn Connection) {
        if self.moved.is_empty() {
            return;
        }
        if !io.has_input() {
            self.machine.caught_up();
        } else if self.machine.awaits_proof() && io.unacknowledged().is_ok_and(|bytes| bytes > 0) {
            self.machine.sent_ahead();
        }
    }

    /// The client closes in good order once its kernel has all that we wrote, and did not refuse it: then it has read
    /// it, or it would have reset the connection instead.
    pub(super) fn handle_eof(&mut self, orderly: bool, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        if orderly && !self.moved.is_empty() && cx.io.unacknowledged().is_ok_and(|bytes| bytes > 0) {
            return Ok(Some(PumpOutcome::For(ACKNOWLEDGED_SOON)));
        }
        self.machine.handle_eof(orderly)?;
        Ok(None)
    }

    /// The client has quit, and whether it has the files it was moved shows in how it closes.
    pub(super) fn await_end(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        match cx.io.read(LINE, &mut <[u8]>::len)? {
            Read::Bytes(_) => Ok(None),
            Read::Blocked => Ok(Some(PumpOutcome::Leaving)),
            Read::Eof { orderly } => {
                let pause = self.handle_eof(orderly, cx)?;
                Ok(pause.or(Some(PumpOutcome::Over)))
            }
        }
    }
}
