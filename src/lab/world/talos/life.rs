//! What a machine does of itself: it boots, stops its services, goes down, and comes back.

use super::{Ill, Image, Machine, Stage, World};
use crate::lab::world::clock::Event;
use crate::model::ids::Vmid;

/// Until its services have stopped.
const STOP_MS: u64 = 8_000;
/// From the firmware until its API answers.
const DARK_MS: u64 = 30_000;
/// From then until all of its services run.
const START_MS: u64 = 15_000;
/// For an installer to write the other slot.
pub(super) const INSTALL_MS: u64 = 20_000;

/// The firmware has taken the slot that is known to be good.
pub(super) const WENT_BACK: &str = "fallback to the previous boot entry";

/// What a machine goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab::world) enum Turn {
    /// Its services have stopped: it reboots.
    Down,
    /// The same, and it switches itself off.
    Off,
    /// The installer has written the other slot, and it reboots.
    Installed,
    Answers,
    Runs,
    /// Its etcd has caught up.
    Votes,
    /// Its etcd, which is told to be a new one, is there.
    Begins,
    /// Its etcd is written to.
    Writes,
}

/// How a machine is to go down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lab) enum Down {
    Reboot,
    Shutdown,
    /// What is to be wiped on the way: etcd's and the containers' data, the configuration, the whole disk.
    Reset {
        data: bool,
        config: bool,
        disk: bool,
        reboot: bool,
    },
    /// The installer runs first.
    Upgrade(Image),
}

impl World {
    pub(super) fn turn_in(&mut self, ms: u64, vmid: Vmid, life: u64, turn: Turn) {
        self.after(ms, Event::Talos(vmid, life, turn));
    }

    /// A line in a machine's log.
    pub(super) fn log_line(&mut self, vmid: Vmid, text: &str) {
        let at = crate::sys::clock::rfc3339(self.seconds() * 1000);
        if let Some(machine) = self.machine_mut(vmid) {
            machine.lines.push(format!("user: warning: [{at}]: [talos] {text}"));
        }
    }

    /// Its guest was switched on, or off, or reset.
    pub(in crate::lab::world) fn machine_power(&mut self, vmid: Vmid, on: bool) {
        if on {
            self.machine_unpacked(vmid);
        }
        let Some(machine) = self.machine_mut(vmid) else { return };
        machine.life += 1;
        machine.stage = Stage::Dark;
        if on {
            self.boot(vmid);
        }
    }

    /// It begins to go down by itself.
    pub(in crate::lab) fn machine_goes_down(&mut self, vmid: Vmid, how: &Down) {
        let Some(machine) = self.machine_mut(vmid) else { return };
        machine.life += 1;
        let life = machine.life;
        let (stage, ms, turn) = match how {
            Down::Reboot => (Stage::Rebooting, STOP_MS, Turn::Down),
            Down::Shutdown => (Stage::ShuttingDown, STOP_MS, Turn::Off),
            Down::Reset { reboot: true, .. } => (Stage::Resetting, STOP_MS, Turn::Down),
            Down::Reset { reboot: false, .. } => (Stage::Resetting, STOP_MS, Turn::Off),
            Down::Upgrade(_) => (Stage::Upgrading, STOP_MS + INSTALL_MS, Turn::Installed),
        };
        machine.stage = stage;
        match how {
            Down::Upgrade(image) => machine.other = Some(image.clone()),
            Down::Reset { config, disk, data, .. } => {
                if *config || *disk {
                    (machine.config, machine.staged) = (String::new(), None);
                }
                if *disk {
                    machine.ills.insert(Ill::NoSystem);
                }
                if *data {
                    self.forget_etcd(vmid);
                }
            }
            Down::Reboot | Down::Shutdown => {}
        }
        self.log_line(vmid, &format!("{} sequence: 8 phase(s)", stage.word()));
        self.turn_in(ms, vmid, life, turn);
    }

    pub(in crate::lab::world) fn machine_turn(&mut self, vmid: Vmid, life: u64, turn: Turn) {
        let on = self.guests.get(&vmid).is_some_and(|guest| guest.run.is_some());
        let Some(machine) = self.machines.all.get_mut(&vmid).filter(|one| on && one.life == life) else { return };
        match turn {
            Turn::Installed => {
                machine.other_next = true;
                self.machine_power(vmid, true);
            }
            Turn::Down => self.machine_power(vmid, true),
            Turn::Off => self.power_off(vmid),
            Turn::Answers => self.answers(vmid),
            Turn::Runs => {
                machine.stage = Stage::Running;
                // What was begun before a reboot goes on after it.
                let begins = machine.etcd.as_ref().is_some_and(|etcd| etcd.begins.is_some());
                let (name, control_plane) = (machine.hostname.clone(), machine.control_plane);
                if begins {
                    self.turn_in(1_000, vmid, life, Turn::Begins);
                }
                self.join_waiting();
                self.register_node(&name, control_plane);
                self.log_line(vmid, "boot sequence: done");
            }
            Turn::Votes => {
                if let Some(etcd) = machine.etcd.as_mut().filter(|_| !machine.ills.contains(&Ill::EtcdLearner)) {
                    etcd.learner = false;
                }
                self.join_waiting();
            }
            Turn::Begins => self.begin_etcd(vmid),
            Turn::Writes => self.write_etcd(vmid),
        }
    }

    fn boot(&mut self, vmid: Vmid) {
        let Some(machine) = self.machine_mut(vmid) else { return };
        if machine.ills.remove(&Ill::NeverReturns) || machine.ills.contains(&Ill::NoSystem) {
            return;
        }
        let life = machine.life;
        let mut ms = DARK_MS;
        if std::mem::take(&mut machine.other_next) {
            if machine.ills.remove(&Ill::RollsBack) {
                // It was tried, and the firmware took the slot that is known to be good.
                ms += DARK_MS;
                self.log_line(vmid, &format!("boot entry failed to boot, {WENT_BACK}"));
            } else {
                machine.swap();
                if machine.ills.remove(&Ill::LosesExtensions) {
                    let bare = machine.image().bare();
                    machine.set_image(bare);
                }
            }
        }
        self.turn_in(ms, vmid, life, Turn::Answers);
    }

    fn answers(&mut self, vmid: Vmid) {
        let Some(machine) = self.machine_mut(vmid) else { return };
        machine.boots += 1;
        if let Some(staged) = machine.staged.take() {
            machine.set_config(staged);
        }
        let (life, text) = (machine.life, format!("Talos v{}, boot {}", machine.version, machine.boots));
        if machine.config.is_empty() {
            machine.stage = Stage::Maintenance;
        } else {
            machine.stage = Stage::Booting;
            self.turn_in(START_MS, vmid, life, Turn::Runs);
        }
        self.log_line(vmid, &text);
    }
}

impl Machine {
    /// Whether its clock is not that of its time server.
    pub fn is_unsynced(&self) -> bool {
        self.ills.contains(&Ill::TimeUnsynced)
    }

    pub fn image(&self) -> Image {
        Image { version: self.version.clone(), schematic: self.schematic.clone(), extensions: self.extensions.clone() }
    }

    fn set_image(&mut self, image: Image) {
        (self.version, self.schematic, self.extensions) = (image.version, image.schematic, image.extensions);
    }

    /// Runs from the other slot.
    fn swap(&mut self) {
        let was = self.image();
        if let Some(other) = self.other.replace(was) {
            self.set_image(other);
        } else {
            self.other = None;
        }
    }
}
