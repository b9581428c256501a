//! The actions that the examples need.

use crate::model::action_spec::{ActionSpec, Catalogue};
use crate::model::effect::Effect;
use crate::model::param::{Param, ValueType};

pub fn catalogue() -> Catalogue {
    let p = Param::new;
    let specs = [
        ActionSpec::new("proxmox.plan_evacuation", Effect::Read, "Say where a node's guests can go")
            .param(p("node", ValueType::Node).required())
            .param(p("keep_free", ValueType::Percent))
            .param(p("stay", ValueType::List).items(ValueType::Guest))
            .param(p("allow_stop", ValueType::Bool))
            .output("plan", ValueType::Map, "all of it")
            .output("moves", ValueType::List, "what moves where")
            .output("stops", ValueType::List, "what is down for a while")
            .output("staying", ValueType::List, "what stays"),
        ActionSpec::new("proxmox.ha_maintenance", Effect::Change, "Put a node into maintenance")
            .param(p("node", ValueType::Node).required())
            .param(p("enabled", ValueType::Bool).required())
            .undoable(),
        ActionSpec::new("proxmox.check_evacuation", Effect::Read, "Check that a placement still fits")
            .param(p("plan", ValueType::Map).required()),
        ActionSpec::new("proxmox.guest_migrate", Effect::Change, "Move a guest")
            .param(p("guest", ValueType::Guest).required())
            .param(p("to", ValueType::Node).required())
            .param(p("mode", ValueType::String).choices(&["live", "offline", "restart"]))
            .param(p("storages", ValueType::Map))
            .output("node", ValueType::Node, "where it is now")
            .undoable(),
        ActionSpec::new("proxmox.node_empty", Effect::Read, "Check that a node is empty")
            .param(p("node", ValueType::Node).required())
            .param(p("accept", ValueType::List)),
        ActionSpec::new("proxmox.guest_shutdown", Effect::Disrupt, "Shut a guest down")
            .param(p("guest", ValueType::Guest).required())
            .param(p("timeout", ValueType::Duration))
            .undoable(),
        ActionSpec::new("proxmox.guest_unlock", Effect::Change, "Take a guest's lock off")
            .param(p("guest", ValueType::Guest).required()),
        ActionSpec::new("proxmox.guests", Effect::Read, "List guests")
            .param(p("guests", ValueType::List).items(ValueType::Guest))
            .param(p("any_tag", ValueType::List))
            .param(p("template", ValueType::Bool))
            .param(p("chosen", ValueType::Bool))
            .output("guests", ValueType::List, "those"),
        ActionSpec::new("proxmox.guest_backup", Effect::Change, "Back a guest up")
            .param(p("guest", ValueType::Guest).required())
            .param(p("storage", ValueType::String).required())
            .param(p("mode", ValueType::String))
            .param(p("notes", ValueType::String))
            .param(p("protected", ValueType::Bool)),
        ActionSpec::new("proxmox.guest_restore", Effect::Change, "Restore a guest")
            .param(p("backup", ValueType::String).required())
            .param(p("vmid", ValueType::Vmid).required())
            .param(p("node", ValueType::Node).required())
            .param(p("storage", ValueType::String))
            .param(p("force", ValueType::Bool))
            .param(p("unique", ValueType::Bool))
            .param(p("start", ValueType::Bool)),
        ActionSpec::new("proxmox.guest_destroy", Effect::Destroy, "Destroy a guest")
            .param(p("guest", ValueType::Guest).required()),
        ActionSpec::new("talos.etcd_snapshot", Effect::Read, "Save etcd")
            .param(p("to", ValueType::Path).required())
            .param(p("version", ValueType::Version))
            .output("size", ValueType::Size, "bytes"),
        ActionSpec::new("ssh.run", Effect::Change, "Run a command on a host")
            .param(p("host", ValueType::String).required())
            .param(p("script", ValueType::String))
            .param(p("argv", ValueType::List))
            .param(p("env", ValueType::Map))
            .output("stdout", ValueType::String, "what it wrote"),
    ];
    specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect()
}
