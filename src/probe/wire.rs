//! The stream under an HTTP connection: counts what comes, and decides what goes.
//!
//! Over HTTP/1.1 the bytes of the request are our own (see `request.rs`). hyper, which reads the
//! answer, believes that it sends a request: what it writes is dropped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure::Break;
use super::progress::Meter;

/// A stream that is metered, and on HTTP/1.1 sends our bytes in place of hyper's.
#[derive(Debug)]
pub(super) struct Wire<S> {
    inner: S,
    /// What of our request is still to be sent; `None`: what hyper writes is sent.
    outgoing: Option<Bytes>,
    meter: Meter,
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, outgoing: Option<Bytes>, meter: Meter) -> Self {
        Self {
            inner,
            outgoing,
            meter,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let mut meter = self.meter.lock();
        Poll::Ready(match outcome {
            Ok(()) => {
                match &buf.filled()[before..] {
                    [] => meter.ended = true,
                    bytes => meter.note(bytes),
                }
                if meter.is_over() {
                    Err(io::Error::other("more bytes than are read around a body"))
                } else {
                    Ok(())
                }
            }
            // Many servers end TLS without saying so (close_notify). The framing of HTTP shows whether
            // anything is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                meter.ended = true;
                Ok(())
            }
            Err(error) => {
                let broke = Break::of(&error, meter.asked_for_certificate);
                meter.broke = Some(broke);
                Err(error)
            }
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(outgoing) = &mut this.outgoing else {
            return Pin::new(&mut this.inner).poll_flush(cx);
        };
        while !outgoing.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_write(cx, outgoing)) {
                Ok(n) if n > 0 => outgoing.advance(n),
                // A server may refuse and close before it has read all: what it answered, or how it
                // broke off, is for the reading side to find.
                Ok(_) | Err(_) => outgoing.clear(),
            }
        }
        let _ = ready!(Pin::new(&mut this.inner).poll_flush(cx));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
