//! `check`: everything that can be looked at without a connection.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::args::Common;
use super::data_server::{self, Finding};
use super::user::become_tester;
use super::{FAILURE, Outcome, SUCCESS, read_from};
use crate::collector::Reason;
use crate::config::{self, HttpSettings, Settings, SiteSettings};
use crate::control::to_json;
use crate::obs::Output;
use crate::proto::{Count, quoted};
use crate::status_port;
use crate::store::{CentralFinding, Publish, check_directory, check_pairs, lacks_of};
use crate::tls::{Acceptor, CertificateReport, Connectors, UnixTime};

/// So many things that are wrong with agents' configuration are printed, and the number of the others.
const MOST_FAULTS: usize = 50;

/// What is looked at, and as whom.
pub(super) struct Scope<'a> {
    /// The configuration alone.
    pub(super) syntax_only: bool,
    /// The user to test as, where one is named.
    pub(super) user: Option<&'a str>,
    /// The data server's configuration, where it is named.
    pub(super) pandora_conf: Option<&'a Path>,
}

pub(super) fn run(common: &Common, scope: &Scope<'_>, is_json: bool) -> Outcome {
    let &Scope { syntax_only, user, pandora_conf } = scope;
    let path = common.path();
    let mut settings = common.load(path)?;
    let mut findings = Findings { of_json: is_json.then(Vec::new), ..Findings::default() };
    if !syntax_only || user.is_some() {
        let state_dir = settings.state_dir.clone();
        findings.fine(&become_tester(&settings, user)?);
        match common.load(path) {
            // The usual state directory is the service's, whichever this user would have of its own.
            Ok(as_user) => settings = Settings { state_dir, ..as_user },
            Err(error) => findings.problem(&error.to_string()),
        }
    }
    for warning in &settings.warnings {
        findings.warn(warning);
    }
    findings.fine(&format!(
        "configuration: {}, {} enabled, in {}",
        Count(settings.sites.len(), "site"),
        enabled(&settings).count(),
        read_from(path, &settings)
    ));
    if !syntax_only {
        check_certificates(&settings, &mut findings);
        check_http(&settings.http, &mut findings);
        check_directories(&settings, &mut findings);
        check_data_server(&settings, common.path(), pandora_conf, &mut findings);
    }
    findings.finish()
}

fn enabled(settings: &Settings) -> impl Iterator<Item = &SiteSettings> {
    settings.sites.iter().filter(|site| site.enabled)
}

/// What was found, printed as it is found.
#[derive(Default)]
struct Findings {
    out: Output,
    problems: usize,
    warnings: usize,
    /// Where JSON is asked for: all of them, printed at the end.
    of_json: Option<Vec<Found>>,
}

/// One of them, in JSON.
#[derive(Serialize)]
struct Found {
    kind: &'static str,
    text: String,
}

/// All of them, in JSON.
#[derive(Serialize)]
struct Report {
    version: u32,
    problems: usize,
    warnings: usize,
    findings: Vec<Found>,
}

/// How a problem is marked for people.
const PROBLEM: &str = "PROBLEM";

/// The version of the JSON.
const VERSION: u32 = 1;

impl Findings {
    fn fine(&mut self, text: &str) {
        self.line("ok", text);
    }

    fn warn(&mut self, text: &str) {
        self.warnings += 1;
        self.line("warning", text);
    }

    fn problem(&mut self, text: &str) {
        self.problems += 1;
        self.line(PROBLEM, text);
    }

    fn line(&mut self, kind: &'static str, text: &str) {
        match &mut self.of_json {
            Some(findings) => {
                let kind = if kind == PROBLEM { "problem" } else { kind };
                findings.push(Found { kind, text: text.to_owned() });
            }
            None => self.out.line(format_args!("{kind:<8} {text}")),
        }
    }

    fn finish(mut self) -> Outcome {
        let Self { problems, warnings, .. } = self;
        match self.of_json.take() {
            Some(findings) => {
                self.out.file(&(to_json(&Report { version: VERSION, problems, warnings, findings }) + "\n"));
            }
            None => self.out.line(format_args!("{}, {}", Count(problems, "problem"), Count(warnings, "warning"))),
        }
        self.out.finish()?;
        Ok(if self.problems == 0 { SUCCESS } else { FAILURE })
    }
}

/// Reads every certificate and key, each set of them once.
fn check_certificates(settings: &Settings, findings: &mut Findings) {
    let (now, mut connectors) = (UnixTime::now(), Connectors::default());
    let mut seen = BTreeSet::new();
    for site in enabled(settings) {
        for unread in &site.unread_secrets {
            findings.problem(&format!("site {}: {unread}", site.name));
        }
        let Some(tls) = &site.tls else {
            findings.warn(&format!(
                "site {}: no TLS; anyone on the way can read and change what is collected",
                quoted(&site.name)
            ));
            continue;
        };
        match connectors.get(tls, now) {
            Err(error) => findings.problem(&format!("site {}: {}", quoted(&site.name), Reason::from(error))),
            Ok(connector) => {
                for report in connector.report() {
                    let CertificateReport { file, certificate, .. } = report;
                    if seen.insert((file.clone(), certificate.sha256.0)) {
                        show(report, findings);
                    }
                }
                for remark in connector.remarks() {
                    if seen.insert((remark.into(), [0; 32])) {
                        findings.warn(remark);
                    }
                }
                if let Some(warning) = connector.policy_warning() {
                    findings.warn(&format!("site {}: {warning}", quoted(&site.name)));
                }
            }
        }
    }
}

