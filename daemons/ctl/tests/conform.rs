//! Each rule of `voltryctl conform` goes red against a provider that breaks it, for that reason; one
//! that keeps the contract passes them all.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;

/// How many are tried side by side: most of their time they wait.
const SIDE_BY_SIDE: usize = 4;
/// A machine that does other things as well.
const SLACK: &str = "3";

fn provider() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/provider");
    assert!(program.is_file(), "{} is built with the tests", program.display());
    program
}

/// Puts the provider with this fault through these rules, or all; its exit code and the rules.
async fn conform(role: &str, fault: &str, only: &[&str], slack: &str) -> (Option<i32>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltryctl"));
    command.args(["--json", "conform", role, "com.example.Provider1", "/org/voltry/provider/1", "--yes"]);
    command.args(only.iter().flat_map(|rule| ["--only", rule])).args(["--slack", slack, "--"]);
    command.arg(provider()).args([role, fault]).arg(folder.path()).kill_on_drop(true);
    let output = command.env_remove("VOLTRY_BUS").output();
    let output = tokio::time::timeout(Duration::from_secs(300), output).await.expect("it ends").unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let rules = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said} {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), rules)
}

fn verdicts(rules: &[Value]) -> Vec<(&str, &str)> {
    rules.iter().map(|row| (row["rule"].as_str().unwrap(), row["verdict"].as_str().unwrap())).collect()
}

/// How often a rule is tried: a machine that has other things to do comes too late for a lease itself.
const TRIES: usize = 3;

#[tokio::test]
async fn a_provider_that_keeps_the_contract_passes_every_rule() {
    let roles = ["power-supply", "energy-meter", "insulation-monitor", "voltage-monitor", "connector"];
    // Side by side: each waits most of its time.
    join_all(roles.map(passes_every_rule)).await;
}

async fn passes_every_rule(role: &str) {
    let (_, rules) = conform(role, "none", &[], SLACK).await;
    for (rule, verdict) in verdicts(&rules) {
        let of_every_role = ["contract", "device"].contains(&rule);
        let found = FAULTS.iter().any(|fault| fault.2 == rule && (fault.0 == role || of_every_role));
        assert!(found, "no fault of a {role} shows that {rule} can fail");
        let mut passed = verdict == "passed";
        for _ in 1..TRIES {
            passed = passed || conform(role, "none", &[rule], SLACK).await.0 == Some(0);
        }
        assert!(passed, "{role}: {row}", row = rules.iter().find(|row| row["rule"] == rule).unwrap());
    }
}

