//! Clients that wait, in a lab whose time passes by itself.

use std::time::Duration;

use super::*;
use crate::lab::front::{Lab, LabOptions, Listen};

async fn lab() -> Lab {
    let options = LabOptions { listen: Listen::Nowhere, ..LabOptions::new(world()) };
    Lab::start(options).await.unwrap()
}

async fn on(lab: &Lab, version: &str, line: &str) -> Reply {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    lab.talosctl(Some(version), &words, None).await
}

const IMAGE: &str = "factory.talos.dev/installer/ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_end_and_the_lab_goes_on_meanwhile() {
    let lab = lab().await;
    let line = format!("-n 10.0.0.61 upgrade --image {IMAGE}:v1.11.6");
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        on(&lab, "1.11", "-n 10.0.0.62 version").await
    };
    let (upgraded, other) = tokio::join!(on(&lab, "1.11", &line), others);
    assert_eq!((upgraded.exit, upgraded.mutating, other.exit), (0, true, 0), "{upgraded:?}");
    assert!(upgraded.stderr.ends_with("post check passed\n"), "{upgraded:?}");
    let ledger = lab.ledger().mutating();
    assert!(ledger.len() == 1 && ledger[0].node.as_str() == "10.0.0.61" && ledger[0].accepted, "{ledger:?}");
    assert_eq!(lab.talos_violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_takes_no_further_step() {
    let lab = lab().await;
    for version in ["1.12.11", "1.13.9"] {
        on(&lab, "1.12", &format!("-n 10.0.0.61 upgrade --image {IMAGE}:v{version}")).await;
    }
    let line = format!("-n 10.0.0.61 upgrade --drain=false --image {IMAGE}:v1.13.8");
    let early = tokio::time::timeout(Duration::from_millis(200), on(&lab, "1.13", &line)).await;
    assert!(early.is_err());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(on(&lab, "1.13", "-n 10.0.0.61 version --json").await.stdout.contains("v1.13.9"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_gives_up_by_its_own_clock() {
    let lab = lab().await;
    lab.faults().add_text("upgrade-hangs:w1").unwrap();
    let began = tokio::time::Instant::now();
    let reply = on(&lab, "1.11", "-n 10.0.0.61 reboot --timeout 5m").await;
    assert!(reply.exit == 1 && reply.stderr.contains("deadline exceeded"), "{reply:?}");
    assert_eq!(began.elapsed().as_secs(), 300, "of real time, not of the lab's");
    assert_eq!(on(&lab, "1.11", "-n 10.0.0.61 version").await.exit, 0, "the node was back long ago");
}
