//! Tasks of nodes: listed, read, waited for, stopped.

mod list;
mod log;
mod stop;
mod wait;

pub use list::Tasks;
pub use log::TaskLog;
pub use stop::TaskStop;
pub use wait::TaskWait;
