//! The five calls of the Workload API over gRPC.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{
    messages::{Empty, JwtSvidRequest, ValidateRequest},
    workload_api::Given,
};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers one connection after the other.
#[derive(Clone)]
pub struct Service {
    pub given: Arc<Mutex<Given>>,
    pub changes: watch::Receiver<u64>,
    pub stop: CancellationToken,
}

impl Service {
    /// What is given now, and again after each change. Ends with a refusal.
    fn stream<T: Send + 'static>(
        &self,
        give: impl Fn(&Given) -> Result<T, Status> + Copy + Send + 'static,
    ) -> Result<tonic::Response<Answers<T>>, Status> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        let first = give(&self.given.lock())?;
        let (given, stop) = (Arc::clone(&self.given), self.stop.clone());
        let later = stream::unfold(Some(changes), move |changes| {
            let (given, stop) = (Arc::clone(&given), stop.clone());
            async move {
                let mut changes = changes?;
                tokio::select! {
                    changed = changes.changed() => changed.ok()?,
                    () = stop.cancelled() => return Some((Err(Status::unavailable("stopping")), None)),
                }
                let next = give(&given.lock());
                let goes_on = next.is_ok().then_some(changes);
                Some((next, goes_on))
            }
        });
        Ok(tonic::Response::new(stream::iter([Ok(first)]).chain(later).boxed()))
    }
}

/// Expands to the answer of a call that streams what is given.
macro_rules! streamed {
    ($self:ident, $request:ident, $give:expr) => {{
        let stream = service_fn(async |_: tonic::Request<Empty>| $self.stream($give));
        Grpc::new(ProstCodec::default()).server_streaming(stream, $request).await
    }};
}

/// The same of a call with one answer.
macro_rules! single {
    ($self:ident, $request:ident, $message:ty, $give:expr) => {{
        let give = service_fn(async |asked: tonic::Request<$message>| {
            $give(&$self.given.lock(), asked.get_ref()).map(tonic::Response::new)
        });
        Grpc::new(ProstCodec::default()).unary(give, $request).await
    }};
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            // Against requests that a browser or a proxy was talked into (SPIFFE Workload Endpoint, §4).
            if request.headers().get("workload.spiffe.io").is_none_or(|value| value != "true") {
                return Ok(Status::invalid_argument("security header missing from request").into_http());
            }
            Ok(match request.uri().path().strip_prefix("/SpiffeWorkloadAPI/") {
                Some("FetchX509SVID") => streamed!(this, request, Given::x509_svids),
                Some("FetchX509Bundles") => streamed!(this, request, Given::x509_bundles),
                Some("FetchJWTBundles") => streamed!(this, request, Given::jwt_bundles),
                Some("FetchJWTSVID") => single!(this, request, JwtSvidRequest, Given::jwt_svid),
                Some("ValidateJWTSVID") => single!(this, request, ValidateRequest, Given::validate),
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}
