//! The keys of `cluster-config.yaml` and of `clusters/*.yaml`.

use super::shape::{Key, Shape, Table};
use crate::model::param::ValueType;

const TEXTS: Shape = Shape::List(&Shape::Text);
const IP: Shape = Shape::Value(ValueType::Ip);
const CIDR: Shape = Shape::Value(ValueType::Cidr);
const VERSION: Shape = Shape::Value(ValueType::Version);
const VMID: Shape = Shape::Value(ValueType::Vmid);
const URL: Shape = Shape::Value(ValueType::Url);
const SECRET: Shape = Shape::Value(ValueType::Secret);
const DURATION: Shape = Shape::Value(ValueType::Duration);
const COUNT: Shape = Shape::Int { min: 1, max: 10_000 };

pub static SITE: Table = Table {
    what: "the configuration",
    keys: &[
        Key::required("cluster", Shape::Table(&SITE_CLUSTER), "the Proxmox cluster: its name and nodes"),
        Key::required("credentials", Shape::Table(&CREDENTIALS), "how to log in: references, never the secrets"),
        Key::new("defaults", Shape::Table(&DEFAULTS), "what a new guest gets"),
        Key::new("vmid_ranges", Shape::Table(&RANGES), "which VMIDs are for what"),
        Key::new("tags", Shape::Table(&TAGS), "tags that new guests get"),
        Key::new("cloudinit", Shape::Table(&CLOUDINIT), "for guests that have cloud-init"),
        Key::new("talos", Shape::Table(&SITE_TALOS), "Talos: factory, versions and tools"),
        Key::new("ansible", Shape::Table(&ANSIBLE), "where playbooks and their inventory are"),
        Key::new("taskfile", Shape::Table(&TASKFILE), "where the Taskfile is"),
        Key::new("placement", Shape::Table(&PLACEMENT), "what the placement of guests keeps to"),
        Key::new("policy", Shape::Table(&POLICY), "what holds for every runbook"),
        Key::new("notify", Shape::List(&Shape::Table(&NOTIFY)), "who is told of runs"),
        Key::new("metrics", Shape::Table(&METRICS), "figures about runs, for Prometheus"),
        Key::new("netbox", Shape::Table(&NETBOX), "the NetBox that the inventory is compared with"),
    ],
};

static SITE_CLUSTER: Table = Table {
    what: "the Proxmox cluster",
    keys: &[
        Key::required("name", Shape::Host, "the site's name: part of every lock, plan and inventory key"),
        Key::required("nodes", Shape::List(&Shape::Table(&SITE_NODE)), "at least one node"),
        Key::new("tls", Shape::Table(&TLS), "how the nodes' certificates are checked"),
        Key::new("api", Shape::Table(&API), "how the API is called"),
    ],
};

static SITE_NODE: Table = Table {
    what: "a node",
    keys: &[
        Key::required("name", Shape::Value(ValueType::Node), "its name in the cluster"),
        Key::new("host", Shape::HostPort, "host or host:port; default NAME.<cluster.name>, port 8006"),
        Key::new("fingerprint", Shape::Fingerprint, "SHA-256 of its certificate, as Proxmox writes it"),
    ],
};

static TLS: Table = Table {
    what: "tls",
    keys: &[
        Key::new("ca_file", Shape::Text, "the certificate authority of the nodes; default: the system's"),
        Key::new("insecure", Shape::Bool, "do not check certificates; warns each time"),
    ],
};

static API: Table = Table {
    what: "api",
    keys: &[
        Key::new("timeout", DURATION, "for one call; default 30s"),
        Key::new("per_node", Shape::Int { min: 1, max: 16 }, "protected calls at once per node; default 2"),
    ],
};

static CREDENTIALS: Table = Table {
    what: "the credentials",
    keys: &[
        Key::new("pass_path", Shape::Text, "a pass entry: first line the token id, last line the secret"),
        Key::new("token", SECRET, "a reference to an API token"),
        Key::new("user", Shape::Text, "for a login with a ticket: user@realm"),
        Key::new("password", SECRET, "a reference to the user's password"),
        Key::new("ssh_user", Shape::Text, "default root"),
        Key::new("ssh_config", Shape::Text, "default: ssh's own"),
    ],
};

