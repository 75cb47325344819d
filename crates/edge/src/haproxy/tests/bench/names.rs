//! A name server for `tasks.SERVICE` as Docker's, RFC 1035: one question, all addresses.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn answer(socket: &UdpSocket, addresses: &BTreeMap<String, Vec<Ipv4Addr>>, silent: &AtomicBool) {
    let mut packet = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        if silent.load(Ordering::Relaxed) {
            continue;
        }
        let Some((question, name)) = question(&packet[..length]) else { continue };
        let found = name.strip_prefix("tasks.").and_then(|service| addresses.get(service));
        let is_a = question.ends_with(&[0, 1, 0, 1]);
        let list = found.filter(|_| is_a).map_or(&[][..], Vec::as_slice);
        let code = if found.is_some() { 0 } else { 3 };
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(list.len()).unwrap(), 0, 0, 0, 0]);
        answer.extend(question);
        for address in list {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend(address.octets());
        }
        let _late = socket.send_to(&answer, from);
    }
}

fn question(packet: &[u8]) -> Option<(&[u8], String)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).into_owned());
        at += length;
    }
    Some((packet.get(12..at + 4)?, labels.join(".")))
}
