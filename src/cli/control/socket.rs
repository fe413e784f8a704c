//! The control socket as a file: where it is, and who may use it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use rustix::fs::access;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::Program;
use crate::file::Owner;
use crate::proto::quoted;

/// Its name in a directory of ours.
const NAME: &str = "control.sock";

/// Clients that the kernel keeps until they are taken.
const BACKLOG: i32 = 128;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ControlSocketError {
    /// Somebody answers there.
    #[error("another process serves the control socket {}: name another one with control_socket", quoted(.0))]
    InUse(PathBuf),
    /// The name is taken.
    #[error("{} is there, and no socket: name another place with control_socket, or remove it", quoted(.0))]
    NoSocket(PathBuf),
    /// There is nobody.
    #[error("control_group: there is no group {}", quoted(.0))]
    NoSuchGroup(String),
    /// The system's error.
    #[error("cannot {action} the control socket {}: {error}{}", quoted(path), advice(.error))]
    Io {
        /// What failed.
        action: &'static str,
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; its directory has to be there",
        _ if error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => {
            "; a socket's path has 107 bytes at the most: name a shorter one with control_socket"
        }
        _ => "",
    }
}

/// What decides where the socket is, where it is not named.
#[derive(Clone, Copy)]
pub(in crate::cli) struct SocketEnv {
    /// An environment variable.
    pub(in crate::cli) var: fn(&str) -> Option<OsString>,
    /// Whether this user may make files in a directory that is there.
    pub(in crate::cli) is_usable: fn(&Path) -> bool,
}

impl SocketEnv {
    /// This process's own.
    pub(in crate::cli) fn of_process() -> Self {
        let is_usable =
            |directory: &Path| directory.is_dir() && access(directory, rustix::fs::Access::WRITE_OK).is_ok();
        Self { var: |name| std::env::var_os(name), is_usable }
    }

    fn runtime_dir(self) -> Option<PathBuf> {
        let directories = (self.var)("RUNTIME_DIRECTORY")?;
        std::env::split_paths(&directories).next().filter(|path| path.is_absolute())
    }
}

/// Where the daemon serves it: where its configuration says; else in systemd's directory, the system's, the one for state.
pub(in crate::cli) fn place(configured: Option<&Path>, state_dir: &Path, env: SocketEnv) -> PathBuf {
    let system = || Some(PathBuf::from(Program::Syncd.runtime_dir())).filter(|directory| (env.is_usable)(directory));
    let directory = || env.runtime_dir().or_else(system).unwrap_or_else(|| state_dir.to_owned());
    configured.map_or_else(|| directory().join(NAME), Path::to_owned)
}

/// Where the server at a site serves it: where its configuration says, else in systemd's directory; nowhere without either,
/// as the stock program, which has none.
pub(in crate::cli) fn place_of_server(configured: Option<&Path>, env: SocketEnv) -> Option<PathBuf> {
    let directory = || env.runtime_dir().map(|directory| directory.join(NAME));
    configured.map(Path::to_owned).or_else(directory)
}

/// Where clients look for it, in this order: they may be other users, or run in another environment, than the program.
pub(in crate::cli) fn places(
    program: Program,
    configured: Option<&Path>,
    state_dir: Option<&Path>,
    env: SocketEnv,
) -> Vec<PathBuf> {
    if let Some(path) = configured {
        return vec![path.to_owned()];
    }
    let system = Some(PathBuf::from(program.runtime_dir()));
    let directories = [env.runtime_dir(), system, state_dir.map(Path::to_owned)];
    let mut places: Vec<PathBuf> = directories.into_iter().flatten().map(|directory| directory.join(NAME)).collect();
    places.dedup();
    places
}

/// A socket's file. It is removed when dropped, which is to be when nobody listens any more: where somebody does, another
/// has taken its place.
#[derive(Debug)]
pub(in crate::cli) struct ControlSocket(PathBuf);

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that cannot be removed is replaced by the next start.
        let _ = remove_stale(&self.0);
    }
}

/// Who may use a socket.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Access<'a> {
    /// Its rights.
    pub(in crate::cli) mode: u32,
    /// Its group, by name.
    pub(in crate::cli) group: Option<&'a str>,
    /// Whose it is to be, where that is not who makes it.
    pub(in crate::cli) owner: Option<Owner>,
}

