//! What README says of installing, line by line: at a site, at its agents and at the centre, each a machine under a real systemd,
//! in namespaces of its own, over what this machine's root filesystem holds. Nothing that they write stays.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::daemon::wait_until;
use crate::support::scratch;
use crate::terminal::{CLIENT, SERVER};

const SYNCD: &str = env!("CARGO_BIN_EXE_tentacle-syncd");

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Where machines may not be missing.
const REQUIRED: &str = "SYSTEMD_BOOT_REQUIRED";

/// Mounts the control groups among which systemd keeps its services, at `$1`, where `$group` is the machine's.
const MOUNT_CGROUPS: &str = r#"
mount_cgroups() {
    mount -t cgroup -o none,name=systemd cgroup "$1" 2>/dev/null || mount -t cgroup2 cgroup2 "$1"
    group=$1/installed$(printf %s "$1" | tr / -)
}
"#;

/// Goes on with `$2` in a control group of its own, which is named after the directory `$1`.
const ENTER_CGROUP: &str = r#"set -e
mount --make-rprivate /
mount_cgroups "$1"
mkdir "$group"
echo 0 > "$group/cgroup.procs"
boot=$2
mount=$1
shift 2
exec unshare --cgroup sh -c "$boot" sh "$mount" "$@"
"#;

/// Removes it, when all that was in it has ended.
const REMOVE_CGROUP: &str = r#"
mount_cgroups "$1"
find "$group" -depth -type d -exec rmdir {} +
"#;

/// Makes a machine of the directory `$1`, with the directory `$2` and the programs after it where they were built, and becomes its
/// process 1. What reaches this machine's kernel is read-only.
const BOOT: &str = r#"set -e
umount "$1"
mount -t tmpfs tmpfs "$1"
mkdir "$1/root" "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
if ! mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd 2>/dev/null; then
    umount sys/fs/cgroup
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
for directory in dev run tmp var/log; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
done
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ip link set lo up
mkdir -p root/sources/config root/sources/target/release
mount --bind "$2" root/sources/config
shift 2
for program in "$@"; do
    built="root/sources/target/release/${program##*/}"
    touch "$built"
    mount --bind "$program" "$built"
done
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \
    /lib/systemd/systemd --system --unit=basic.target --show-status=no
"#;

/// A machine, as long as it is not dropped.
struct Machine {
    /// Its process 1, as this machine counts.
    init: u32,
    _running: Running,
}

/// What became process 1, or is about to; and what the machine's mounts are at.
struct Running(Child, TempDir);

impl Drop for Running {
    fn drop(&mut self) {
        let Self(unshare, home) = self;
        match init_of(unshare) {
            // With it ends all that it has started, and then this program.
            Some(init) => drop(kill_process(Pid::from_raw(init.cast_signed()).unwrap(), Signal::KILL)),
            None => drop(unshare.kill()),
        }
        drop(unshare.wait());
        let script = format!("{MOUNT_CGROUPS}{REMOVE_CGROUP}");
        drop(Command::new("unshare").args(["--mount", "sh", "-c", &script, "sh"]).arg(mount(home)).status());
    }
}

fn mount(home: &TempDir) -> PathBuf {
    home.path().join("mount")
}

fn console(home: &TempDir) -> PathBuf {
    home.path().join("console")
}

impl Machine {
    /// One with a network of its own, or on that of another. `Err` with the reason where none can be made.
    fn boot(network: Option<&Self>) -> Result<Self, String> {
        let mut running = unshare(network).map_err(|error| format!("unshare: {error}"))?;
        let up = wait_until("a machine that is up, or is none", || match running.0.try_wait() {
            Ok(None) => init_of(&running.0).filter(|init| is_up(*init)).map(Some),
            _ => Some(None),
        });
        match up {
            Some(init) => Ok(Self { init, _running: running }),
            None => Err(fs::read_to_string(console(&running.1)).unwrap_or_default()),
        }
    }

    /// Commands of a shell, in the directory of the sources: their exit status, and what they print.
    fn shell(&self, script: &str) -> (Option<i32>, String) {
        let script = format!("cd /root/sources\n{script}");
        let output = command(self.init, "bash").args(["-c", &script]).output().unwrap();
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code(), printed.concat())
    }

    /// The same, each of which has to succeed.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let (code, printed) = self.shell(&format!("set -ex\n{script}"));
        assert_eq!(code, Some(0), "{printed}\n{}", self.journal());
        printed
    }

    /// Waits until they succeed.
    fn wait_for(&self, script: &str) {
        wait_until(script, || (self.shell(script).0 == Some(0)).then_some(()));
    }

    fn journal(&self) -> String {
        self.shell("journalctl --no-pager -n 30 -u tentacle_server -u tentacle-syncd").1
    }
}

fn init_of(unshare: &Child) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id())).ok()?;
    children.trim().parse().ok()
}

fn is_up(init: u32) -> bool {
    let state = command(init, "systemctl").arg("is-system-running").output();
    state.is_ok_and(|state| matches!(&*state.stdout, b"running\n" | b"degraded\n"))
}

