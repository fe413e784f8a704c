//! `check`: everything that can be looked at without a connection.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{Access, access};

use super::cli::Common;
use super::user::become_tester;
use super::{FAILURE, Outcome, SUCCESS};
use crate::config::{Settings, SiteSettings};
use crate::obs::Output;
use crate::role::collect::Reason;
use crate::tls::{CertificateReport, Connectors, UnixTime};

pub(super) fn run(common: &Common, syntax_only: bool, user: Option<&str>) -> Outcome {
    let path = common.path();
    let mut settings = common.load(path)?;
    let mut findings = Findings::default();
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
    findings.fine(&format!("configuration: {} sites, {} enabled", settings.sites.len(), enabled(&settings).count()));
    if !syntax_only {
        check_certificates(&settings, &mut findings);
        check_directories(&settings, &mut findings);
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
}

impl Findings {
    fn fine(&mut self, text: &str) {
        self.out.line(format_args!("ok       {text}"));
    }

    fn warn(&mut self, text: &str) {
        self.warnings += 1;
        self.out.line(format_args!("warning  {text}"));
    }

    fn problem(&mut self, text: &str) {
        self.problems += 1;
        self.out.line(format_args!("PROBLEM  {text}"));
    }

    fn finish(mut self) -> Outcome {
        self.out.line(format_args!("{} problems, {} warnings", self.problems, self.warnings));
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
            findings
                .warn(&format!("site {}: no TLS; anyone on the way can read and change what is collected", site.name));
            continue;
        };
        match connectors.get(tls, now) {
            Err(error) => findings.problem(&format!("site {}: {}", site.name, Reason::from(error))),
            Ok(connector) => {
                for report in connector.report() {
                    let CertificateReport { file, certificate, .. } = report;
                    if seen.insert((file.clone(), certificate.sha256.0)) {
                        show(report, findings);
                    }
                }
                for warning in connector.warnings() {
                    if seen.insert((warning.into(), [0; 32])) {
                        findings.warn(&format!("site {}: {warning}", site.name));
                    }
                }
            }
        }
    }
}

fn show(report: &CertificateReport, findings: &mut Findings) {
    let CertificateReport { file, certificate, days_left, problems, .. } = report;
    let text = format!("{}: {} ({}), {days_left} days left", file.display(), certificate.subject, report.shape());
    match problems.as_slice() {
        [] => findings.fine(&text),
        problems => findings.problem(&format!("{text}: {}", problems.join("; "))),
    }
}

fn check_directories(settings: &Settings, findings: &mut Findings) {
    let incoming: BTreeSet<&Path> = enabled(settings).map(|site| site.incoming_dir.as_path()).collect();
    for directory in incoming {
        match writable(directory) {
            Ok(()) => findings.fine(&format!("incoming directory {}", directory.display())),
            Err(why) => findings.problem(&format!("incoming directory {}: {why}", directory.display())),
        }
    }
    let state = &settings.state_dir;
    let existing = state.ancestors().find(|directory| directory.exists()).unwrap_or(state);
    match writable(existing) {
        Ok(()) => findings.fine(&format!("state directory {}", state.display())),
        Err(why) => findings.problem(&format!("state directory {}: {}: {why}", state.display(), existing.display())),
    }
}

fn writable(directory: &Path) -> Result<(), String> {
    if !directory.is_dir() {
        return Err("is not there, or is no directory: create it, owned by the user this runs as".into());
    }
    access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("cannot be written: {error}; give the user this runs as the right to"))
}
