//! QEMU's control protocol: one command at a time.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

/// QEMU answers at once unless it hangs.
const DEADLINE: Duration = Duration::from_secs(5);

/// Presses a machine's power button.
///
/// # Errors
/// When QEMU cannot be reached, refuses, or does not answer within five seconds.
pub async fn press_power_button(socket: &Path) -> std::io::Result<()> {
    tokio::time::timeout(DEADLINE, execute(socket, "system_powerdown"))
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))
}

async fn execute(socket: &Path, command: &str) -> std::io::Result<()> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(reader).lines();
    for command in ["qmp_capabilities", command] {
        writer.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await?;
        // A greeting comes before the first answer, and events at any time.
        loop {
            let line = lines.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            let answer: serde_json::Value = serde_json::from_str(&line)?;
            if let Some(error) = answer.get("error") {
                return Err(std::io::Error::other(format!("{command}: {error}")));
            }
            if answer.get("return").is_some() {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that greets, and answers each command with these lines; returns the commands that it got.
    async fn pressed(answers: [&str; 2]) -> (std::io::Result<()>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = tokio::io::BufReader::new(reader).lines();
            let mut got = Vec::new();
            writer.write_all(b"{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n").await.unwrap();
            for answer in answers {
                let Ok(Some(line)) = lines.next_line().await else { break };
                got.push(line);
                writer.write_all(answer.as_bytes()).await.unwrap();
            }
            got
        };
        tokio::join!(press_power_button(&socket), server)
    }

    #[tokio::test]
    async fn events_between_the_answers_are_no_answers() {
        let event = "{\"event\":\"POWERDOWN\",\"timestamp\":{}}\n{\"return\":{}}\n";
        let (outcome, got) = pressed(["{\"return\":{}}\n", event]).await;
        outcome.unwrap();
        assert_eq!(got, ["{\"execute\":\"qmp_capabilities\"}", "{\"execute\":\"system_powerdown\"}"]);
    }

    #[tokio::test]
    async fn a_refusal_and_an_end_are_errors() {
        let refused = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n";
        let (outcome, got) = pressed(["{\"return\":{}}\n", refused]).await;
        assert!(outcome.unwrap_err().to_string().contains("GenericError"));
        assert_eq!(got.len(), 2);
        let (outcome, _) = pressed(["{\"return\":{}}\n", ""]).await;
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        let nowhere = press_power_button(Path::new("/nonexistent/qmp.sock")).await;
        assert_eq!(nowhere.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