/// Role, fault, the rule that finds it, and words of what was seen.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    ("power-supply", "no-device", "contract", "Device1 is not served"),
    ("power-supply", "offline", "device", "Online is false"),
    ("power-supply", "with-a-fault", "device", "Broken: it is"),
    ("power-supply", "current-while-off", "idle", "5.00 A flow"),
    ("power-supply", "impossible-limits", "capability", "2000"),
    ("power-supply", "seldom-told", "output-rate", "longest gap"),
    ("power-supply", "stamped-old", "output-fresh", "ms old"),
    ("power-supply", "not-numbered", "output-fresh", "number 0 follows number 0"),
    ("power-supply", "takes-what-lapsed", "no-epoch", "SetOutput: accepted"),
    ("power-supply", "says-no-otherwise", "no-epoch", "not as Lapsed"),
    ("power-supply", "takes-old-epochs", "epochs", "Enable of the open epoch: accepted"),
    ("power-supply", "takes-the-future", "epochs", "an epoch to come: accepted"),
    ("power-supply", "takes-old-numbers", "sequence", "old number: accepted"),
    ("power-supply", "takes-old-messages", "message-age", "150 ms ago: accepted"),
    ("power-supply", "takes-the-future", "message-age", "to be sent: accepted"),
    ("power-supply", "takes-anybody", "one-holder", "by another: accepted"),
    ("power-supply", "takes-any-value", "limits", "accepted"),
    ("power-supply", "on-by-enable", "enable-is-off", "before any set-point"),
    ("power-supply", "too-many-volts", "set-point", "at most 220"),
    ("power-supply", "lapses-early", "renewed", ""),
    ("power-supply", "never-lapses", "lapse", "no Applied with epoch 0"),
    ("power-supply", "takes-what-lapsed", "lapse", "after the lapse: accepted"),
    ("power-supply", "set-renews", "set-does-not-renew", "SetOutput alone keeps it on"),
    ("power-supply", "waits-for-the-lapse", "holder-leaves", "after the lease's end"),
    ("power-supply", "off-is-its-holders", "off", "NotHolder"),
    ("power-supply", "off-keeps-the-epoch", "off", "after Off: accepted"),
    ("power-supply", "comes-back-on", "restart", "nobody enabled it"),
    ("energy-meter", "no-device", "device", ""),
    ("energy-meter", "seldom-told", "reading-rate", "measurements in"),
    ("energy-meter", "stamped-old", "reading-fresh", "ms old"),
    ("energy-meter", "not-numbered", "reading-fresh", "number 0 follows number 0"),
    ("energy-meter", "register-falls", "register", "Wh after"),
    ("energy-meter", "repeats-what-it-knows", "read-now", "before it was asked"),
    ("energy-meter", "hides-what-is-open", "transaction", "after Start"),
    ("energy-meter", "half-signed", "transaction", "OCMF"),
    ("energy-meter", "starts-twice", "refusals", "a second Start: accepted"),
    ("energy-meter", "stops-anew", "stop-again", "then"),
    ("energy-meter", "forgets-what-is-open", "restart", "after the restart"),
    ("voltage-monitor", "seldom-told", "voltage-rate", "the longest gap"),
    ("voltage-monitor", "stamped-old", "voltage-fresh", "ms old"),
    ("voltage-monitor", "not-numbered", "voltage-fresh", "number 0 follows number 0"),
    ("voltage-monitor", "impossible-value", "voltage", "NaN V"),
    ("insulation-monitor", "seldom-told", "insulation-rate", ""),
    ("insulation-monitor", "stamped-old", "insulation-fresh", "ms old"),
    ("insulation-monitor", "counter-stands-still", "insulation", "the same measurement again"),
    ("insulation-monitor", "cannot-be-paused", "active", "Active is not false"),
    ("insulation-monitor", "fails-its-test", "self-test", "a wire is broken"),
    ("insulation-monitor", "never-ends-its-test", "self-test", "no SelfTestFinished"),
    ("connector", "seldom-told", "io-rate", "the longest gap"),
    ("connector", "stamped-old", "io-fresh", "ms old"),
    ("connector", "emergency-stop", "idle", "emergency stop: true"),
    ("connector", "water", "idle", "alarm: water"),
    ("connector", "takes-what-lapsed", "no-epoch", "CloseContactors: accepted"),
    ("connector", "takes-old-epochs", "stale", "the open epoch: accepted"),
    ("connector", "takes-old-numbers", "stale", "an old number: accepted"),
    ("connector", "takes-old-messages", "stale", "150 ms ago: accepted"),
    ("connector", "takes-the-future", "stale", "an epoch to come: accepted"),
    ("connector", "takes-anybody", "one-holder", "by another: accepted"),
    ("connector", "closed-by-enable", "close", "before CloseContactors"),
    ("connector", "lapses-early", "renewed", ""),
    ("connector", "never-lapses", "lapse", "are not open"),
    ("connector", "waits-for-the-lapse", "holder-leaves", "after the lease's end"),
    ("connector", "open-keeps-the-epoch", "open", "after OpenContactors: accepted"),
    ("connector", "refuses-f", "pilot-and-lock", "refused"),
    ("connector", "locks-without-a-lock", "pilot-and-lock", "without a lock: accepted"),
    ("connector", "comes-back-closed", "restart", "are not open"),
];

/// What is wrong if the rule does not go red for its reason.
async fn missed((role, fault, rule, seen): &(&str, &str, &str, &str)) -> Option<String> {
    let (code, rules) = conform(role, fault, &[rule], "1").await;
    let failed = code == Some(1) && verdicts(&rules) == [(*rule, "failed")];
    let why = rules[0]["seen"].as_str().unwrap();
    (!failed || !why.contains(seen)).then(|| format!("{role} {fault}: {code:?} {rules:?}"))
}

#[tokio::test]
async fn each_rule_goes_red_against_a_provider_that_breaks_it() {
    let side_by_side = stream::iter(FAULTS).map(async |fault| missed(fault).await.map(|_| fault));
    let again: Vec<_> =
        side_by_side.buffer_unordered(SIDE_BY_SIDE).filter_map(async |fault| fault).collect().await;
    for fault in again {
        let mut why = missed(fault).await;
        for _ in 2..TRIES {
            if why.is_some() {
                why = missed(fault).await;
            }
        }
        assert_eq!(why, None);
    }
}
