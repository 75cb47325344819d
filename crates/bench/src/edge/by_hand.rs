//! What somebody writes who knows HAProxy and has these services, with no line that is not needed: no log, no metrics, no header taken
//! away, and requests for other hosts refused by HAProxy itself.

use futuswarm_edge::{ADMIN_SOCKET, Rendered};

use super::haproxy::INSIDE;
use super::host;
use super::tasks::Tasks;

const DEFAULTS: &str =
    "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n";

/// One service with these tasks. `closes` ends the connection to a task after each response, as the generated configuration does; without
/// it HAProxy keeps connections and uses them again.
pub(super) fn one(service: &str, port: u16, tasks: &Tasks, closes: bool) -> Rendered {
    let mut config = format!("global\n    maxconn 4000\n{DEFAULTS}");
    if closes {
        config.push_str("    option http-server-close\n");
    }
    config.push_str(&format!("frontend web\n    bind 127.0.0.1:{port}\n"));
    config.push_str(&format!("    use_backend {service} if {{ hdr(host) -i {} }}\nbackend {service}\n", host(service)));
    for (number, address) in tasks.addresses.iter().enumerate() {
        config.push_str(&format!("    server task{number} {address}:{} check\n", tasks.port));
    }
    Rendered { config, map: String::new() }
}

/// Many services whose tasks are found by name, each with places for so many of them.
pub(super) fn many(services: &[String], port: u16, task_port: u16, names: u16, places: u32) -> Rendered {
    let mut config = format!(
        "global\n    maxconn 4000\n    stats socket {INSIDE}/{ADMIN_SOCKET} mode 600 level admin\n{DEFAULTS}    \
         default-server init-addr none resolvers docker resolve-prefer ipv4 check inter 2s\n\
         resolvers docker\n    nameserver engine 127.0.0.1:{names}\n    accepted_payload_size 8192\n\
         frontend web\n    bind 127.0.0.1:{port}\n"
    );
    for name in services {
        config.push_str(&format!("    use_backend {name} if {{ hdr(host) -i {} }}\n", host(name)));
    }
    for name in services {
        let servers = match places {
            1 => "server task1".to_owned(),
            places => format!("server-template task {places}"),
        };
        config.push_str(&format!("backend {name}\n    {servers} tasks.{name}:{task_port}\n"));
    }
    Rendered { config, map: String::new() }
}
