//! The system's hosts.allow and hosts.deny (`-T`), as far as addresses go.
//!
//! Of `daemons : clients` lines those count whose daemons hold `ALL` or `tentacle_server`. Clients are `ALL`, an address,
//! `10.1.` (what begins so), `10.1.0.0/255.255.0.0`, `10.1.0.0/16`, `[fd00::]/8`, and lists of these with `EXCEPT`. The
//! first line that fits decides, in hosts.allow for, then in hosts.deny against; without any the client is admitted. What
//! needs a name lookup or would run a command is refused, since leaving it out would admit or refuse the wrong clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::error::{Diagnostics, Place};
use super::network::{Network, NetworkError};

/// The name of this server in those files.
const DAEMON: &str = "tentacle_server";

/// Who may connect at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsAccess {
    /// The client lists of the lines that admit.
    allow: Vec<List>,
    /// The client lists of the lines that refuse.
    deny: Vec<List>,
}

impl HostsAccess {
    /// Whether a client may connect.
    pub fn admits(&self, client: IpAddr) -> bool {
        let any = |lists: &[List]| lists.iter().any(|list| list.contains(client));
        any(&self.allow) || !any(&self.deny)
    }

    /// Which of the files had lines for this server by `before`, and has none.
    pub(super) fn lost_since(&self, before: &Self) -> [bool; 2] {
        [(&self.allow, &before.allow), (&self.deny, &before.deny)]
            .map(|(now, before)| now.is_empty() && !before.is_empty())
    }

    /// Reads the contents of the two files.
    pub(super) fn parse(allow: (&Path, &[u8]), deny: (&Path, &[u8]), findings: &mut Diagnostics) -> Self {
        Self { allow: parse_file(allow.0, allow.1, findings), deny: parse_file(deny.0, deny.1, findings) }
    }
}

impl fmt::Display for HostsAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines of hosts.allow and {} of hosts.deny apply", self.allow.len(), self.deny.len())
    }
}

/// `items EXCEPT items EXCEPT …`: each exception is one to what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    items: Vec<Pattern>,
    except: Option<Box<List>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    All,
    Of(Network),
}

impl List {
    fn contains(&self, client: IpAddr) -> bool {
        let listed = self.items.iter().any(|pattern| match pattern {
            Pattern::All => true,
            Pattern::Of(network) => network.contains(client),
        });
        listed && !self.except.as_ref().is_some_and(|except| except.contains(client))
    }
}

fn parse_file(path: &Path, bytes: &[u8], findings: &mut Diagnostics) -> Vec<List> {
    let mut lists = Vec::new();
    for (number, line) in logical_lines(&String::from_utf8_lossy(bytes)) {
        match parse_line(&line) {
            Ok(list) => lists.extend(list),
            Err(reason) => {
                let advice = "change the line, or do without -T (use_libwrap) and write allow rules instead";
                findings.error(&Place::Line(path.to_owned(), number), format!("{reason}; {advice}"));
            }
        }
    }
    lists
}

/// The lines that are neither blank nor comments, with the numbers they begin at; a backslash at the end of a line joins
/// the next to it.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (index, line) in text.lines().enumerate() {
        let (part, goes_on) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut() {
            Some((_, whole)) if continues => whole.push_str(part),
            _ => lines.push((index + 1, part.to_owned())),
        }
        continues = goes_on;
    }
    lines.retain(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    lines
}

/// The client list of a line, if its daemons are about us.
fn parse_line(line: &str) -> Result<Option<List>, String> {
    let parts = split_outside_brackets(line);
    let [daemons, clients, options @ ..] = parts.as_slice() else {
        return Err("not understood: expected daemons : clients".to_owned());
    };
    if !names_us(&words(daemons))? {
        return Ok(None);
    }
    if options.iter().any(|option| !option.trim().is_empty()) {
        return Err("not understood: options and commands after the clients".to_owned());
    }
    parse_list(&words(clients)).map(Some)
}

/// At the colons that are not part of an IPv6 address.
fn split_outside_brackets(line: &str) -> Vec<&str> {
    let mut inside = false;
    line.split(|c| {
        inside = c == '[' || (inside && c != ']');
        c == ':' && !inside
    })
    .collect()
}

fn words(list: &str) -> Vec<&str> {
    list.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect()
}

