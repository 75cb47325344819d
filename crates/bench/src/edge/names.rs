//! A name server that knows the tasks of any service, as Docker's knows those of its own: RFC 1035, one question, all addresses.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

/// Bytes before the question.
const HEADER: usize = 12;

/// Starts it in this runtime, and returns its port. Every service has tasks at these addresses.
pub(super) async fn start(addresses: Vec<Ipv4Addr>) -> anyhow::Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let port = socket.local_addr()?.port();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            if let Some(answer) = answer(&packet[..length], &addresses) {
                // Whoever has not heard asks again.
                let _lost = socket.send_to(&answer, from).await;
            }
        }
    });
    Ok(port)
}

fn answer(packet: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    // A name ends with a zero, and has none before; a type and a class follow.
    let end = HEADER + packet.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 5;
    let question = packet.get(HEADER..end)?;
    // Of type A, class IN.
    let known = if question.ends_with(&[0, 1, 0, 1]) { addresses } else { &[] };
    let mut answer = packet[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(known.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(question);
    for address in known {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
