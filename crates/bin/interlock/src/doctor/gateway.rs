//! Checks of what the operator signed, of the ledger, the daemon, the port and the clock.

use super::{
    Check,
    facts::{DaemonFacts, Facts, Port, Probe},
};
use crate::config::Config;
use interlock_model::UnixMillis;

/// 2026-01-01: an earlier clock was never set.
const EARLIEST: UnixMillis = UnixMillis(1_767_225_600_000);
/// 2100-01-01.
const LATEST: UnixMillis = UnixMillis(4_102_444_800_000);
/// How far the newest entry may lie ahead of the clock.
const SKEW_MS: u64 = 60_000;

pub(super) fn checks(config: &Config, facts: &Facts) -> Vec<Check> {
    let gateway = &facts.gateway;
    let mut out = vec![
        probed(
            "catalog.signed",
            &gateway.catalog,
            |c| {
                let (tools, servers) = (c.tools.values().sum::<usize>(), c.tools.len());
                format!(
                    "serial {}, {tools} tools of {servers} {}",
                    c.serial,
                    if servers == 1 { "server" } else { "servers" }
                )
            },
            "run `interlock catalog verify`; `interlock catalog scan` and `approve` make a new one",
        ),
        probed(
            "policy.valid",
            &gateway.policy,
            |p| format!("version {}, {} policies, {} tests pass", p.version, p.policies, p.tests),
            "run `interlock policy check` and `interlock policy test`, then `interlock policy sign`",
        ),
        ledger(facts),
        daemon_and_port(config, facts),
    ];
    out.extend(nothing_approved(config, facts));
    if let Probe::Found(daemon) = &gateway.daemon {
        out.extend(in_use(daemon));
    }
    out
}

fn nothing_approved(config: &Config, facts: &Facts) -> Option<Check> {
    let Probe::Found(catalog) = &facts.gateway.catalog else { return None };
    (catalog.tools.values().sum::<usize>() == 0 && !config.servers.is_empty()).then(|| {
        Check::warn(
            "catalog.tools",
            "no tool is approved yet, so agents see none",
            "run `interlock catalog scan`, read what it shows, then `interlock catalog approve SERVER`",
        )
    })
}

/// What is right on disk may yet not be what the daemon works with.
fn in_use(daemon: &DaemonFacts) -> Vec<Check> {
    let mut out = Vec::new();
    if !daemon.refused.is_empty() {
        out.push(Check::fail(
            "daemon.refused",
            format!("it goes on with what it had, since it refused: {}", daemon.refused.join("; ")),
            "mend what it says; it takes the files up by itself once they are right",
        ));
    }
    if !daemon.down.is_empty() {
        out.push(Check::warn(
            "daemon.servers",
            format!("it cannot use {}", daemon.down.join("; ")),
            "see what `doctor` says of these servers; the daemon goes on trying",
        ));
    }
    out
}

fn probed<T>(id: &str, probe: &Probe<T>, say: impl FnOnce(&T) -> String, mend: &str) -> Check {
    match probe {
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Found(found) => Check::ok(id, say(found)),
        Probe::Failed(why) => Check::fail(id, why.clone(), mend),
    }
}

fn ledger(facts: &Facts) -> Check {
    match &facts.gateway.ledger {
        Probe::Found(ledger) if !ledger.damage.is_empty() => Check::fail(
            "ledger.verifies",
            ledger.damage.join("; "),
            "keep a copy of the data directory as it is, then run `interlock ledger verify`",
        ),
        probe => probed(
            "ledger.verifies",
            probe,
            |l| match l.newest {
                Some(at) if l.verified < l.entries => format!(
                    "{} entries, the newest of {}; the newest {} were verified, `interlock ledger verify` does all",
                    l.entries,
                    at.to_rfc3339(),
                    l.verified
                ),
                Some(at) => format!("{} entries, all verified, the newest of {}", l.entries, at.to_rfc3339()),
                None => "it is empty".to_owned(),
            },
            "run `interlock ledger verify`",
        ),
    }
}

fn daemon_and_port(config: &Config, facts: &Facts) -> Check {
    let address = config.listen.mcp;
    match (&facts.gateway.daemon, &facts.port) {
        (Probe::Found(daemon), _) => Check::ok("daemon.answers", daemon.about.clone()),
        (Probe::NotTried(why), Port::Taken) => {
            Check::skipped("daemon.answers", format!("{address} is taken; by whom was not asked: {why}"))
        }
        (Probe::Failed(why), Port::Taken) => Check::fail(
            "daemon.answers",
            format!("{address} is taken by another program, and the gateway does not answer: {why}"),
            "stop that program, or set another `listen.mcp`",
        ),
        (_, Port::Refused(why)) => Check::fail(
            "daemon.answers",
            format!("{address} cannot be listened on: {why}"),
            "set `listen.mcp` to an address of this machine and a port above 1023",
        ),
        (Probe::Failed(_) | Probe::NotTried(_), Port::Free) => {
            Check::ok("daemon.answers", format!("it is not running and starts on demand; {address} is free"))
        }
    }
}

/// Approvals expire and kills take effect by this clock.
pub(super) fn clock(facts: &Facts) -> Check {
    let now = facts.machine.now;
    if now < EARLIEST || now > LATEST {
        return Check::fail("machine.clock", format!("the clock says {}", now.to_rfc3339()), "set it, best by NTP");
    }
    if let Probe::Found(ledger) = &facts.gateway.ledger {
        let ahead = ledger.newest.map_or(0, |newest| newest.since(now));
        if ahead > SKEW_MS {
            return Check::fail(
                "machine.clock",
                format!("the newest entry of the ledger lies {} s in the future: the clock was set back", ahead / 1000),
                "set the clock, best by NTP; approvals expire by it",
            );
        }
    }
    Check::ok("machine.clock", now.to_rfc3339())
}
