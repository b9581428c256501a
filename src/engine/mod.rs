//! What a run means: a pure machine decides, drivers do, ports touch the world.

pub mod check;
pub mod drivers;
pub mod evaluate;
pub mod guard;
pub mod hash;
pub mod inject;
pub mod machine;
pub mod plan;
pub mod ports;
pub mod world;
