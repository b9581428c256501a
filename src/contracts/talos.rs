//! Which Talos goes with which Kubernetes, and from where it can be upgraded to.
//!
//! Source: `pkg/machinery/compatibility` of siderolabs/talos at v1.14.0-rc.1.

use std::sync::LazyLock;

use crate::model::talos::Support;

static ALL: LazyLock<Vec<Support>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/talos-support.json")).expect("the matrix in the binary is JSON")
});

/// All minor versions that are known, oldest first.
pub fn support() -> &'static [Support] {
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_in_order_and_without_holes() {
        for pair in support().windows(2) {
            assert_eq!(pair[0].talos.next(), pair[1].talos);
            assert!(pair[0].k8s_max < pair[1].k8s_max && pair[1].k8s_min <= pair[0].k8s_max);
        }
        let newest = support().last().unwrap();
        assert_eq!((newest.talos.to_string(), newest.k8s_max.to_string()), ("1.14".into(), "1.37".into()));
    }
}
