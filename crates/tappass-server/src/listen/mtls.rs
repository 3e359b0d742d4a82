//! The port on which a client shows an X.509-SVID: a TLS handshake in front of the same HTTP.

use std::net::SocketAddr;

use tappass_identity::PeerSvid;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::Connections;
use crate::config::Limits;

impl Connections {
    /// One connection. Whoever has no SVID of a trust domain that we accept gets no further than the handshake, and so
    /// does everybody while we have none ourselves.
    pub(super) async fn secured(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        limits: Limits,
        place: OwnedSemaphorePermit,
    ) {
        let Some(tls) = self.gateway.app().svids.tls() else {
            tracing::debug!(%peer, "no SVID of our own yet, so no TLS");
            return;
        };
        let handshake = TlsAcceptor::from(tls).accept(socket);
        let socket = tokio::select! {
            done = tokio::time::timeout(limits.header_read(), handshake) => match done {
                Ok(Ok(socket)) => socket,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "no TLS with this client");
                    return;
                }
                Err(_) => return,
            },
            () = self.cut.cancelled() => return,
        };
        // The verifier has read the same certificate; one without an id does not get here.
        let Some(svid) = shown(&socket) else { return };
        self.serve(socket, peer, Some(svid), limits, place).await;
    }
}

fn shown(socket: &TlsStream<TcpStream>) -> Option<PeerSvid> {
    PeerSvid::of(socket.get_ref().1.peer_certificates()?.first()?)
}
