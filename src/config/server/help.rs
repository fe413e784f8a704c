//! What `-h` prints.

/// The options, on one screen.
pub const HELP: &str = "\
Usage: tentacle_server -s DIRECTORY [options]     store what agents send, and hand out files
       tentacle_server -b ADDRESS [options]       relay connections to another Tentacle server

Listening
  -a ADDRESSES   addresses to listen on, separated by commas; 0 is all of them (default 0)
  -p PORT        port to listen on (default 41121)
  -c NUMBER      connections at once; further ones wait (default 10)
  -t SECONDS     one wait for the network (default 1)
  -r NUMBER      repeated waits before a silent client is dropped (default 3)
  -T             admit clients by /etc/hosts.allow and /etc/hosts.deny

Storing
  -s DIRECTORY   the storage directory
  -i FILTERS     regex:directory;regex:directory... the first regex that matches a name decides
  -m SIZE        the largest file, in bytes or as in 64MiB (default 2000000)
  -o             a file may replace another of its name
  -I             clients may list files (LS) and move them away (MV)
      --no-extension  speak stock's protocol alone, to collectors of ours as well
  -x PASSWORD    the password of clients; visible to all users of this machine, unlike `password` in the file

Relaying
  -b ADDRESS     the server to relay to
  -g PORT        its port (default 41121)

TLS
  -e FILE        our certificate (PEM); turns TLS on
  -k FILE        its private key (default: in the same file)
  -f FILE        the CA whose certificates clients must have
  -w             ask for the key's passphrase
  -z VERSIONS    TLS versions, such as TLSv1_3
  -u CIPHERS     ciphers, in OpenSSL's words

Running
  -F FILE        read the configuration file; options here go before it
  -d             go to the background
  -l FILE        write the log there
  -q             log nothing
  -v             log what is transferred and refused
  -V             log everything
      --user NAME    become this user once listening; else root is refused
      --allow-root   stay root: for containers
      --control-socket PATH  serve a socket there on which --status asks (key control_socket)
      --check        read everything, print what is in force, and end; exit status 0 or as below
      --status       ask the server that runs (by this -F) what it is at; exit status 1 if something is wrong
      --json         with --status: print it as JSON
  -h, --help     this text; exit status 1 with -h, 0 with --help
      --version  the version

Exit status: 0 stopped as asked; 1 unusable command line; 2 unusable value or file; 3 anything else, such as a
port that is taken.
SIGHUP reads the configuration and the certificates again; SIGTERM stops.
Rules for who may do what, limits, quotas and the port for metrics (http_listen) are keys of the file: see
tentacle_server(1).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_there() {
        for letter in "abcdefFghiIklmopqrstTuvVwxz".chars() {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("  -{letter}"))), "-{letter}");
        }
        for long in [
            "--help",
            "--version",
            "--user",
            "--allow-root",
            "--check",
            "--no-extension",
            "--status",
            "--json",
            "--control-socket",
        ] {
            assert!(HELP.contains(long), "{long}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 110));
    }
}