/// Reads what the status port's settings name.
fn check_http(http: &HttpSettings, findings: &mut Findings) {
    let Some(address) = http.listen else { return };
    http.unread_secrets.iter().for_each(|unread| findings.problem(&format!("[http]: {unread}")));
    // Without its passphrase, there is nothing to be said of a key.
    if !http.unread_secrets.is_empty() {
        return;
    }
    match status_port::listener_config(http, UnixTime::now()) {
        Ok(config) => {
            config.tls.iter().flat_map(Acceptor::report).for_each(|report| show(report, findings));
            findings.fine(&format!("status port on {address}"));
        }
        Err(error) => findings.problem(&format!("[http]: {error}")),
    }
}

fn show(report: &CertificateReport, findings: &mut Findings) {
    let CertificateReport { file, certificate, days_left, problems, remarks, .. } = report;
    let text = format!("{}: {} ({}), {days_left} days left", quoted(file), certificate.subject, report.shape());
    match (problems.as_slice(), remarks.as_slice()) {
        ([], []) => findings.fine(&text),
        ([], remarks) => findings.warn(&format!("{text}: {}", remarks.join("; "))),
        (problems, _) => findings.problem(&format!("{text}: {}", problems.join("; "))),
    }
}

fn check_directories(settings: &Settings, findings: &mut Findings) {
    let monitor = &settings.monitor;
    let of_monitor = monitor.agent.as_ref().map(|_| monitor.incoming_dir.as_path());
    let incoming: BTreeSet<&Path> =
        enabled(settings).map(|site| site.incoming_dir.as_path()).chain(of_monitor).collect();
    for directory in incoming {
        match check_directory(directory) {
            Ok(()) => {
                findings.fine(&format!("incoming directory {}", quoted(directory)));
                check_filesystem(directory, findings);
                check_remote_configuration(directory, findings);
            }
            Err(why) => findings.problem(&format!("incoming directory {why}")),
        }
    }
    let state = settings.state_dir();
    let existing = state.ancestors().find(|directory| directory.exists()).unwrap_or(state);
    match check_directory(existing) {
        Ok(()) => {
            findings.fine(&format!("state directory {}", quoted(state)));
            if existing == state {
                check_filesystem(state, findings);
            }
        }
        Err(why) => findings.problem(&format!("state directory {}: {why}", quoted(state))),
    }
}

/// Looks at agents' configuration below an incoming directory, where there is any.
fn check_remote_configuration(incoming: &Path, findings: &mut Findings) {
    if !incoming.join("conf").exists() {
        return;
    }
    let (fine, faults): (Vec<_>, Vec<_>) = check_pairs(incoming).into_iter().partition(CentralFinding::is_fine);
    for finding in fine {
        findings.fine(&finding.to_string());
    }
    for fault in faults.iter().take(MOST_FAULTS) {
        findings.warn(&fault.to_string());
    }
    if let Some(more) = faults.len().checked_sub(MOST_FAULTS).filter(|more| *more > 0) {
        findings.warn(&format!("remote configuration: {more} more faults like these in {}", quoted(incoming)));
    }
}

/// Reads what the data server goes by: from the file that was named, from the configuration if it is such a file, or from
/// where it usually is.
fn check_data_server(settings: &Settings, config: &Path, named: Option<&Path>, findings: &mut Findings) {
    let usual = Path::new(config::DEFAULT_PATHS[1]);
    let found = match named {
        Some(path) => config::load_data_server(path),
        None => config::load_data_server(config).and_then(|conf| match conf {
            None if usual.exists() => config::load_data_server(usual),
            conf => Ok(conf),
        }),
    };
    let conf = match (found, named) {
        (Ok(Some(conf)), _) => conf,
        (Ok(None), None) => return findings.fine(&data_server::unknown(usual)),
        (Ok(None), Some(path)) => {
            return findings.problem(&format!("{}: is no pandora_server.conf (--pandora-conf)", quoted(path)));
        }
        (Err(error), None) => return findings.warn(&format!("{error}; the data server's settings were not looked at")),
        (Err(error), Some(_)) => return findings.problem(&error.to_string()),
    };
    // These lines are in the report on our own configuration already.
    conf.warnings.iter().filter(|warning| !settings.warnings.contains(warning)).for_each(|text| findings.warn(text));
    let incoming: BTreeSet<&Path> = enabled(settings).map(|site| site.incoming_dir.as_path()).collect();
    let is_at_once = settings.publish == Publish::AtOnce;
    for finding in data_server::findings(&conf, &incoming, conf.path == config, is_at_once) {
        match finding {
            Finding::Fine(text) => findings.fine(&text),
            Finding::Warning(text) => findings.warn(&text),
            Finding::Problem(text) => findings.problem(&text),
        }
    }
}

/// Tries there what storing needs.
fn check_filesystem(directory: &Path, findings: &mut Findings) {
    match lacks_of(directory) {
        Ok(lacks) => lacks.iter().for_each(|lack| findings.warn(&format!("{}: {lack}", quoted(directory)))),
        Err(error) => findings.problem(&error.to_string()),
    }
}
