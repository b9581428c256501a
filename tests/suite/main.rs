//! The one binary of integration tests (`autotests = false`): one link, not one for each file.

mod architecture;
