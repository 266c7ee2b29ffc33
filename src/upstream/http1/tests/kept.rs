//! Connections that are kept, and what happens to them meanwhile.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::{consume_budget, has_budget_remaining};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// Both ends of a connection in the open.
async fn plain() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    let (near, (far, _)) = (near.unwrap(), far.unwrap());
    (Stream::Plain(near.into()), Stream::Plain(far.into()))
}

/// What happened to a connection that nobody used.
#[derive(Clone, Copy)]
enum Happened {
    Nothing,
    Closed,
    Spoken,
}

#[rstest]
#[case::nothing(Happened::Nothing, true)]
#[case::closed(Happened::Closed, false)]
#[case::spoken(Happened::Spoken, false)]
#[tokio::test]
async fn a_kept_connection_is_used_while_nothing_has_happened(
    #[case] happened: Happened,
    #[case] is_usable: bool,
    #[values(false, true)] is_plain: bool,
    #[values(false, true)] is_used_up: bool,
) {
    let (near, mut server) = if is_plain {
        plain().await
    } else {
        let (near, far) = duplex(1024);
        (Stream::Memory(near), Stream::Memory(far))
    };
    let mut connection = Connection::new(near, MOST);
    match happened {
        Happened::Nothing => {}
        Happened::Closed => server.shutdown().await.unwrap(),
        Happened::Spoken => server.write_all(b"HTTP/1.1 408 R").await.unwrap(),
    }
    // What the system tells of is seen between two turns.
    let seen = async {
        while connection.is_usable() != is_usable {
            yield_now().await;
        }
    };
    let seen = timeout(Duration::from_secs(10), seen).await;
    seen.expect("it is seen");
    // Who has looked at many that were closed has used its turn up.
    while is_used_up && has_budget_remaining() {
        let _ = consume_budget().now_or_never();
    }
    assert_eq!(connection.is_usable(), is_usable);
}
