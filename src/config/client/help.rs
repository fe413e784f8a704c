//! What `-h` prints.

/// The options, on one screen.
pub const HELP: &str = "\
Usage: tentacle_client [options] FILE...       send files; of a DIRECTORY, the files in it
       tentacle_client -g [options] FILE...    get files into the current directory

The server
  -a ADDRESS     its name or address (default 127.0.0.1)
  -p PORT        its port (default 41121)
  -x PASSWORD    its password; visible to all users of this machine
  -y PROXY       go through an HTTP proxy: [user:password@]address:port
  -b ADDRESS     connect from this local address

Files
  -g             get files rather than send them
  -z             compress them on the way

TLS
  -c             use TLS, without a certificate of ours
  -e FILE        use TLS, with our certificate (PEM)
  -k FILE        its private key (default: in the same file)
  -w             ask for the key's passphrase
  -f FILE        check the server's certificate: of this CA, and for ADDRESS

Running
  -t SECONDS     one wait for the network (default 1)
  -r NUMBER      repeated waits before a silent server is given up (default 3)
  -v             print what happens, and what may help after an error
  -q             print no errors
  -h, --help     this text; exit status 1 with -h, 0 with --help
      --version  the version

Exit status: 0 all is done; 1 something is not: see tentacle_client(1).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_there() {
        for letter in "abcefghkpqrtvwxyz".chars() {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("  -{letter}"))), "-{letter}");
        }
        for long in ["--help", "--version"] {
            assert!(HELP.contains(long), "{long}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }
}