static DEFAULTS: Table = Table {
    what: "the defaults",
    keys: &[
        Key::new("storage", Shape::Text, "default local-lvm"),
        Key::new("network_bridge", Shape::Text, "default vmbr0"),
        Key::new("bios", Shape::Choice(&["ovmf", "seabios"]), "default ovmf"),
        Key::new("machine", Shape::Text, "default q35"),
        Key::new("cpu", Shape::Text, "default host"),
        Key::new("scsi_controller", Shape::Text, "default virtio-scsi-pci"),
        Key::new("efidisk_pre_enrolled_keys", Shape::Bool, "default false"),
        Key::new("guest_agent", Shape::Bool, "default true"),
    ],
};

static RANGES: Table = Table {
    what: "the VMID ranges",
    keys: &[
        Key::new("templates", Shape::VmidRange, "of templates, such as 100-999"),
        Key::new("vms", Shape::VmidRange, "of VMs, such as 1000-9999"),
    ],
};

static TAGS: Table = Table {
    what: "the tags",
    keys: &[
        Key::new("templates", TEXTS, "of templates"),
        Key::new("talos", TEXTS, "of Talos VMs"),
        Key::new("cloudinit", TEXTS, "of VMs with cloud-init"),
    ],
};

static CLOUDINIT: Table = Table {
    what: "cloudinit",
    keys: &[
        Key::new("default_user", Shape::Text, "the user that is made"),
        Key::new("ssh_keys_source", Shape::Text, "a file with public keys"),
        Key::new("vendor_snippet_path", Shape::Text, "the folder of snippets on a node"),
    ],
};

static SITE_TALOS: Table = Table {
    what: "talos",
    keys: &[
        Key::new("default_extensions", TEXTS, "system extensions of new images"),
        Key::new("factory_base_url", URL, "default https://factory.talos.dev"),
        Key::new("default_kubernetes_version", VERSION, "for new clusters"),
        Key::new("interface_name", Shape::Text, "the network interface of a VM"),
        Key::new("tools", Shape::Table(&TOOLS), "where the programs are"),
    ],
};

static TOOLS: Table = Table {
    what: "the tools",
    keys: &[
        Key::new(
            "talosctl",
            Shape::OneOf(&[Shape::Text, Shape::Map(&Shape::Text)]),
            "a path, or one for each minor version: {\"1.11\": path}",
        ),
        Key::new("kubectl", Shape::Text, "default kubectl"),
        Key::new("flux", Shape::Text, "default flux"),
    ],
};

static ANSIBLE: Table = Table {
    what: "ansible",
    keys: &[
        Key::required("fleet_infra_path", Shape::Text, "the folder of the playbooks"),
        Key::new("inventory", Shape::Text, "below that folder"),
    ],
};

static TASKFILE: Table = Table { what: "taskfile", keys: &[Key::required("path", Shape::Text, "the Taskfile")] };

static PLACEMENT: Table = Table {
    what: "placement",
    keys: &[
        Key::new("host_reserve", Shape::Mebibytes, "memory that a node keeps for itself; default 4GiB"),
        Key::new("keep_free", Shape::Value(ValueType::Percent), "of a node's memory; default 15%"),
        Key::new("cpu_overcommit", Shape::Number, "virtual processors for each real one; default 4"),
        Key::new("max_out", COUNT, "migrations at once away from a node; default 2"),
        Key::new("max_in_per_node", COUNT, "migrations at once to a node; default 1"),
    ],
};

