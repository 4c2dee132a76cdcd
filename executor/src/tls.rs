//! Mutual TLS between the nodes of a cluster.
//!
//! Every node holds one certificate, signed by the cluster's own authority, and uses it both ways: as a
//! server it demands a certificate of that authority from whoever connects, as a client it verifies the
//! server's name or address against the certificate's subject alternative names. There is no other way
//! into a worker.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, server};
use tracing::debug;

/// A peer that has not finished its handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes under way at once; more wait in the kernel's backlog.
const HANDSHAKES_MAX: usize = 256;

/// What identifies a node to its peers: PEM texts of the authority, the node's certificate and its key.
#[derive(Clone)]
pub struct ClusterTls {
    /// Certificate of the authority that signs every node of the cluster.
    pub ca_pem: Vec<u8>,
    /// This node's certificate chain, leaf first; valid for both server and client authentication.
    pub cert_pem: Vec<u8>,
    /// This node's private key.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterTls").finish_non_exhaustive()
    }
}

/// A certificate, key or authority that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text holds no readable certificate or key.
    #[error("cannot read {what}: {source}")]
    Pem {
        /// Which of the three texts.
        what: &'static str,
        /// What the parser says.
        source: rustls::pki_types::pem::Error,
    },
    /// The parts are readable but do not fit together.
    #[error("the cluster certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// The authority cannot verify clients.
    #[error("the cluster authority cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl ClusterTls {
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.ca_pem) {
            roots.add(
                certificate
                    .map_err(|source| TlsError::Pem { what: "the authority's certificate", source })?,
            )?;
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = CertificateDer::pem_slice_iter(&self.cert_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::Pem { what: "the node's certificate", source })?;
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem)
            .map_err(|source| TlsError::Pem { what: "the node's key", source })?;
        Ok((chain, key))
    }

    /// Server side: a peer without a certificate of the cluster's authority fails the handshake.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
                .build()?;
        let (chain, key) = self.identity()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Client side: presents the node's certificate and verifies the server's against the authority.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let (chain, key) = self.identity()?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// An accepted connection whose peer has proved that it belongs to the cluster.
pub(crate) struct ClusterStream(server::TlsStream<TcpStream>);

impl tonic::transport::server::Connected for ClusterStream {
    type ConnectInfo = ();
    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for ClusterStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClusterStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// Accepts connections and yields those that finish a mutual handshake. Handshakes run beside each other,
/// so that a slow or hostile peer holds up nobody. Dropping the stream stops accepting.
///
/// Nagle's algorithm is turned off on each accepted socket here because tonic ignores its own setting for
/// streams that it did not accept itself; with it on, each query waits some 90 ms.
pub(crate) fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = io::Result<ClusterStream>> {
    let (accepted, incoming) = mpsc::channel(HANDSHAKES_MAX);
    let acceptor = TlsAcceptor::from(config);
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut handshakes = JoinSet::new();
        loop {
            while handshakes.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let (socket, peer) = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be closed.
                    debug!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
            handshakes.spawn(async move {
                let _permit = permit;
                if let Err(error) = socket.set_nodelay(true) {
                    debug!(%peer, %error, "cannot set nodelay");
                    return;
                }
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
                    Ok(Ok(stream)) => {
                        let _ = accepted.send(Ok(ClusterStream(stream))).await;
                    }
                    Ok(Err(error)) => debug!(%peer, %error, "handshake refused"),
                    Err(_) => debug!(%peer, "handshake timed out"),
                }
            });
        }
    });
    futures::stream::unfold((incoming, accepting), |(mut incoming, accepting)| async move {
        incoming.recv().await.map(|stream| (stream, (incoming, accepting)))
    })
}
