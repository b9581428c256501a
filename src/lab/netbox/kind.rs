//! The kinds of objects, and what of them can be written.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    CustomField,
    ClusterType,
    Cluster,
    Vm,
    Interface,
    Mac,
    Ip,
    Disk,
}

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    Text {
        most: usize,
    },
    /// Of these; the first is what an object has of which nothing is said.
    Choice(&'static [&'static str]),
    /// A number of an object of that kind, or attributes that only one has.
    One(Kind),
    Whole,
    Decimal,
    Bool,
    Mac,
    Address,
    /// `app.model`
    Model,
    Models,
    Custom,
    /// Kept as it comes.
    Any,
}

/// A field that can be written; all others of a body are passed over, as the framework does.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub takes: Takes,
    pub required: bool,
    pub null: bool,
}

const fn needed(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, required: true, null: false }
}

const fn filled(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, required: false, null: false }
}

const fn open(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, required: false, null: true }
}

const TEXT: Takes = Takes::Text { most: 200 };
const VM_STATUS: &[&str] = &["active", "offline", "planned", "staged", "failed", "decommissioning", "paused"];
const CLUSTER_STATUS: &[&str] = &["active", "planned", "staging", "decommissioning", "offline"];
const IP_STATUS: &[&str] = &["active", "reserved", "deprecated", "dhcp", "slaac"];
const FIELD_TYPES: &[&str] = &[
    "text",
    "longtext",
    "integer",
    "decimal",
    "boolean",
    "date",
    "datetime",
    "url",
    "json",
    "select",
    "multiselect",
    "object",
    "multiobject",
];

const CUSTOM_FIELD: &[Field] = &[
    needed("object_types", Takes::Models),
    needed("type", Takes::Choice(FIELD_TYPES)),
    needed("name", Takes::Text { most: 50 }),
    filled("label", Takes::Text { most: 50 }),
    filled("group_name", Takes::Text { most: 50 }),
    filled("description", TEXT),
    filled("required", Takes::Bool),
    filled("unique", Takes::Bool),
    filled("filter_logic", Takes::Choice(&["loose", "exact", "disabled"])),
    filled("ui_visible", Takes::Choice(&["always", "if-set", "hidden"])),
    filled("ui_editable", Takes::Choice(&["yes", "no", "hidden"])),
    filled("weight", Takes::Whole),
];
const CLUSTER_TYPE: &[Field] = &[
    needed("name", Takes::Text { most: 100 }),
    needed("slug", Takes::Text { most: 100 }),
    filled("description", TEXT),
];
const CLUSTER: &[Field] = &[
    needed("name", Takes::Text { most: 100 }),
    needed("type", Takes::One(Kind::ClusterType)),
    filled("status", Takes::Choice(CLUSTER_STATUS)),
    filled("description", TEXT),
    filled("comments", Takes::Any),
    filled("custom_fields", Takes::Custom),
];
const VM: &[Field] = &[
    needed("name", Takes::Text { most: 64 }),
    filled("status", Takes::Choice(VM_STATUS)),
    filled("start_on_boot", Takes::Choice(&["off", "on", "laststate"])),
    open("site", Takes::Whole),
    open("cluster", Takes::One(Kind::Cluster)),
    open("device", Takes::Whole),
    open("tenant", Takes::Whole),
    open("primary_ip4", Takes::One(Kind::Ip)),
    open("primary_ip6", Takes::One(Kind::Ip)),
    open("vcpus", Takes::Decimal),
    open("memory", Takes::Whole),
    open("disk", Takes::Whole),
    filled("serial", Takes::Text { most: 50 }),
    filled("description", TEXT),
    filled("comments", Takes::Any),
    filled("custom_fields", Takes::Custom),
];
const INTERFACE: &[Field] = &[
    needed("virtual_machine", Takes::One(Kind::Vm)),
    needed("name", Takes::Text { most: 64 }),
    filled("enabled", Takes::Bool),
    open("mtu", Takes::Whole),
    open("primary_mac_address", Takes::One(Kind::Mac)),
    filled("description", TEXT),
    filled("custom_fields", Takes::Custom),
];
const MAC: &[Field] = &[
    needed("mac_address", Takes::Mac),
    open("assigned_object_type", Takes::Model),
    open("assigned_object_id", Takes::Whole),
    filled("description", TEXT),
    filled("comments", Takes::Any),
    filled("custom_fields", Takes::Custom),
];
const IP: &[Field] = &[
    needed("address", Takes::Address),
    open("vrf", Takes::Whole),
    open("tenant", Takes::Whole),
    filled("status", Takes::Choice(IP_STATUS)),
    open("role", Takes::Any),
    open("assigned_object_type", Takes::Model),
    open("assigned_object_id", Takes::Whole),
    filled("dns_name", Takes::Text { most: 255 }),
    filled("description", TEXT),
    filled("comments", Takes::Any),
    filled("custom_fields", Takes::Custom),
];
const DISK: &[Field] = &[
    needed("virtual_machine", Takes::One(Kind::Vm)),
    needed("name", Takes::Text { most: 64 }),
    needed("size", Takes::Whole),
    filled("description", TEXT),
];

/// What an interface of a virtual machine is called where any kind of object may stand.
pub const VM_INTERFACE: &str = "virtualization.vminterface";

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::CustomField,
        Self::ClusterType,
        Self::Cluster,
        Self::Vm,
        Self::Interface,
        Self::Mac,
        Self::Ip,
        Self::Disk,
    ];

    pub fn at(app: &str, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.place() == (app, name))
    }

    pub fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::CustomField => ("extras", "custom-fields"),
            Self::ClusterType => ("virtualization", "cluster-types"),
            Self::Cluster => ("virtualization", "clusters"),
            Self::Vm => ("virtualization", "virtual-machines"),
            Self::Interface => ("virtualization", "interfaces"),
            Self::Mac => ("dcim", "mac-addresses"),
            Self::Ip => ("ipam", "ip-addresses"),
            Self::Disk => ("virtualization", "virtual-disks"),
        }
    }

    /// As the framework's messages call it.
    pub fn model(self) -> &'static str {
        match self {
            Self::CustomField => "CustomField",
            Self::ClusterType => "ClusterType",
            Self::Cluster => "Cluster",
            Self::Vm => "VirtualMachine",
            Self::Interface => "VMInterface",
            Self::Mac => "MACAddress",
            Self::Ip => "IPAddress",
            Self::Disk => "VirtualDisk",
        }
    }

    /// The name of its model where custom fields say what they are for.
    pub fn content_type(self) -> String {
        format!("{}.{}", self.place().0, self.model().to_lowercase())
    }

    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::CustomField => CUSTOM_FIELD,
            Self::ClusterType => CLUSTER_TYPE,
            Self::Cluster => CLUSTER,
            Self::Vm => VM,
            Self::Interface => INTERFACE,
            Self::Mac => MAC,
            Self::Ip => IP,
            Self::Disk => DISK,
        }
    }
}
