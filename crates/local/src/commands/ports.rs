//! Who listens on a loopback port, for messages.

/// ` by NAME (pid N)`, or nothing when it cannot be found out.
pub fn owner(port: u16) -> String {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        let wanted = format!(":{port:04X}");
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN.
            (fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == "0A")
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    });
    let Some(inode) = inode else { return String::new() };
    let target = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        // Besides processes there are links to ourselves.
        if process.file_name().to_string_lossy().parse::<u32>().is_err() {
            continue;
        }
        let holds =
            std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten().any(|descriptor| {
                std::fs::read_link(descriptor.path()).is_ok_and(|link| link.to_string_lossy() == target)
            });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!(" by {} (pid {})", name.trim(), process.file_name().to_string_lossy());
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_owner_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(super::owner(port).contains(&format!("(pid {})", std::process::id())), "{}", super::owner(port));
        drop(listener);
        assert_eq!(super::owner(port), "");
    }
}
