//! HTTP/1 as it is spoken with callers: one request at a time, in the task of its connection.
//!
//! What is read goes through the [`Guard`] first, so that a message has one reading, and here it is taken down as it was
//! judged. Nothing runs beside the call: while its answer is waited for, the same task hands the body on as it is wished, and
//! notices when the caller goes.
//!
//! [`Guard`]: super::guard::Guard

mod answer;
mod connection;
mod head;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::call::{Answered, answer, refuse};
use super::guard::Guard;
use super::guarded::GuardedIo;
use super::io::CallerIo;
use super::worker::Room;
use crate::clock::turn;
use crate::proxy::{ConnectionLoad, Peer};
use crate::upstream::CallerBody;
use connection::{Begins, Connection, Gone};
use head::Terms;

/// Serves a connection until it ends; what is left of it if it turns out to be one of HTTP/2.
pub(super) async fn serve<S>(
    room: &Rc<Room>,
    io: CallerIo<S>,
    guard: Guard,
    peer: Peer,
    load: &ConnectionLoad,
) -> Option<GuardedIo<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_requests(room, Connection::new(io, guard), peer, load)
        .await
        .ok()
        .flatten()
}

async fn serve_requests<S>(
    room: &Rc<Room>,
    mut connection: Connection<S>,
    peer: Peer,
    load: &ConnectionLoad,
) -> Result<Option<GuardedIo<S>>, Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let second = || room.shared.clock.machine_second_at_turn();
    // Wakes this task once; whether it has, the room says for less.
    let mut leaving = pin!(room.leaving.cancelled());
    poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx).is_ready())).await;
    // Whoever came before we leave has one request served.
    let mut is_first = true;
    loop {
        let next = poll_fn(|cx| connection.poll_next(!is_first && room.is_leaving.get(), cx));
        let head = match next.await? {
            Begins::Request(head) => head,
            Begins::Refused(error) => {
                let refusal = refuse(room, error, load);
                refusal.unwritten.write_lines(connection.joins());
                let answered = connection.answer(refusal.response, Terms::REFUSED, second);
                answered.await?;
                break;
            }
            Begins::Http2 => return Ok(Some(connection.into_http2())),
            Begins::Nothing => break,
        };
        is_first = false;
        let mut terms = head.terms;
        let body = connection.body(head.length, terms);
        let body = CallerBody::Http1(body);
        let answering = pin!(answer(room, head.request, body, peer, load));
        let answered = connection.wait_for(answering).await?;
        let Answered {
            response,
            unwritten,
            tunnel,
        } = answered;
        unwritten.write_lines(connection.joins());
        terms.keeps_alive &= !room.is_leaving.get();
        let keeps_alive = connection.answer(response, terms, second);
        let keeps_alive = keeps_alive.await?;
        // The next request may have come already, and is a later one.
        turn::renew();
        if let Some(tunnel) = tunnel {
            if let Some(io) = connection.into_rewound() {
                // Seldom, and large.
                Box::pin(tunnel.run(io)).await;
            }
            return Ok(None);
        }
        if !keeps_alive || !connection.is_read().await {
            break;
        }
        connection.rest();
    }
    connection.close().await;
    Ok(None)
}

#[cfg(test)]
mod tests;
