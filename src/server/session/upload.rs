//! `SEND` and `ZSEND`.

use super::{Context, PumpOutcome, Session, Task};
use crate::net::Read;
use crate::proto::extension::Condition;
use crate::proto::{FileName, Refusal, Verb};
use crate::server::Reason;
use crate::server::storage::NoTempFile;
use crate::server::throttled_log::Subject;
use crate::store::{ArchiveError, ClosedTemp, Identity, StorageDir, StoreError, TempFile};

/// A body on its way in.
#[derive(Debug)]
pub(super) struct Upload {
    verb: Verb,
    name: FileName,
    /// Of a `PUT`.
    condition: Condition,
    sink: Sink,
}

/// Where a body goes.
#[derive(Debug)]
enum Sink {
    Temp(TempFile),
    /// Nowhere: the disk failed or is full, and the client, who has begun to send, gets the refusal after the last
    /// byte.
    Refused(Refusal),
    /// Nowhere: the session ends after the last byte, as stock's does.
    RejectAfterBody(StoreError),
}

impl Upload {
    pub(super) fn name(&self) -> &FileName {
        &self.name
    }
}

impl Session {
    pub(super) fn offered(
        &mut self,
        verb: Verb,
        name: FileName,
        size: u64,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        if !cx.storage.permits(&self.who(), verb, name.as_bytes()) {
            return self.refuse(name.as_bytes(), Refusal::NotAllowed, cx);
        }
        let dir = match cx.storage.dir_of(name.as_bytes(), cx.io.now()) {
            Ok(dir) => dir,
            Err(error) => {
                return self.take(verb, name, size, (Condition::None, Sink::RejectAfterBody(error)), cx);
            }
        };
        if !cx.storage.settings().overwrite && dir.exists(&name).unwrap_or(false) {
            return self.refuse(name.as_bytes(), Refusal::Exists, cx);
        }
        self.take_into(verb, name, size, (dir, Condition::None), cx)
    }

    /// Asks for a body that goes to that directory.
    pub(super) fn take_into(
        &mut self,
        verb: Verb,
        name: FileName,
        size: u64,
        (dir, condition): (StorageDir, Condition),
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        let sink = match cx.storage.create_temp(&dir, &name, size, cx.io.now()) {
            Ok(temp) => Sink::Temp(temp),
            Err(error) => {
                let refusal = self.not_taken(&name, &error, cx);
                return self.refuse(name.as_bytes(), refusal, cx);
            }
        };
        self.take(verb, name, size, (condition, sink), cx)
    }

    /// Asks for a body.
    fn take(
        &mut self,
        verb: Verb,
        name: FileName,
        size: u64,
        (condition, sink): (Condition, Sink),
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        self.body_begins(size, cx);
        self.task = Task::Uploading(Upload { verb, name, condition, sink });
        Ok(self.machine.accept()?)
    }

    /// Moves bytes of a body from the connection to the disk.
    pub(super) fn receive_body(&mut self, left: u64, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        let (task, mut failed) = (&mut self.task, None);
        let read = cx.io.read(left, &mut |bytes| {
            if let Task::Uploading(Upload { sink: Sink::Temp(temp), .. }) = task {
                let has_room = temp.make_room(bytes.len() as u64).map_err(NoTempFile::Full);
                failed = has_room.and_then(|()| temp.write(bytes).map_err(NoTempFile::Failed)).err();
            }
            bytes.len()
        })?;
        if let (Some(error), Task::Uploading(upload)) = (failed, &self.task) {
            let refusal = self.not_taken(upload.name(), &error, cx);
            if let Task::Uploading(upload) = &mut self.task {
                upload.sink = Sink::Refused(refusal);
            }
        }
        match read {
            Read::Bytes(count) => {
                self.extend_deadline(left.saturating_sub(count as u64), cx);
                self.machine.body_transferred(count as u64)?;
                Ok(None)
            }
            Read::Blocked => Ok(Some(PumpOutcome::Blocked)),
            Read::Eof { orderly } => self.handle_eof(orderly, cx),
        }
    }