/// Whether `ALL` or our name is in a daemon list and not in its exceptions.
fn names_us(words: &[&str]) -> Result<bool, String> {
    if words.is_empty() {
        return Err("not understood: there are no daemons before the colon".to_owned());
    }
    let (items, except) = split_at_except(words);
    for item in items {
        let daemon = item.split('@').next().unwrap_or_default();
        let is_us = [DAEMON, "ALL"].iter().any(|name| daemon.eq_ignore_ascii_case(name));
        if is_us && daemon != *item {
            return Err(format!("not understood: {item:?}, a daemon at one of this machine's addresses"));
        }
        if is_us {
            return Ok(match except {
                Some(except) => !names_us(except)?,
                None => true,
            });
        }
    }
    Ok(false)
}

fn split_at_except<'a, 'w>(words: &'a [&'w str]) -> (&'a [&'w str], Option<&'a [&'w str]>) {
    match words.iter().position(|word| word.eq_ignore_ascii_case("EXCEPT")) {
        Some(at) => (&words[..at], Some(&words[at + 1..])),
        None => (words, None),
    }
}

fn parse_list(words: &[&str]) -> Result<List, String> {
    let (items, except) = split_at_except(words);
    if items.is_empty() {
        return Err("not understood: there are no clients where some should be".to_owned());
    }
    Ok(List {
        items: items.iter().map(|item| parse_client(item)).collect::<Result<_, _>>()?,
        except: except.map(|words| parse_list(words).map(Box::new)).transpose()?,
    })
}

fn parse_client(word: &str) -> Result<Pattern, String> {
    if word.eq_ignore_ascii_case("ALL") {
        return Ok(Pattern::All);
    }
    let network = match word.strip_prefix('[') {
        Some(rest) => bracketed(rest).ok_or_else(|| not_understood(word))?,
        None => dotted(word).ok_or_else(|| not_understood(word))?,
    };
    network.map(Pattern::Of).map_err(|error| format!("not understood: {error}"))
}

fn not_understood(word: &str) -> String {
    format!("not understood: {word:?}; only ALL and addresses are, not names")
}

type Found = Option<Result<Network, NetworkError>>;

/// `fd00::]`, `fd00::]/8`.
fn bracketed(rest: &str) -> Found {
    let (address, prefix) = rest.split_once(']')?;
    let valid = address.contains(':') && (prefix.is_empty() || prefix.starts_with('/'));
    valid.then(|| format!("{address}{prefix}").parse())
}

/// `10.1.2.3`, `10.1.`, `10.1.0.0/16`, `10.1.0.0/255.255.0.0`.
fn dotted(word: &str) -> Found {
    if let Some(start) = word.strip_suffix('.') {
        return beginning(start).map(Ok);
    }
    if let Some((address, mask)) = word.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>())
    {
        let prefix = mask.to_bits().leading_ones();
        let is_contiguous = mask.to_bits().count_ones() == prefix;
        return is_contiguous.then(|| Network::exactly(address.into(), u8::try_from(prefix).unwrap_or(32), word));
    }
    let is_address = word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains(':');
    (is_address && word.split('/').next()?.parse::<Ipv4Addr>().is_ok()).then(|| word.parse())
}

