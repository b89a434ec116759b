//! The content of a file as the body of an answer, read piece by piece while it is sent.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Number of bytes that are read at a time.
const PIECE: usize = 1 << 16;

/// The bytes of a file that are still to be sent.
pub(super) struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    /// Makes a body of the first `len` bytes of a file. A thread is busy with it only while it reads, so that a client
    /// that takes its time holds none.
    pub fn new(mut file: File, len: u64) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let read = spawn_blocking(move || {
                    let mut piece = vec![0; PIECE];
                    let outcome = file.read(&mut piece);
                    (file, outcome.map(|n| Bytes::from(piece).slice(..n)))
                });
                let Ok((back, piece)) = read.await else { return };
                file = back;
                let is_last = piece.as_ref().is_ok_and(Bytes::is_empty) || piece.is_err();
                if sender.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        FileBody { pieces, left: len }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) if !piece.is_empty() => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            _ => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        // A file that has grown meanwhile is as long as was promised.
        let piece = piece.slice(..piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
