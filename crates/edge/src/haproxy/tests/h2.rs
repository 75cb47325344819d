//! Requests over HTTP/2, whose bytes HAProxy looks at in other ways.

/// What somebody sends who knows that HTTP/2 is spoken (RFC 9113): the preface, settings, and a request without any compression
/// (RFC 7541). Host and path are shorter than 100 bytes together.
pub(super) fn get(host: &[u8], path: &[u8]) -> Vec<u8> {
    let headers: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host), (b":path", path)];
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text);
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // The end of the headers and of the request, in the first stream.
    bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes
}
