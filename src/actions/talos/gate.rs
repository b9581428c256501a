//! Asked immediately before each request that takes a node down: whether etcd keeps its quorum without that node, and
//! another control plane's own address has an API server that answers. What a plan, a probe or an earlier step has seen may
//! be minutes old by then: a drain lies in between, or an installer.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::source::{Machine, TalosSource};
use super::survey::Members;
use crate::actions::kubernetes::Clusters;
use crate::clients::kubernetes::Kubernetes;
use crate::engine::ports::{Mutate, Unreadable};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::placement::quorum;

/// Of whoever calls [`may_go_down`].
pub(in crate::actions::talos) const PRIVILEGE: &str = "none of Proxmox: list of nodes, by the cluster's kubeconfig";

/// Whether this node may be taken down now. The only control plane of a cluster may: there it cannot be helped.
///
/// # Errors
/// It may not, or that cannot be found out; nothing has been asked of the node. `done`: what was, before this.
pub(in crate::actions::talos) async fn may_go_down(
    mutate: &Mutate,
    cluster: &str,
    name: &str,
    attempted: &str,
    done: Done,
) -> Result<(), Failure> {
    let (source, clusters) = (mutate.client::<TalosSource>()?, mutate.client::<Clusters>()?);
    let kubernetes = clusters.of(cluster, attempted).map_err(|failure| failure.done(done))?;
    let asked = ask(&source, kubernetes, cluster, name).await;
    asked.map_err(|why| refused(attempted, cluster, name, why, done))
}

fn refused(attempted: &str, cluster: &str, name: &str, why: String, done: Done) -> Failure {
    let mend = format!("mend that first: `runbook run talos-status --cluster {cluster}` says what is not well");
    let remedy = match done {
        Done::Partial => format!("{mend}; the next reboot of {name}, whoever asks for it, boots what is installed"),
        _ => mend,
    };
    let cause = format!("{name} must not go down now: {why}");
    Failure::new(Class::Precondition, attempted, cause).done(done).remedy(remedy)
}

async fn ask(source: &TalosSource, kubernetes: &Kubernetes, cluster: &str, name: &str) -> Result<(), String> {
    let members = Members::of(source, cluster).await.map_err(|why| match why {
        Unreadable::Failed(failure) => failure.cause,
        Unreadable::Unknown(why) | Unreadable::Later(why) => why,
    })?;
    if matches!(&members.planes[..], [only] if only.name == name) {
        return Ok(());
    }
    quorum::goes_on_without(&members.told, name)?;
    is_served(kubernetes, &members.planes, name).await
}

/// Whether another control plane's API server answers, at its own address: the one that they share may be this node's, or
/// go away with it. One is enough, and a silent one is not waited for.
async fn is_served(kubernetes: &Kubernetes, planes: &[Machine], name: &str) -> Result<(), String> {
    let others = planes.iter().filter(|one| one.name != name);
    let mut servers: FuturesUnordered<_> = others.map(|one| server(kubernetes, one)).collect();
    let mut silent = Vec::new();
    while let Some(answer) = servers.next().await {
        match answer {
            Ok(()) => return Ok(()),
            Err(why) => silent.push(why),
        }
    }
    silent.sort();
    Err(format!("no other control plane's API server answers: {}", silent.join("; ")))
}

async fn server(kubernetes: &Kubernetes, plane: &Machine) -> Result<(), String> {
    let address = plane.address.as_deref().ok_or_else(|| format!("{}: its address is not known", plane.name))?;
    kubernetes.answers_at(address).await.map_err(|error| format!("{}: {error}", plane.name))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::clients::kubernetes::{Output, Raw, SharedStandIn, StandIn, Via};

    /// API servers of which only these answer; it keeps who was asked.
    struct Servers(&'static [&'static str], Mutex<Vec<String>>);

    #[async_trait]
    impl StandIn for Servers {
        async fn kubectl(&self, raw: &Raw) -> Output {
            let server = raw.server.clone().unwrap_or_default();
            let answers = self.0.contains(&server.as_str());
            let stderr = format!("The connection to the server {server}:6443 was refused\n");
            self.1.lock().unwrap().push(server);
            match answers {
                true => Output { exit: 0, stdout: r#"{"items": []}"#.into(), stderr: String::new() },
                false => Output { exit: 1, stdout: String::new(), stderr },
            }
        }
    }

    async fn served(up: &'static [&'static str], name: &str) -> (Result<(), String>, Vec<String>) {
        let lab = Arc::new(Servers(up, Mutex::default()));
        let kubernetes = Kubernetes::new(Via::Direct(SharedStandIn(lab.clone())), None, vec!["10.0.0.9".into()]);
        let machine = |n: usize| Machine {
            name: format!("cp{n}"),
            vmid: None,
            address: Some(format!("10.0.0.{n}")),
            ip: None,
            host: None,
            control_plane: true,
        };
        let answer = is_served(&kubernetes, &[machine(1), machine(2), machine(3)], name).await;
        let asked = lab.1.lock().unwrap().clone();
        (answer, asked)
    }

    #[tokio::test]
    async fn an_api_server_answers_on_another_control_planes_own_address() {
        assert_eq!(served(&["10.0.0.3"], "cp2").await.0, Ok(()), "one of the others is enough");
        let (answer, asked) = served(&["10.0.0.2", "10.0.0.9"], "cp2").await;
        let why = answer.unwrap_err();
        assert!(why.contains("cp1: ") && why.contains("; cp3: ") && !why.contains("cp2"), "{why}");
        assert!(!asked.contains(&"10.0.0.2".to_owned()) && !asked.contains(&"10.0.0.9".to_owned()), "{asked:?}");
        assert_eq!(served(&["10.0.0.2"], "w1").await.0, Ok(()), "for a worker any will do");
    }

    #[test]
    fn a_refusal_names_the_node_and_what_to_look_at() {
        let of = |done| refused("upgrade cp2", "prod", "cp2", "no other API server".into(), done);
        assert_eq!(of(Done::None).cause, "cp2 must not go down now: no other API server");
        assert!(of(Done::None).remedy.unwrap().ends_with("talos-status --cluster prod` says what is not well"));
        let installed = of(Done::Partial);
        assert_eq!(installed.done, Done::Partial);
        assert!(installed.remedy.unwrap().contains("the next reboot of cp2"), "nobody should be surprised by it");
    }
}