/// A program on the machine whose process 1 is this.
fn command(init: u32, program: &str) -> Command {
    let init = init.to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &init, "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]);
    command.args(["chroot", &format!("/proc/{init}/root"), program]).stdin(Stdio::null());
    command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn unshare(network: Option<&Machine>) -> io::Result<Running> {
    let home = scratch();
    fs::create_dir(mount(&home))?;
    let console = File::create(console(&home))?;
    // Another machine's network, or one of its own.
    let mut command = Command::new("nsenter");
    command.args(network.map(|machine| format!("--net=/proc/{}/ns/net", machine.init))).arg("unshare");
    command.args(network.is_none().then_some("--net"));
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"]);
    command.args(["sh", "-c", &format!("{MOUNT_CGROUPS}{ENTER_CGROUP}"), "sh"]).arg(mount(&home)).arg(BOOT);
    command.arg(Path::new(PROJECT).join("config")).args([SYNCD, SERVER, CLIENT]);
    command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
    Ok(Running(command.spawn()?, home))
}

/// The machine of a site and its agents, and that of the centre; `None`, after printing why, where there are none.
fn site_and_centre() -> Option<(Machine, Machine)> {
    let site = Machine::boot(None);
    match site.and_then(|site| Ok((Machine::boot(Some(&site))?, site))) {
        Ok((centre, site)) => Some((site, centre)),
        Err(reason) => {
            assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, but {reason}");
            // Not `eprintln!`, which is shown only when a test fails.
            writeln!(io::stderr(), "the installation SKIPPED: {reason}").unwrap();
            None
        }
    }
}

/// The commands of README that begin with this one, below this heading. What they install is built already.
fn readme(heading: &str, first: &str) -> String {
    let text = fs::read_to_string(Path::new(PROJECT).join("README.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let lines: Vec<&str> = section.lines().map(|line| line.strip_prefix("    ").map_or("", str::trim_start)).collect();
    let blocks = lines.split(|line| line.is_empty());
    let commands = blocks.map(|block| block.iter().filter(|line| !line.starts_with("cargo ")).copied());
    let found = commands.map(Vec::from_iter).find(|block| block.first().is_some_and(|line| line.starts_with(first)));
    found.unwrap_or_else(|| panic!("README, {heading}: {first}")).join("\n")
}

const AT_SITE: &str = "Install at a site";
const AT_AGENT: &str = "Install at an agent";
const AT_CENTRE: &str = "Install at the centre";

/// What is there on the machine of a data server, whose Sync Server has collected so far.
const DATA_SERVER: &str = "
useradd --system --gid www-data --home-dir /var/spool/pandora --shell /usr/sbin/nologin pandora
install -d -o pandora -g www-data -m 2770 /var/spool/pandora /var/spool/pandora/data_in
install -d /etc/pandora
printf '%s\\n' 'incomingdir /var/spool/pandora/data_in' 'sync_address 10.142.50.10' 'sync_port 41121' 'server_threshold 5' \
    'syncserver 0' > /etc/pandora/pandora_server.conf
chgrp www-data /etc/pandora/pandora_server.conf
chmod 640 /etc/pandora/pandora_server.conf
";

/// What an agent measured.
const MEASURED: &str = "<agent_data/>";

/// Has an agent send a file by this name, and waits for it at the centre.
fn send(name: &str, site: &Machine, centre: &Machine) {
    site.run(&format!("echo '{MEASURED}' > {name}; tentacle_client -a 10.1.2.3 {name}"));
    centre.wait_for(&arrived(name));
}

fn arrived(name: &str) -> String {
    format!("cmp <(echo '{MEASURED}') /var/spool/pandora/data_in/{name}")
}

#[test]
fn the_readme_installs_a_site_its_agents_and_the_centre() {
    let Some((site, centre)) = site_and_centre() else { return };
    let services = [(&centre, "tentacle-syncd"), (&site, "tentacle_server")];
    // README's addresses of the site.
    site.run("for address in 10.142.50.10 10.1.2.3; do ip address add $address/32 dev lo; done");
    site.run(&readme(AT_SITE, "useradd"));
    site.run(&format!("echo '{MEASURED}' > web01.1700000000.data"));
    // Without the last command, which asks a server with certificates.
    readme(AT_AGENT, "install").lines().take(2).for_each(|command| drop(site.run(command)));

    centre.run(DATA_SERVER);
    centre.run(&readme(AT_CENTRE, "install -m 755"));
    centre.run(&readme(AT_CENTRE, "runuser -u pandora -- tentacle-syncd check"));
    centre.run(&readme(AT_CENTRE, "runuser -u pandora -- tentacle-syncd once"));
    centre.run(&arrived("web01.1700000000.data"));
    site.run("test ! -e /var/spool/pandora/data_in/web01.1700000000.data");
    centre.run(&readme(AT_CENTRE, "runuser -u pandora -- tentacle-syncd status"));
    send("web02.1700000000.data", &site, &centre);

    // The service goes on when it is not reloaded, when it is, and when it has crashed.
    centre.run("echo 'sync_port none' >> /etc/pandora/pandora_server.conf; ! systemctl reload tentacle-syncd");
    send("web03.1700000000.data", &site, &centre);
    centre.run("sed -i '/none/d' /etc/pandora/pandora_server.conf; systemctl reload tentacle-syncd");
    for (machine, unit) in services {
        machine.run(&format!("systemctl kill --signal=KILL {unit}"));
    }
    for (machine, unit) in services {
        let is_restarted = format!("systemctl show -p NRestarts {unit} | grep -x NRestarts=1");
        machine.wait_for(&format!("systemctl is-active {unit} && {is_restarted}"));
    }
    send("web04.1700000000.data", &site, &centre);

    centre.run(&readme(AT_CENTRE, "install -d -m 755 /etc/tentacle-sync"));
    send("web05.1700000000.data", &site, &centre);
    centre.run("printf '%s\\n' name,address,port,group anna,10.142.50.11,,ships > ships.csv");
    centre.run(&readme(AT_CENTRE, "install -d -m 755 /etc/tentacle-sync/sites.d"));
    centre.wait_for("tentacle-syncd status anna | grep 10.142.50.11");

    for (machine, unit) in services {
        machine.run(&format!("systemctl stop {unit}; systemctl show -p Result {unit} | grep -x Result=success"));
    }
}
