//! Calls as real clients send them: none of these may be refused.

use std::collections::BTreeMap;

use super::{Verb, check_call};

type Call = (Verb, &'static str, &'static [(&'static str, &'static str)]);

const ON_BOTH: &[Call] = &[
    (Verb::Get, "/cluster/resources", &[("type", "vm")]),
    (Verb::Get, "/cluster/nextid", &[("vmid", "120")]),
    (
        Verb::Get,
        "/nodes/pve1/tasks",
        &[("source", "all"), ("vmid", "104"), ("statusfilter", "ok,error"), ("limit", "5")],
    ),
    (
        Verb::Get,
        "/nodes/pve1/tasks/UPID:pve1:0000AAAA:0000BBBB:67400000:qmigrate:104:ops@pve!runbook:/log",
        &[("start", "0"), ("limit", "0")],
    ),
    (
        Verb::Post,
        "/nodes/pve1/qemu",
        &[
            ("vmid", "120"),
            ("name", "talos-cp-1"),
            ("cores", "4"),
            ("memory", "8192"),
            ("cpu", "host,flags=+aes"),
            ("agent", "1"),
            ("scsihw", "virtio-scsi-single"),
            ("scsi0", "local-lvm:0,import-from=local:import/talos.qcow2,iothread=1,discard=on,ssd=1"),
            ("ide2", "local:iso/talos.iso,media=cdrom"),
            ("efidisk0", "local-lvm:1,efitype=4m,pre-enrolled-keys=0"),
            ("net0", "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,tag=20,trunks=1;2"),
            ("net1", "virtio,bridge=vmbr1,rate=12.5"),
            ("boot", "order=scsi0;net0"),
            ("ostype", "l26"),
            ("machine", "q35"),
            ("bios", "ovmf"),
            ("tags", "talos;prod"),
            ("startup", "order=1,up=30,down=60"),
            ("serial0", "socket"),
            ("vga", "serial0"),
            ("ipconfig0", "ip=10.0.0.5/24,gw=10.0.0.1"),
            ("ciuser", "admin"),
            ("sshkeys", "ssh-ed25519%20AAAA%20a%40b"),
            ("nameserver", "1.1.1.1 9.9.9.9"),
            ("smbios1", "uuid=7d5b9a0e-0c31-4f6c-8a94-15d3a0a5b8a1"),
            ("hostpci0", "mapping=gpu0,pcie=1"),
            ("usb0", "host=046d:c52b"),
            ("onboot", "1"),
            ("start", "0"),
        ],
    ),
    (
        Verb::Put,
        "/nodes/pve1/qemu/104/config",
        &[("delete", "lock,net1"), ("digest", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("skiplock", "1")],
    ),
    (Verb::Post, "/nodes/pve1/qemu/104/config", &[("scsi1", "ceph:32,size=32G"), ("background_delay", "5")]),
    (
        Verb::Post,
        "/nodes/pve1/qemu/9000/clone",
        &[("newid", "121"), ("name", "web-1"), ("full", "1"), ("storage", "local-lvm"), ("target", "pve2")],
    ),
    (
        Verb::Post,
        "/nodes/pve1/qemu/104/migrate",
        &[("target", "pve2"), ("online", "1"), ("with-local-disks", "1"), ("targetstorage", "local-lvm:ceph")],
    ),
    (Verb::Post, "/nodes/pve1/lxc/101/migrate", &[("target", "pve2"), ("restart", "1"), ("timeout", "60")]),
    (Verb::Post, "/nodes/pve1/qemu/104/snapshot", &[("snapname", "before-upgrade"), ("vmstate", "1")]),
    (Verb::Post, "/nodes/pve1/qemu/104/snapshot/before-upgrade/rollback", &[]),
    (Verb::Put, "/nodes/pve1/qemu/104/resize", &[("disk", "scsi0"), ("size", "+10G")]),
    (Verb::Post, "/nodes/pve1/qemu/104/status/shutdown", &[("timeout", "60"), ("forceStop", "1")]),
    (Verb::Delete, "/nodes/pve1/qemu/104", &[("purge", "1"), ("destroy-unreferenced-disks", "1")]),
    (
        Verb::Post,
        "/nodes/pve1/storage/local/download-url",
        &[
            ("url", "https://factory.example.org/image/abc/v1.11.0/metal-amd64.iso"),
            ("content", "iso"),
            ("filename", "talos-v1.11.0.iso"),
            ("checksum", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("checksum-algorithm", "sha256"),
        ],
    ),
    (Verb::Get, "/nodes/pve1/storage/local/content", &[("content", "iso")]),
    (
        Verb::Post,
        "/nodes/pve1/vzdump",
        &[("vmid", "104,105"), ("storage", "backup"), ("mode", "snapshot"), ("compress", "zstd")],
    ),
    (Verb::Post, "/cluster/ha/resources", &[("sid", "vm:104"), ("state", "started"), ("max_restart", "2")]),
    (Verb::Post, "/cluster/ha/resources/vm:104/migrate", &[("node", "pve2")]),
    (Verb::Put, "/cluster/ha/resources/ct:101", &[("state", "disabled")]),
    (
        Verb::Post,
        "/nodes/pve1/lxc",
        &[
            ("vmid", "130"),
            ("ostemplate", "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"),
            ("rootfs", "local-lvm:8"),
            ("net0", "name=eth0,bridge=vmbr0,ip=dhcp,ip6=auto,firewall=1"),
            ("hostname", "web"),
            ("unprivileged", "1"),
            ("features", "nesting=1"),
        ],
    ),
    (Verb::Post, "/pools", &[("poolid", "prod")]),
    (Verb::Post, "/nodes/pve1/migrateall", &[("target", "pve2"), ("maxworkers", "2"), ("vms", "104,105")]),
];

const ON_NINE: &[Call] = &[
    (
        Verb::Post,
        "/cluster/ha/rules",
        &[("rule", "apart"), ("type", "resource-affinity"), ("resources", "vm:104,vm:105"), ("affinity", "negative")],
    ),
    (
        Verb::Post,
        "/cluster/ha/rules",
        &[
            ("rule", "home"),
            ("type", "node-affinity"),
            ("resources", "vm:104"),
            ("nodes", "pve1:2,pve2"),
            ("strict", "1"),
        ],
    ),
    (Verb::Get, "/nodes/pve1/lxc/101/migrate", &[("target", "pve2")]),
    (Verb::Post, "/nodes/pve1/qemu/104/migrate", &[("target", "pve2"), ("with-conntrack-state", "1")]),
];

#[test]
fn calls_of_real_clients_are_taken() {
    let check = |version: &str, (verb, path, params): &Call| {
        let params: BTreeMap<String, String> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check_call(version, *verb, path, &params).map(|_| ()).map_err(|error| format!("{version}: {error}"))
    };
    let eight = ON_BOTH.iter().filter_map(|call| check("8.4.2", call).err());
    let nine = ON_BOTH.iter().chain(ON_NINE).filter_map(|call| check("9.2.3", call).err());
    assert_eq!(eight.chain(nine).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(ON_NINE.iter().all(|call| check("8.4.2", call).is_err()));
}