static POLICY: Table = Table {
    what: "the policy",
    keys: &[
        Key::new("protect", Shape::Table(&PROTECT), "what nothing may destroy"),
        Key::new(
            "max_destroyed",
            Shape::Int { min: 0, max: 10_000 },
            "guests, and disks of guests that are gone, that a run may destroy; default 6",
        ),
        Key::new("windows", Shape::List(&Shape::Table(&WINDOW)), "changing runs may only start inside one"),
        Key::new("quorum_groups", Shape::List(&Shape::Table(&QUORUM)), "members are never down or in flight together"),
    ],
};

static PROTECT: Table = Table {
    what: "protect",
    keys: &[
        Key::new("vmids", Shape::List(&VMID), "these guests"),
        Key::new("tags", TEXTS, "guests with one of these tags"),
    ],
};

static WINDOW: Table = Table {
    what: "a window",
    keys: &[
        Key::required("cron", Shape::Text, "when it opens: five fields"),
        Key::required("duration", DURATION, "for how long"),
        Key::new("timezone", Shape::Text, "an IANA name; default UTC"),
    ],
};

static QUORUM: Table = Table {
    what: "a quorum group",
    keys: &[
        Key::required("name", Shape::Text, "as messages call it"),
        Key::required("tags", TEXTS, "members have all of them"),
    ],
};

static NOTIFY: Table = Table {
    what: "a notification",
    keys: &[
        Key::new("ntfy", ADDRESS, "the URL of a topic, or a reference to it"),
        Key::new("slack", ADDRESS, "an incoming webhook of Slack or of what speaks like it: best a reference"),
        Key::new("webhook", ADDRESS, "a URL that takes JSON, or a reference to it"),
        Key::required(
            "on",
            Shape::List(&Shape::Choice(&[
                "started",
                "waiting",
                "succeeded",
                "failed",
                "rolled_back",
                "cancelled",
                "all",
            ])),
            "when",
        ),
        Key::new("token", SECRET, "of ntfy: a reference to an access token"),
        Key::new("priority", Shape::Table(&PRIORITY), "of ntfy: from 1 to 5, for each moment"),
        Key::new("secret", SECRET, "of a webhook: a reference to the key that bodies are signed with"),
        Key::new("headers", Shape::Map(&HEADER), "of a webhook: texts, or references to secrets"),
        Key::new("ca_file", Shape::Text, "the receiver's certificate authority; default: the system's"),
        Key::new("fingerprint", Shape::Fingerprint, "SHA-256 of the receiver's certificate, instead"),
    ],
};

const ADDRESS: Shape = Shape::OneOf(&[SECRET, URL]);
static HEADER: Shape = Shape::OneOf(&[SECRET, Shape::Text]);
const LEVEL: Shape = Shape::Int { min: 1, max: 5 };

static PRIORITY: Table = Table {
    what: "the priorities",
    keys: &[
        Key::new("started", LEVEL, "default 2"),
        Key::new("waiting", LEVEL, "default 4"),
        Key::new("succeeded", LEVEL, "default 3"),
        Key::new("failed", LEVEL, "default 4; 5 where the rollback is incomplete"),
        Key::new("rolled_back", LEVEL, "default 4"),
        Key::new("cancelled", LEVEL, "default 3"),
    ],
};

static METRICS: Table = Table {
    what: "metrics",
    keys: &[Key::new("textfile_dir", Shape::Text, "node_exporter's folder: runbook.prom is written into it")],
};

static NETBOX: Table = Table {
    what: "netbox",
    keys: &[
        Key::required("url", URL, "its URL"),
        Key::required("token", SECRET, "a reference to its token, of either version"),
        Key::new("cluster", Shape::Text, "the cluster's name there; default: the site's"),
        Key::new("ca_file", Shape::Text, "its certificate authority; default: the system's"),
    ],
};

