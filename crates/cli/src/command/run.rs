//! Running a program in a task of its own, as if it ran here: its input, its output, its terminal, its signals, its exit code.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicI32, Ordering};

use futuswarm_rpc::message::{Event, Notice, Request};
use futuswarm_rpc::{Channel, Frame, LONGEST_CHUNK};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};

use super::{Context, app_name, content, show};
use crate::arguments::{App, Run};
use crate::connection::{Incoming, Sender};
use crate::failure::{Code, Failure, Result};
use crate::output::Progress;
use crate::terminal::{self, Raw};

/// The signal that ended us, once one has; 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// `app:run`.
pub fn run(context: &Context, options: &Run) -> Result<u8> {
    let argv = match &options.action {
        Some(text) => vec!["sh".to_owned(), "-c".to_owned(), text.clone()],
        None => options.argv.clone(),
    };
    if argv.is_empty() {
        return Err(Failure::usage("which program? `futuswarm run -a APP -- PROGRAM ARGUMENTS`"));
    }
    program(context, app_name::app(&options.app)?, argv, terminal::is_here() && !options.no_terminal)
}

/// `app:shell`: without a terminal it reads commands from standard input, as a shell does.
pub fn shell(context: &Context, app: &App) -> Result<u8> {
    program(context, app_name::app(app)?, vec!["sh".to_owned()], terminal::is_here())
}

/// `db:psql`: without a terminal it reads SQL from standard input, and ends at the first error.
pub fn psql(context: &Context, app: &App, no_terminal: bool) -> Result<u8> {
    let with_terminal = terminal::is_here() && !no_terminal;
    let (app, terminal) = (app_name::app(app)?, with_terminal.then(terminal::describe));
    execute(context, &Request::OpenDatabase { app, terminal }, with_terminal)
}

fn program(context: &Context, app: String, argv: Vec<String>, with_terminal: bool) -> Result<u8> {
    let request = Request::Run { app, argv, terminal: with_terminal.then(terminal::describe) };
    execute(context, &request, with_terminal)
}

/// Asks for a program, and is its input, its output and its terminal.
fn execute(context: &Context, request: &Request, with_terminal: bool) -> Result<u8> {
    // What `ssh` may ask comes before the terminal is the program's.
    let connection = context.connect()?;
    signals(connection.sender(), with_terminal);
    let mut raw = None;
    let mut progress = Progress::new(context.quiet);
    let answer = connection.ask(request, None, |incoming, sender| match incoming {
        Incoming::Event(event) => {
            match *event {
                Event::Ready { .. } => {
                    progress.clear();
                    if with_terminal && raw.is_none() {
                        raw = Some(Raw::begin()?);
                    }
                    let sender = sender.clone();
                    std::thread::spawn(move || input(&sender));
                }
                event if raw.is_none() => show(&event, &mut progress),
                // The terminal is the program's: nothing is written between its own output.
                _ => {}
            }
            Ok(())
        }
        Incoming::Chunk(Channel::Error, bytes) => {
            progress.clear();
            // Nobody reads its errors: that stops no program.
            let _unread = std::io::stderr().lock().write_all(&bytes);
            Ok(())
        }
        Incoming::Chunk(_, bytes) => {
            progress.clear();
            let mut out = std::io::stdout().lock();
            match out.write_all(&bytes).and_then(|()| out.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    terminal::restore();
                    std::process::exit(futuswarm_output::READER_GONE);
                }
                written => {
                    written.map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
                }
            }
        }
        Incoming::End => Ok(()),
    });
    drop(raw);
    let signal = SIGNAL.load(Ordering::Relaxed);
    match answer {
        Ok(answer) => {
            let code = content!(answer, Exited);
            // A container's exit code is one byte; anything else is a program that never began.
            Ok(u8::try_from(code).unwrap_or(Code::Failed.number()))
        }
        // The same key that ended the program has ended `ssh`.
        Err(failure) if failure.cut && signal != 0 => Ok(u8::try_from(128 + signal).unwrap_or(1)),
        Err(failure) => Err(context.with_suggestion(request, failure)),
    }
}

/// Sends standard input until it ends.
fn input(sender: &Sender) {
    let mut buffer = vec![0; LONGEST_CHUNK.min(32 << 10)];
    let mut stdin = std::io::stdin().lock();
    loop {
        match stdin.read(&mut buffer) {
            Ok(length) if length > 0 => {
                if sender.frame(&Frame::Chunk(Channel::Input, buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // When nobody takes the end, the connection's own end is what counts.
            Ok(_) | Err(_) => {
                let _nobody = sender.frame(&Frame::End(Channel::Input));
                return;
            }
        }
    }
}

/// Passes signals and the terminal's size on.
fn signals(sender: Sender, with_terminal: bool) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGWINCH, SIGINT, SIGQUIT, SIGTERM, SIGHUP]) else {
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let notice = match signal {
                SIGWINCH => {
                    terminal::size().filter(|_| with_terminal).map(|(rows, columns)| Notice::Resize { rows, columns })
                }
                SIGINT => Some(Notice::Signal { name: "INT".to_owned() }),
                SIGQUIT => Some(Notice::Signal { name: "QUIT".to_owned() }),
                SIGTERM => Some(Notice::Signal { name: "TERM".to_owned() }),
                _ => Some(Notice::Signal { name: "HUP".to_owned() }),
            };
            let Some(notice) = notice else { continue };
            let sent = sender.message(&notice);
            if signal == SIGWINCH {
                continue;
            }
            // Whoever asks twice, or hangs up, does not wait for the program.
            let again = SIGNAL.swap(signal, Ordering::Relaxed) != 0;
            if again || sent.is_err() || signal == SIGHUP {
                terminal::restore();
                std::process::exit(128 + signal);
            }
        }
    });
}
