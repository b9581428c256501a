//! Events and plans, shown to people and machines: as text, JSON and pictures. Nothing here prints by itself: all of it
//! renders to a text or to a writer that is handed in, except the live display, which draws where it is told to.

mod blocked;
mod cluster;
mod crowd;
mod figures;
mod graph;
mod human;
mod jsonl;
mod junit;
mod late;
mod left;
mod metrics;
mod notify;
mod page;
mod picture;
mod placement;
mod plain;
mod plan_json;
mod plan_text;
mod question;
mod quiet;
mod run_json;
#[cfg(test)]
mod sample;
mod status;
mod style;
mod summary;
mod table;
mod takeover;
mod terms;
mod text;
mod view;

pub use cluster::{nodes as cluster_nodes, suspects as cluster_suspects};
pub use figures::{bytes, clock, date, duration, speed};
pub use graph::Graph;
pub use human::{Human, Pause};
pub use jsonl::JsonLines;
pub use junit::{junit, junit_of_nothing, junit_refused};
pub use left::{Extent, Left, left};
pub use metrics::{RunFigures, metrics};
pub use notify::{Notice, moments, notice, rehearsal};
#[cfg(test)]
use page::balanced as page_is_balanced;
pub use page::{RunFacts, page};
pub use picture::svg;
pub use plain::Plain;
pub use plan_json::plan_json;
pub use plan_text::{PlanText, Purpose};
pub use question::question;
pub use quiet::Quiet;
pub use run_json::run_json;
pub use status::{RunLine, logs, runs, status};
pub use style::{Look, Style};
pub use summary::summary;
pub use table::{Cell, Column, Table};
pub use takeover::{commands_json, commands_text};
pub use view::{RunView, StepView};

/// The version of the JSON that this module makes: a minor one adds, a major one breaks.
pub const FORMAT_VERSION: &str = "1.0";