pub static CLUSTER: Table = Table {
    what: "a cluster profile",
    keys: &[
        Key::required("name", Shape::Host, "its name, the file's stem"),
        Key::required("type", Shape::Choice(&["talos", "generic"]), "what runs on its VMs"),
        Key::new("template", Shape::OneOf(&[VMID, Shape::Table(&TEMPLATE)]), "a VMID, or {name, tag}"),
        Key::new("tags", TEXTS, "every VM has them; membership is to have all of them"),
        Key::new("nodes", Shape::Table(&GROUPS), "its VMs"),
        Key::new("talos", Shape::Table(&CLUSTER_TALOS), "versions and files"),
        Key::new("network", Shape::Table(&NETWORK), "addresses"),
        Key::new("flux", Shape::Table(&FLUX), "where its manifests are"),
    ],
};

static TEMPLATE: Table = Table {
    what: "a template",
    keys: &[
        Key::required("name", Shape::Host, "the template's name on each node"),
        Key::required("tag", Shape::Text, "the tag that tells it"),
    ],
};

static GROUPS: Table = Table {
    what: "the nodes",
    keys: &[
        Key::new("controlplane", Shape::Table(&GROUP), "control planes"),
        Key::new("workers", Shape::Table(&GROUP), "workers"),
    ],
};

static GROUP: Table = Table {
    what: "a group of VMs",
    keys: &[
        Key::required("count", Shape::Int { min: 0, max: 1_000 }, "how many"),
        Key::required("name_prefix", Shape::Host, "cp gives cp1, cp2, ..."),
        Key::required("cores", Shape::Int { min: 1, max: 512 }, "of each"),
        Key::required("memory", Shape::Mebibytes, "of each; a bare number is MiB"),
        Key::required("disk", Shape::Value(ValueType::Size), "of each"),
        Key::required("start_vmid", VMID, "the first one's VMID"),
        Key::new("placement", Shape::Choice(&["spread", "pack"]), "default spread"),
        Key::new("assignments", Shape::List(&Shape::Table(&ASSIGNMENT)), "what is fixed for single VMs"),
    ],
};

static ASSIGNMENT: Table = Table {
    what: "an assignment",
    keys: &[
        Key::required("name", Shape::Host, "the VM's name"),
        Key::new("node", Shape::Value(ValueType::Node), "the Proxmox node it is made on"),
        Key::new("vmid", VMID, "default: from start_vmid"),
        Key::new("ip", CIDR, "with its prefix: 10.0.0.51/24"),
        Key::new("mac", Shape::Value(ValueType::Mac), "of its first network interface"),
    ],
};

static CLUSTER_TALOS: Table = Table {
    what: "talos",
    keys: &[
        Key::required("version", VERSION, "of Talos, in quotes"),
        Key::new("kubernetes_version", VERSION, "in quotes"),
        Key::new("config_dir", Shape::Text, "where its configuration is kept"),
        Key::new("secrets_file", Shape::Text, "below config_dir"),
        Key::new("patches_dir", Shape::Text, "below config_dir"),
        Key::new("factory", Shape::Table(&FACTORY), "what its image holds"),
        Key::new("vip", Shape::Table(&VIP), "the address that the control planes share"),
    ],
};

static FACTORY: Table = Table {
    what: "the factory",
    keys: &[
        Key::new("schematic_id", Shape::Schematic, "64 hexadecimal digits"),
        Key::new("extensions", TEXTS, "system extensions"),
    ],
};

static VIP: Table = Table {
    what: "the vip",
    keys: &[
        Key::required("interface", Shape::Text, "the VM's network interface"),
        Key::required("ip", IP, "the address, without a prefix"),
    ],
};

static NETWORK: Table = Table {
    what: "the network",
    keys: &[
        Key::new("api_endpoint", Shape::Host, "the address or name of the Kubernetes API"),
        Key::new("gateway", IP, "of the nodes"),
        Key::new("pod_cidr", CIDR, "of pods"),
        Key::new("service_cidr", CIDR, "of services"),
        Key::new("nameservers", Shape::List(&IP), "of the nodes"),
    ],
};

static FLUX: Table = Table {
    what: "flux",
    keys: &[
        Key::required("repo", URL, "the repository's URL"),
        Key::required("path", Shape::Text, "the cluster's folder in it"),
        Key::new("branch", Shape::Text, "default: the repository's"),
    ],
};
