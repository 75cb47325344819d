//! Where a task listens, by what the kernel says of its network (proc(5), `/proc/net/tcp`): who is refused at one port should be told of
//! the others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Both have the same columns, and the second is not there where there is no IPv6.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Sockets that listen come first; connections may be many more, and memory for them would be the task's.
const LONGEST_TABLE: u64 = 256 << 10;
/// The state of a socket that listens (`TCP_LISTEN` in the kernel's `tcp_states.h`).
const LISTEN: &str = "0A";
/// Docker's own resolver listens there in every container.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// So many ports are told.
const MOST: usize = 5;

/// Addresses at which anything of the task listens; `None` when the kernel does not say.
pub fn everywhere() -> Option<Vec<SocketAddr>> {
    let tables = TABLES.map(|table| {
        let mut text = String::new();
        File::open(table).ok()?.take(LONGEST_TABLE).read_to_string(&mut text).ok()?;
        Some(text)
    });
    tables.iter().any(Option::is_some).then(|| tables.iter().flatten().flat_map(|table| listeners(table)).collect())
}

/// The sockets of a table that listen.
fn listeners(table: &str) -> impl Iterator<Item = SocketAddr> {
    table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, state) = (columns.next()?, columns.nth(1)?);
        if state != LISTEN {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        Some(SocketAddr::new(read(address)?, u16::from_str_radix(port, 16).ok()?))
    })
}

/// An address as the kernel prints it: each four bytes as one number of the machine, so the other way round on ours.
fn read(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip((0..32).step_by(8)) {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Where the task listens instead of where it was asked and refused, in words. The control service reads them
/// (`crates/paas/src/rollout/failure.rs`).
pub fn instead(listeners: &[SocketAddr], asked: SocketAddr) -> String {
    let own: BTreeSet<SocketAddr> = listeners.iter().copied().filter(|one| one.ip() != RESOLVER).collect();
    let is_reached = |one: &SocketAddr| one.ip().is_unspecified() || one.ip() == asked.ip();
    let (here, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        own.into_iter().partition(|one| one.port() == asked.port());
    if let Some(one) = here.first() {
        return match here.iter().any(is_reached) {
            // It has begun to in this moment.
            true => "nothing listened there".to_owned(),
            false => format!("it listens at {} only, where nobody else reaches it", one.ip()),
        };
    }
    let ports: BTreeSet<u16> = others.iter().filter(|one| is_reached(one)).map(SocketAddr::port).collect();
    let ports: Vec<String> = ports.into_iter().take(MOST).map(|port| port.to_string()).collect();
    match (ports.is_empty(), others.first()) {
        (false, _) => format!("nothing listens there; it listens at port {}", ports.join(" and port ")),
        (true, Some(one)) => {
            format!("nothing listens there; it listens at {one} only, where nobody else reaches it")
        }
        (true, None) => "nothing listens there, nor at any other port".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a container in which Docker's resolver, a program at all addresses, one at loopback, and two connections are.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:9C5B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 24891 1 0000000000000000 100 0 0 10 0
   1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 25017 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 25102 1 0000000000000000 100 0 0 10 0
   3: 0703000A:0BB8 0203000A:E1F4 01 00000000:00000000 00:00000000 00000000 65534        0 25340 1 0000000000000000 20 4 30 10 -1
   4: 0703000A:C350 0903000A:1538 06 00000000:00000000 03:00000F2C 00000000     0        0 0 3 0000000000000000
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25200 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25201 1 0000000000000000 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:2382 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25202 1 0000000000000000 100 0 0 10 0
   3: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25203 1 0000000000000000 100 0 0 10 0
";

    fn told(table: &str) -> Vec<String> {
        listeners(table).map(|one| one.to_string()).collect()
    }

    fn said(listeners: &[&str]) -> String {
        let listeners: Vec<SocketAddr> = listeners.iter().map(|one| one.parse().unwrap()).collect();
        instead(&listeners, "10.0.3.7:8000".parse().unwrap())
    }

    #[test]
    fn sockets_that_listen_are_read_from_the_kernels_tables_and_no_others() {
        assert_eq!(told(TCP), ["127.0.0.11:40027", "0.0.0.0:3000", "127.0.0.1:5432"]);
        assert_eq!(told(TCP6), ["[::]:8080", "[::1]:631", "127.0.0.1:9090", "[2001:db8::1]:80"]);
        for table in [
            "",
            "\n",
            "no table\n",
            "   0: 0100007F:1F40 00000000:0000\n",
            "   0: x:1F40 y 0A\n",
            "   0: 0100007F:1F401 y 0A\n",
        ] {
            assert_eq!(told(table), [""; 0], "{table:?}");
        }
        // A table that is cut in the middle of a line.
        for end in 0..TCP.len() {
            assert!(told(&TCP[..end]).iter().all(|one| told(TCP).contains(one)), "{end}");
        }
    }

    #[test]
    fn a_program_at_another_port_is_told_with_the_ports_that_others_reach() {
        let all: Vec<SocketAddr> = listeners(TCP).collect();
        let asked = |port| SocketAddr::new([10, 0, 3, 7].into(), port);
        let elsewhere = "nothing listens there; it listens at port 3000";
        assert_eq!(instead(&all, asked(8000)), elsewhere, "neither the resolver nor what is at loopback");
        assert_eq!(instead(&all, asked(40027)), elsewhere, "the resolver is not the task's own");
        assert_eq!(
            said(&["10.0.3.7:80", "0.0.0.0:3000", "[::]:3000", "[::]:9090"]),
            "nothing listens there; it listens at port 80 and port 3000 and port 9090"
        );
        let many: Vec<String> = (3000..3100).map(|port| format!("0.0.0.0:{port}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(said(&many).ends_with("port 3003 and port 3004"));
    }

    #[test]
    fn a_program_that_only_its_own_task_reaches_is_told_so() {
        let alone = "only, where nobody else reaches it";
        assert_eq!(said(&["127.0.0.1:8000", "0.0.0.0:3000"]), format!("it listens at 127.0.0.1 {alone}"));
        assert_eq!(said(&["[::1]:8000", "127.0.0.1:8000"]), format!("it listens at 127.0.0.1 {alone}"));
        assert_eq!(said(&["[::1]:8000"]), format!("it listens at ::1 {alone}"));
        assert_eq!(said(&["127.0.0.1:3000"]), format!("nothing listens there; it listens at 127.0.0.1:3000 {alone}"));
    }

    #[test]
    fn a_program_that_listens_at_nothing_is_told_from_one_that_has_just_begun_to() {
        assert_eq!(said(&[]), "nothing listens there, nor at any other port");
        assert_eq!(said(&["127.0.0.11:40027"]), "nothing listens there, nor at any other port");
        for here in ["0.0.0.0:8000", "[::]:8000", "10.0.3.7:8000"] {
            assert_eq!(said(&["127.0.0.1:8000", here]), "nothing listened there", "{here}");
        }
    }

    #[test]
    fn the_kernel_says_where_this_very_program_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(everywhere().unwrap().contains(&listener.local_addr().unwrap()));
    }
}
