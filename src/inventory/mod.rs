//! The guests of a site as other systems want them: pure; whoever reads the site or the other system is elsewhere.

pub mod netbox;