    pub(super) fn body_complete(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Task::Uploading(Upload { verb, name, condition, sink }) = std::mem::replace(&mut self.task, Task::Idle)
        else {
            return Ok(());
        };
        let mut temp = match sink {
            Sink::Temp(temp) => temp,
            Sink::Refused(refusal) => return self.refuse(name.as_bytes(), refusal, cx),
            Sink::RejectAfterBody(error) => return Err(Reason::NoDirectory(error)),
        };
        let has_room = temp.complete().map_err(NoTempFile::Full);
        match has_room.and_then(|()| temp.finish().map_err(NoTempFile::Failed)) {
            Err(error) => {
                let refusal = self.not_taken(&name, &error, cx);
                self.refuse(name.as_bytes(), refusal, cx)
            }
            Ok(archive) if verb == Verb::Zsend => {
                Self::clear_deadline(cx);
                let wanted = cx.storage.unpack(cx.id, self.client(), archive);
                self.task = Task::Unpacking { name, _wanted: wanted };
                Ok(())
            }
            Ok(written) => match condition {
                Condition::None => {
                    self.store(name, written, (true, None), cx);
                    Ok(())
                }
                Condition::Absent => {
                    self.store(name, written, (false, None), cx);
                    Ok(())
                }
                Condition::Hash(hash) => self.compare_replaced(name, written, hash, cx),
            },
        }
    }

    /// Has it stored; whether it may replace another, and which one alone.
    pub(super) fn store(
        &mut self,
        name: FileName,
        written: ClosedTemp,
        (may_replace, expected): (bool, Option<Identity>),
        cx: &mut Context<'_>,
    ) {
        Self::clear_deadline(cx);
        let (size, replaces) = (written.size(), expected.is_some());
        cx.storage.store(cx.id, name.clone(), written, may_replace, expected);
        self.task = Task::Storing { name, size, replaces };
    }

    /// The archive has been unpacked, or not.
    pub(super) fn unpacked(
        &mut self,
        name: FileName,
        result: Result<ClosedTemp, ArchiveError>,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match result {
            Ok(written) => {
                self.store(name, written, (true, None), cx);
                Ok(())
            }
            Err(ArchiveError::Store(error)) => {
                let refusal = self.not_stored(&name, &error, cx);
                self.refuse(name.as_bytes(), refusal, cx)
            }
            Err(ArchiveError::Full(full)) => {
                let refusal = self.not_taken(&name, &NoTempFile::Full(full), cx);
                self.refuse(name.as_bytes(), refusal, cx)
            }
            Err(error) => {
                let client = self.client();
                let text = format!("client={client} file={name} reason=archive {error}");
                cx.log.warn(Subject::Client(client), "archive", &text, cx.io.now());
                self.refuse(name.as_bytes(), Refusal::BadArchive, cx)
            }
        }
    }

    /// The file has been stored, or not.
    pub(super) fn stored(
        &mut self,
        name: &FileName,
        (size, replaces): (u64, bool),
        result: Result<(), StoreError>,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match result {
            Ok(()) => {
                self.log("stored", name, size);
                cx.status.stored.add(size, self.client(), cx.io.now());
                cx.log.stored(cx.io.now());
                Ok(self.machine.stored()?)
            }
            Err(StoreError::Exists(_)) if replaces => self.refuse(name.as_bytes(), Refusal::Changed, cx),
            Err(StoreError::Exists(_)) => self.refuse(name.as_bytes(), Refusal::Exists, cx),
            Err(error) => {
                let refusal = self.not_stored(name, &error, cx);
                self.refuse(name.as_bytes(), refusal, cx)
            }
        }
    }
}

impl Session {
    /// Logs a file that the disk did not take, once for many clients; what the client is to be reported.
    fn not_stored(&self, name: &FileName, error: &StoreError, cx: &mut Context<'_>) -> Refusal {
        let client = self.client();
        let text = format!("client={client} file={name} reason=store cannot be stored: {error}");
        cx.log.warn(Subject::Storage, &error.log_key(), &text, cx.io.now());
        if error.is_full() { Refusal::NoRoom } else { Refusal::Failed }
    }

    /// The same, where the quota may be in the way.
    fn not_taken(&self, name: &FileName, error: &NoTempFile, cx: &mut Context<'_>) -> Refusal {
        match error {
            NoTempFile::Failed(error) => self.not_stored(name, error, cx),
            NoTempFile::Full(full) => {
                let text = format!("client={} file={name} reason=quota {full}", self.client());
                cx.log.warn(Subject::Storage, full.limit(), &text, cx.io.now());
                Refusal::NoRoom
            }
        }
    }
}