/// The addresses that begin with one to three numbers.
fn beginning(start: &str) -> Option<Network> {
    let numbers: Vec<u8> = start.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..numbers.len()).filter(|_| numbers.len() < 4)?.copy_from_slice(&numbers);
    Some(Network::v4(octets.into(), u8::try_from(numbers.len() * 8).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(allow: &str, deny: &str) -> Result<HostsAccess, String> {
        let mut findings = Diagnostics::default();
        let files = ((Path::new("allow"), allow.as_bytes()), (Path::new("deny"), deny.as_bytes()));
        let access = HostsAccess::parse(files.0, files.1, &mut findings);
        findings.finish().map(|_| access).map_err(|error| error.to_string())
    }

    fn admitted<const N: usize>(allow: &str, deny: &str, clients: [&str; N]) -> [bool; N] {
        let access = parse(allow, deny).unwrap();
        clients.map(|client| access.admits(client.parse().unwrap()))
    }

    #[test]
    fn without_a_line_everyone_is_admitted() {
        assert_eq!(admitted("", "# nothing\n\n", ["10.0.0.1", "::1"]), [true, true]);
    }

    #[test]
    fn hosts_allow_comes_before_hosts_deny() {
        let clients = ["10.1.2.3", "10.2.2.3", "::ffff:10.1.2.3", "fd00::1"];
        assert_eq!(admitted("tentacle_server: 10.1.\n", "ALL: ALL\n", clients), [true, false, true, false]);
        assert_eq!(admitted("sshd: ALL\n", "tentacle_server : 10.2.\n", clients), [true, false, true, true]);
    }

    #[test]
    fn clients_in_every_notation() {
        for (client, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.", "10.1.2.255", "10.1.3.0"),
            ("10.1.0.0/255.255.0.0", "10.1.9.9", "10.2.0.0"),
            ("10.1.0.0/16", "10.1.9.9", "10.2.0.0"),
            ("[fd00::]/8", "fdff::1", "fe00::1"),
            ("[fd00::1]", "fd00::1", "fd00::2"),
            ("all", "fd00::1", ""),
            ("1.2.3.4 , 5.6.7.8,[::1]", "::1", "1.2.3.5"),
            ("10.1. EXCEPT 10.1.2. EXCEPT 10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ] {
            let found = admitted(&format!("ALL : {client}"), "ALL: ALL", [inside]);
            assert_eq!(found, [true], "{client} holds {inside}");
            if !outside.is_empty() {
                let found = admitted(&format!("ALL : {client}"), "ALL: ALL", [outside]);
                assert_eq!(found, [false], "{client} does not hold {outside}");
            }
        }
    }

    #[test]
    fn only_lines_about_this_server_count() {
        for (daemons, is_us) in [
            ("ALL", true),
            ("sshd, tentacle_server vsftpd", true),
            ("TENTACLE_SERVER", true),
            ("ALL EXCEPT sshd", true),
            ("ALL EXCEPT tentacle_server", false),
            ("ALL EXCEPT ALL EXCEPT tentacle_server", true),
            ("sshd", false),
            ("sshd@10.0.0.1", false),
        ] {
            assert_eq!(admitted("", &format!("{daemons}: ALL"), ["10.0.0.1"]), [!is_us], "{daemons}");
        }
        // Lines for other servers are not checked.
        assert!(parse("sshd: .example.org : spawn /bin/true\nin.ftpd: @group", "").is_ok());
    }

    #[test]
    fn lines_go_on_after_a_backslash() {
        assert_eq!(
            admitted("", "ALL: 10.0.0.1, \\\n 10.0.0.2\n#ALL: \\\nALL\n", ["10.0.0.2", "10.0.0.3"]),
            [false, true]
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        const ADVICE: &str = "change the line, or do without -T (use_libwrap) and write allow rules instead";
        for (line, reason) in [
            ("ALL: .example.org", "\".example.org\"; only ALL and addresses are, not names"),
            ("ALL: host.example.org", "\"host.example.org\"; only ALL and addresses are, not names"),
            ("ALL: LOCAL", "\"LOCAL\"; only ALL and addresses are, not names"),
            ("ALL: ALL EXCEPT PARANOID", "\"PARANOID\"; only ALL and addresses are, not names"),
            ("ALL: @group", "\"@group\"; only ALL and addresses are, not names"),
            ("ALL: 10.1.*", "\"10.1.*\"; only ALL and addresses are, not names"),
            ("ALL: /etc/hosts.tentacle", "\"/etc/hosts.tentacle\"; only ALL and addresses are, not names"),
            ("ALL: fd00::1", "options and commands after the clients"),
            ("ALL: 10.1.2.3.", "\"10.1.2.3.\"; only ALL and addresses are, not names"),
            ("ALL: 10.0.0.0/255.0.255.0", "\"10.0.0.0/255.0.255.0\"; only ALL and addresses are, not names"),
            (
                "ALL: 10.1.2.3/255.255.0.0",
                "\"10.1.2.3/255.255.0.0\" is an address in a range; write 10.1.0.0/16 for the range, or 10.1.2.3 for \
                 the address",
            ),
            ("ALL: ALL : spawn /bin/true", "options and commands after the clients"),
            ("ALL: ALL: deny", "options and commands after the clients"),
            (
                "tentacle_server@10.0.0.1: ALL",
                "\"tentacle_server@10.0.0.1\", a daemon at one of this machine's addresses",
            ),
            ("ALL", "expected daemons : clients"),
            (": ALL", "there are no daemons before the colon"),
            ("ALL:", "there are no clients where some should be"),
            ("ALL: ALL EXCEPT", "there are no clients where some should be"),
        ] {
            let expected = format!("deny:2: not understood: {reason}; {ADVICE}");
            assert_eq!(parse("", &format!("\n{line}\n")).unwrap_err(), expected, "{line}");
        }
    }
}
