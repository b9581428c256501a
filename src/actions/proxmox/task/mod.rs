//! Tasks of nodes: listed, read, waited for.

mod list;
mod log;
mod wait;

pub use list::Tasks;
pub use log::TaskLog;
pub use wait::TaskWait;
