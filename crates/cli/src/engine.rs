//! The Docker Engine on this machine: one question over its Unix socket, in HTTP/1.1.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Code, Failure, Result};

#[cfg(test)]
mod tests;

/// How long it may do nothing: it packs a layer before it sends the first byte.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest line of a header, in bytes.
const LONGEST_LINE: u64 = 16 << 10;
/// What an error may be long, in bytes.
const LONGEST_ERROR: u64 = 64 << 10;

/// Writes an image as `docker save` does.
pub fn save(image: &str, to: &mut impl Write) -> Result<()> {
    let set = std::env::var("DOCKER_HOST").ok();
    let path = socket(set.as_deref(), &places())?;
    let stream = UnixStream::connect(&path).map_err(|error| {
        Failure::failed(format!(
            "cannot reach the Docker Engine at {}: {error}; is it running, and may you use it? An archive does as well: `futuswarm image:push APP --archive FILE`",
            path.display()
        ))
    })?;
    let set = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    set.map_err(|error| Failure::failed(format!("the Docker Engine: {error}")))?;
    get(image, stream, to)
}

fn places() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let rootless = runtime.map(|folder| folder.join("docker.sock"));
    let desktop = home.map(|folder| folder.join(".docker/run/docker.sock"));
    [Some(PathBuf::from("/var/run/docker.sock")), rootless, desktop].into_iter().flatten().collect()
}

/// Where it listens.
fn socket(set: Option<&str>, places: &[PathBuf]) -> Result<PathBuf> {
    match set.filter(|set| !set.is_empty()) {
        Some(set) => set.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| {
            Failure::usage(format!(
                "DOCKER_HOST is {set:?}, and only unix:// is spoken here: `docker save IMAGE | futuswarm image:push APP -` works with every engine"
            ))
        }),
        None => Ok(places.iter().find(|place| place.exists()).or(places.first()).cloned().unwrap_or_default()),
    }
}

/// A name in a path of the API: what is none of its characters is escaped.
fn escaped(image: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"/:@.-_".contains(&byte);
    image.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn get(image: &str, mut stream: impl Read + Write, to: &mut impl Write) -> Result<()> {
    let failure = |error: std::io::Error| Failure::failed(format!("the Docker Engine, asked for {image}: {error}"));
    let request = format!(
        "GET /images/{}/get HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nAccept: */*\r\n\r\n",
        escaped(image)
    );
    stream.write_all(request.as_bytes()).map_err(failure)?;
    let mut reader = BufReader::new(stream);
    let status = line(&mut reader).map_err(failure)?;
    let status: u16 = status.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (mut chunked, mut length) = (false, None);
    // More headers than this has nobody.
    for _ in 0..100 {
        let header = line(&mut reader).map_err(failure)?;
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            "content-length" => length = value.trim().parse::<u64>().ok(),
            _ => {}
        }
    }
    if status != 200 {
        let mut body = Vec::new();
        let _cut = copy(&mut (&mut reader).take(LONGEST_ERROR), &mut body, chunked, None);
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = said["message"].as_str().map_or_else(|| format!("status {status}"), crate::output::plain);
        return Err(match status {
            404 => Failure::new(
                Code::NotFound,
                format!(
                    "the Docker Engine on this machine: {said}; `docker images` lists what it has, and `--archive FILE` takes a file"
                ),
            ),
            _ => Failure::failed(format!("the Docker Engine, asked for {image}: {said}")),
        });
    }
    copy(&mut reader, to, chunked, length).map_err(failure)
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut within a line"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

/// Copies a body; one that ends too early is an error.
fn copy(reader: &mut impl BufRead, to: &mut impl Write, chunked: bool, length: Option<u64>) -> std::io::Result<()> {
    let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut");
    if !chunked {
        let copied = match length {
            Some(length) => std::io::copy(&mut reader.take(length), to)?,
            None => std::io::copy(reader, to)?,
        };
        return if length.is_some_and(|length| copied < length) { Err(cut()) } else { Ok(()) };
    }
    loop {
        let size = line(reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer has a piece without a length")
        })?;
        if size == 0 {
            return Ok(());
        }
        if std::io::copy(&mut reader.by_ref().take(size), to)? < size || !line(reader)?.is_empty() {
            return Err(cut());
        }
    }
}
