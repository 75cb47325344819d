//! The program `futuswarm`, for developers of apps.

fn main() -> std::process::ExitCode {
    futuswarm_cli::run(std::env::args_os()).into()
}
