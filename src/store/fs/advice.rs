//! What to do about an action that has failed, by the system's answer: in the words that follow it in a message.

use rustix::io::Errno;

/// An action, as [`StoreError::Io`](super::error::StoreError::Io) has them: taking a lock.
pub(in crate::store) const LOCK: &str = "lock";
/// An action: starting a thread.
pub(in crate::store) const START_THREAD: &str = "start a thread";
/// An action: giving the staging area the group of the directory around it.
pub(in crate::store) const SET_GROUP: &str = "give the staging area the group of the directory around it";

/// What to do, by the call that failed and what the system answered: one answer means one thing for a file, and another for
/// a lock or a thread.
pub(super) fn advice(action: &str, errno: Errno) -> &'static str {
    match action {
        START_THREAD => advice_for_thread(errno),
        LOCK => advice_for_lock(errno),
        SET_GROUP => ": let the user this runs as be in that group, or remove the staging area, which is made anew",
        _ => advice_for_file(action, errno),
    }
}

fn advice_for_thread(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS | Errno::NOSYS => {
            ": the container's runtime forbids it, or another sandbox, as Docker before 20.10.10 forbids clone3: update the \
             runtime, or give it a seccomp profile that allows threads"
        }
        Errno::AGAIN => {
            ": let this process have more threads (TasksMax= of its systemd unit, ulimit -u, --pids-limit of a container)"
        }
        Errno::NOMEM => ": let this process have more memory (MemoryMax= of its systemd unit, --memory of a container)",
        _ => "",
    }
}

fn advice_for_lock(errno: Errno) -> &'static str {
    match errno {
        Errno::NOLCK => {
            ": on NFS, start rpc.statd here and at the server, or mount it with local_lock=flock (NFS 3: nolock) if no other \
             machine works there"
        }
        Errno::IO | Errno::NOSPC => advice_for_file(LOCK, errno),
        _ => "",
    }
}

/// What to do about a filesystem that is read-only, as it is to a service unless its unit is written otherwise.
pub(crate) const MOUNT_WRITABLE: &str = ": mount it writable, or name it in ReadWritePaths= of the systemd unit";

/// Actions that change nothing, and after which nothing is to be changed.
const READING: [&str; 5] = ["read", "list", "look at", "read the journal", "count the files in"];

/// Actions on a directory that is to be there already.
const ON_DIRECTORY: [&str; 3] = ["open the directory", "make the state directory", "open the state directory"];

fn advice_for_file(action: &str, errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC => ": free some space on that filesystem",
        Errno::DQUOT => ": free some space or raise the quota",
        Errno::ROFS => MOUNT_WRITABLE,
        Errno::IO => ": look for disk errors in the kernel's log",
        Errno::ACCESS if READING.contains(&action) => ": give the user this runs as the right to read there",
        Errno::ACCESS => ": give the user this runs as the right to read and write there",
        Errno::PERM => {
            ": give the user this runs as the right to write there; if it has it, look for the immutable attribute (lsattr), a \
             sticky directory, or a security module's rules"
        }
        Errno::NOTDIR => ": a directory belongs there",
        Errno::NOENT if ON_DIRECTORY.contains(&action) => ": create it, owned by the user this runs as",
        Errno::NOENT => ": somebody has removed it, or the directory that it belongs in",
        Errno::FBIG => ": let this process write larger files (LimitFSIZE= of its systemd unit, ulimit -f)",
        Errno::MFILE | Errno::NFILE => {
            ": let this process open more files (LimitNOFILE= of its systemd unit, ulimit -n)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_call_that_failed() {
        for (action, errno, part) in [
            ("write", Errno::ACCESS, "the right to read and write there"),
            ("read", Errno::ACCESS, "the right to read there"),
            ("remove", Errno::PERM, "immutable"),
            ("open the directory", Errno::NOENT, ": create it"),
            ("publish", Errno::NOENT, "somebody has removed it"),
            (LOCK, Errno::NOLCK, "rpc.statd"),
            (START_THREAD, Errno::PERM, "clone3"),
            (START_THREAD, Errno::AGAIN, "TasksMax="),
        ] {
            let text = advice(action, errno);
            assert!(text.contains(part), "{text}");
        }
        for errno in [Errno::PERM, Errno::ACCESS, Errno::NOENT] {
            for action in [LOCK, START_THREAD] {
                let text = advice(action, errno);
                assert!(!text.contains("right to") && !text.contains("create it"), "{text}");
            }
        }
    }
}
