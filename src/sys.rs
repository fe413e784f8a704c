//! System calls that no crate offers without `unsafe`.
#![expect(unsafe_code, reason = "ioctl is untyped; see each call for why it is sound")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Linux's `SIOCOUTQNSD`, which the crate `libc` does not name.
const UNSENT: libc::Ioctl = 0x894b;

/// How many bytes written to a TCP socket its peer's kernel has not acknowledged yet (`SIOCOUTQ`). Once our direction
/// is shut down, its end counts as one.
pub(crate) fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    // TIOCOUTQ is Linux's SIOCOUTQ.
    queued(socket, libc::TIOCOUTQ)
}

/// How many bytes written to a TCP socket have not been sent yet, as the peer or the line takes no more for now
/// (`SIOCOUTQNSD`). What is written next leaves with them.
pub(crate) fn unsent(socket: &impl AsFd) -> io::Result<usize> {
    queued(socket, UNSENT)
}

fn queued(socket: &impl AsFd, request: libc::Ioctl) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and so open throughout; both requests of this module's write one int, to memory
    // that is ours and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut count) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// How many bytes a TCP connection has moved so far: those that its peer's kernel has acknowledged, and those that came
/// (`TCP_INFO`, as of Linux 4.2).
pub(crate) fn moved(socket: &impl AsFd) -> io::Result<u64> {
    /// Where `struct tcp_info` has `tcpi_bytes_acked` and `tcpi_bytes_received`, in numbers of 8 bytes.
    const ACKNOWLEDGED: usize = 15;
    const RECEIVED: usize = 16;
    let mut info = [0_u64; RECEIVED + 1];
    let size = libc::socklen_t::try_from(size_of_val(&info)).expect("it is small");
    let mut length = size;
    // SAFETY: the descriptor is borrowed and so open throughout; the kernel writes at most `length` bytes, as many as
    // `info` has, and their number to `length`; both are ours and outlive the call. Any bytes are numbers.
    let result = unsafe {
        let (info, length) = (info.as_mut_ptr().cast(), &raw mut length);
        libc::getsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info, length)
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ if length < size => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(info[ACKNOWLEDGED].saturating_add(info[RECEIVED])),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_connection_moves_both_ways_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = moved(&server).unwrap();
        client.write_all(&[0; 1000]).unwrap();
        server.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(moved(&server).unwrap() - before, 1000);
        server.write_all(&[0; 500]).unwrap();
        client.read_exact(&mut [0; 500]).unwrap();
        while unacknowledged(&server).unwrap() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(moved(&server).unwrap() - before, 1500);
    }

    #[test]
    fn what_the_peer_has_no_room_for_is_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(unsent(&client).unwrap(), 0);
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 4096]).is_ok() {}
        assert!(unsent(&client).unwrap() > 0);
        server.set_nonblocking(true).unwrap();
        while unsent(&client).unwrap() > 0 {
            let _ = server.read(&mut [0; 4096]);
        }
    }
}
