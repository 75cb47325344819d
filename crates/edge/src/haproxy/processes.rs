//! How many processes from before a reload may live: each keeps the WebSockets that it has, and each takes memory.

use crate::routes::Routes;

/// Memory of the edge's container.
pub const MEMORY_MIB: u32 = 512;
/// The same with a login, whose buffers have four times the length.
pub const LOGIN_MEMORY_MIB: u32 = MEMORY_MIB + 3 * CONNECTIONS_MIB;
/// Of that without a login for connections of all processes, and for a master that reads a configuration: 4,000 with two buffers of 16 KiB.
const CONNECTIONS_MIB: u32 = 128;
/// Of a process without services. Measured: 5.7 MiB.
const PROCESS_KIB: u32 = 8 << 10;
/// Of one place for a task, with its share of everything else that a service has. Measured: 5.9 KiB, and 8 KiB with every label that there is.
const PLACE_KIB: u32 = 8;
/// Also where there is room for more: a WebSocket that has lived through so many changes of services can begin again.
const MOST: u32 = 32;

/// How many reloads a process survives.
pub(super) fn former(routes: &Routes) -> u32 {
    let places = routes.routes.iter().fold(0, |sum: u32, route| sum.saturating_add(route.slots));
    let process = PLACE_KIB.saturating_mul(places).saturating_add(PROCESS_KIB);
    let fit = ((MEMORY_MIB - CONNECTIONS_MIB) << 10) / process;
    // Beside the process that serves, and the one that takes its place.
    fit.saturating_sub(2).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Route;

    #[test]
    fn as_many_processes_may_live_as_the_container_has_memory_for() {
        let services =
            |count| Routes { routes: vec![Route { slots: 8, ..Route::default() }; count], ..Routes::default() };
        for (count, expected) in [(0, 32), (1, 32), (50, 32), (100, 24), (300, 12), (1000, 3), (5000, 1), (100_000, 1)]
        {
            assert_eq!(former(&services(count)), expected, "{count} services");
        }
    }
}
