//! `clipwright health`: asks a server whether it is well.

use super::{CliError, Context};
use crate::app::number::positive;
use crate::app::serve::Health;
use clap::Args;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Most bytes of an answer.
const MAX_ANSWER: u64 = 1 << 16;

/// Ask a server whether it is well; the exit code says it
///
/// This is for whoever looks after `clipwright serve`, such as the runtime of a container that has no other program in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright health
  clipwright health 127.0.0.1:9000 --json | jq .queue")]
pub(crate) struct HealthCommand {
    /// Address and port of the server
    #[arg(value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Seconds that it may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = positive())]
    timeout: usize,
}

impl HealthCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_model("health asks a server, which has its model")?;
        let report = ask(self.address, Duration::from_secs(self.timeout as u64))
            .map_err(|source| CliError::Server { address: self.address, source })?;
        context.output.show(&report)
    }
}

fn ask(address: SocketAddr, patience: Duration) -> io::Result<Health> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.lines().next().unwrap_or_default() {
        "HTTP/1.1 200 OK" => serde_json::from_str(body).map_err(io::Error::from),
        other => Err(io::Error::other(format!("answered {other:?}"))),
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Health { status, version, queue, indexing } = self;
        let indexing = if *indexing { ", indexing" } else { "" };
        write!(f, "{status}, {queue} waiting{indexing}, clipwright {version}")
    }
}