/// Makes the socket. One that no process serves any more is replaced.
pub(in crate::cli) fn serve(
    path: &Path,
    access: Access<'_>,
) -> Result<(UnixListener, ControlSocket), ControlSocketError> {
    let failed = |action| move |error: io::Error| ControlSocketError::Io { action, path: path.to_owned(), error };
    let group = access.group.map(|name| group_id(name).ok_or_else(|| ControlSocketError::NoSuchGroup(name.to_owned())));
    let group = group.transpose()?;
    remove_stale(path)?;
    let kind = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let address = SocketAddrUnix::new(path).map_err(|errno| failed("make")(errno.into()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, kind, None);
    let socket = socket.map_err(|errno| failed("make")(errno.into()))?;
    bind(&socket, &address).map_err(|errno| failed("make")(errno.into()))?;
    let served = ControlSocket(path.to_owned());
    // Nobody can connect before it listens, whatever rights it has until then.
    if let Some(owner) = access.owner {
        chown(path, Some(owner.uid), Some(owner.gid)).map_err(failed("give its user"))?;
    }
    if group.is_some() {
        chown(path, None, group).map_err(failed("give control_group"))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode)).map_err(failed("give control_mode"))?;
    listen(&socket, BACKLOG).map_err(|errno| failed("listen on")(errno.into()))?;
    Ok((socket.into(), served))
}

fn group_id(name: &str) -> Option<u32> {
    Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

/// Removes a socket that a process has left behind that died.
fn remove_stale(path: &Path) -> Result<(), ControlSocketError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(ControlSocketError::NoSocket(path.to_owned())),
        // Whatever else is wrong shows when it is made.
        Err(_) => return Ok(()),
    }
    match reach(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(|error| ControlSocketError::Io {
            action: "replace",
            path: path.to_owned(),
            error,
        }),
        // Also where so many wait there that nobody else may: somebody listens.
        Ok(_) | Err(Errno::AGAIN | Errno::ACCESS) => Err(ControlSocketError::InUse(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// Connects to a socket, without waiting where many others do.
pub(in crate::cli) fn reach(path: &Path) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let kind = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, kind, None)?;
    connect(&socket, &address)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: SocketEnv = SocketEnv { var: |_| None, is_usable: |_| false };
    const SYSTEM: SocketEnv = SocketEnv { is_usable: |_| true, ..BARE };
    const SYSTEMD: SocketEnv =
        SocketEnv { var: |name| (name == "RUNTIME_DIRECTORY").then(|| "/run/a:/run/b".into()), ..BARE };

    fn serve(path: &Path, mode: u32, group: Option<&str>) -> Result<(UnixListener, ControlSocket), ControlSocketError> {
        super::serve(path, Access { mode, group, owner: None })
    }

    #[test]
    fn the_daemon_serves_it_where_it_may_and_clients_find_it_there() {
        let state = Path::new("/state");
        for (env, expected) in [
            (BARE, "/state/control.sock"),
            (SYSTEM, "/run/tentacle-sync/control.sock"),
            (SYSTEMD, "/run/a/control.sock"),
        ] {
            let path = place(None, state, env);
            assert_eq!(path, Path::new(expected));
            assert!(places(Program::Syncd, None, Some(state), env).contains(&path));
            let configured = Some(Path::new("/c.sock"));
            assert_eq!(place(configured, state, env), Path::new("/c.sock"));
            assert_eq!(places(Program::Syncd, configured, Some(state), env), [Path::new("/c.sock")]);
        }
    }

    #[test]
    fn the_server_serves_it_where_that_is_asked_for_alone() {
        assert_eq!(place_of_server(None, BARE), None);
        assert_eq!(place_of_server(None, SYSTEM), None, "as the stock program's command line");
        let path = place_of_server(None, SYSTEMD).unwrap();
        assert!(places(Program::Server, None, None, SYSTEMD).contains(&path));
        assert_eq!(places(Program::Server, None, None, BARE), [Path::new("/run/tentacle_server/control.sock")]);
        let configured = Some(Path::new("/c.sock"));
        assert_eq!(place_of_server(configured, SYSTEMD).as_deref(), configured);
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_has_the_rights_that_were_asked_for_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.sock");
        for rights in [0o660, 0o600, 0o666] {
            let (listener, served) = serve(&path, rights, None).unwrap();
            assert_eq!(mode(&path), rights);
            reach(&path).unwrap();
            drop((listener, served));
            assert!(!path.exists());
        }
        let error = serve(&path, 0o660, Some("nobody-of that name")).unwrap_err().to_string();
        assert!(error.contains("control_group") && error.contains("\"nobody-of that name\""), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_one_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.sock");
        let (listener, served) = serve(&path, 0o660, None).unwrap();
        assert!(matches!(serve(&path, 0o660, None), Err(ControlSocketError::InUse(_))), "a live one stays");
        reach(&path).unwrap();
        drop(listener);
        let (listener, successor) = serve(&path, 0o660, None).unwrap();
        drop(served);
        reach(&path).expect("who was replaced does not remove it");
        drop((listener, successor));
        fs::write(&path, "a file").unwrap();
        assert!(matches!(serve(&path, 0o660, None), Err(ControlSocketError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let error = |path: &str| serve(Path::new(path), 0o660, None).unwrap_err().to_string();
        let text = error("/nowhere/c.sock");
        assert!(text.contains("/nowhere/c.sock") && text.contains("its directory has to be there"), "{text}");
        let text = error(&format!("/tmp/{}", "x".repeat(200)));
        assert!(text.contains("107 bytes"), "{text}");
    }
}
