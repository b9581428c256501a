//! What a run means: a pure machine decides, drivers do, ports touch the world.

pub mod drivers;
pub mod machine;
pub mod ports;
pub mod world;
