//! The socket under hyper: remembers the bytes of a request's head, breaks off on demand, and sends
//! bodies that end too early.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that ends with a reset once it was told to.
#[derive(Debug)]
pub(super) struct Breakable {
    stream: TcpStream,
    broken: Arc<AtomicBool>,
}

impl Breakable {
    /// The flag that breaks it.
    pub(super) fn new(stream: TcpStream) -> (Self, Arc<AtomicBool>) {
        let broken = Arc::new(AtomicBool::new(false));
        let breakable = Self {
            stream,
            broken: Arc::clone(&broken),
        };
        (breakable, broken)
    }

    /// The first bytes, which stay to be read.
    pub(super) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.peek(bytes).await
    }

    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl Drop for Breakable {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Relaxed) {
            // Without lingering, closing sends a reset. Nothing is lost when that fails but the reset.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A polite end would come before the reset.
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Bytes of the request that is being read, as they came.
pub(super) type Heard = Arc<Mutex<Vec<u8>>>;

/// Most bytes remembered of one request.
const HEARD_MAX: usize = 64 * 1024;

/// A stream that remembers what is read from it.
#[derive(Debug)]
pub(super) struct Tap<S> {
    stream: S,
    heard: Heard,
}

impl<S> Tap<S> {
    pub(super) fn new(stream: S) -> (Self, Heard) {
        let heard = Heard::default();
        let tap = Self {
            stream,
            heard: Arc::clone(&heard),
        };
        (tap, heard)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let fresh = &buffer.filled()[before..];
        if !fresh.is_empty() {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HEARD_MAX.saturating_sub(heard.len());
            heard.extend_from_slice(&fresh[..fresh.len().min(room)]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The header lines of a request's head, with the case they came in; `None` when the head is not there.
pub(super) fn header_lines(heard: &[u8]) -> Option<Vec<(String, String)>> {
    let end = heard.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&heard[..end]);
    let mut lines = head.split("\r\n");
    if !lines.next()?.contains(" HTTP/1.") {
        return None;
    }
    lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// The body of an answer, and how it ends.
#[derive(Debug)]
pub(super) struct Sent {
    data: Option<Bytes>,
    end: End,
    /// The data was given out, and hyper had the time to write it.
    written: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The connection closes although more was announced.
    Cut,
    /// Nothing more comes.
    Stall,
}

impl Sent {
    pub(super) fn new(data: Bytes, end: End) -> Self {
        Self {
            data: Some(data),
            end,
            written: false,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.data.take(), self.end) {
            (Some(data), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (None, End::Whole) => Poll::Ready(None),
            // An error at once would make hyper drop what it has not written yet.
            (None, End::Cut) if !self.written => {
                self.written = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            (None, End::Cut) => {
                let error = io::Error::from(io::ErrorKind::ConnectionAborted);
                Poll::Ready(Some(Err(error)))
            }
            (None, End::Stall) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (self.end, &self.data) {
            (End::Whole, data) => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            // hyper would hold the announced length against it.
            _ => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Whole && self.data.as_ref().is_none_or(Bytes::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_keep_case_and_order() {
        let heard = b"GET / HTTP/1.1\r\nB: 1\r\na:  2 \r\nB: \xff\r\n\r\nbody";
        let lines = header_lines(heard).unwrap();
        let expected = [("B", "1"), ("a", "2"), ("B", "\u{fffd}")];
        assert_eq!(lines, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(header_lines(b"GET / HTTP/1.1\r\nB: 1\r\n"), None);
        assert_eq!(header_lines(b"rest\r\n\r\nGET / HTTP/1.1\r\n\r\n"), None);
    }
}
