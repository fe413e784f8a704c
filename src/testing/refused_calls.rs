//! For tests: system calls that fail, as they do on filesystems and in containers that lack them.

use std::collections::BTreeMap;
use std::thread;

use rustix::fs::RenameFlags;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// A system call, and what it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) call: i64,
    /// Of which argument, by its number, has which value; any otherwise.
    pub(crate) only: Option<(u8, u64)>,
    pub(crate) errno: Errno,
}

/// A call that always answers `errno`.
pub(crate) fn refused(call: i64, errno: Errno) -> Refused {
    Refused { call, only: None, errno }
}

/// The exclusive rename alone.
pub(crate) fn exclusive_rename(errno: Errno) -> Refused {
    let no_replace = u64::from(RenameFlags::NOREPLACE.bits());
    Refused { call: libc::SYS_renameat2, only: Some((4, no_replace)), errno }
}

/// Does `work` on a thread for which, and for what it starts, these calls fail.
pub(crate) fn without<T: Send>(calls: &[Refused], work: impl FnOnce() -> T + Send) -> T {
    let filtered = || {
        for &call in calls {
            apply_filter(&program(call)).unwrap();
        }
        work()
    };
    thread::scope(|scope| scope.spawn(filtered).join().unwrap())
}

fn program(call: Refused) -> BpfProgram {
    let equals =
        |(number, value)| SeccompCondition::new(number, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap();
    let rules = call.only.map(|only| SeccompRule::new(vec![equals(only)]).unwrap()).into_iter().collect();
    let answer = SeccompAction::Errno(call.errno.raw_os_error().cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = BTreeMap::from([(call.call, rules)]);
    SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture).unwrap().try_into().unwrap()
}
