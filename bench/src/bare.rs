//! The limit: a pass-through proxy of about sixty lines, with nothing left out that a proxy needs (kept-alive
//! connections on both sides, TCP_NODELAY, bodies streamed both ways) and nothing put in that it does not.

use std::net::SocketAddr;

use anyhow::Result;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

type Pool = Client<HttpConnector, Incoming>;
type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Passes every call that `listener` takes on to `upstream`, until the process ends.
pub async fn serve(listener: TcpListener, upstream: SocketAddr) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new()).build(connector);
    let authority: Authority = upstream.to_string().parse()?;
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, authority) = (pool.clone(), authority.clone());
        let service = service_fn(move |request| forward(pool.clone(), authority.clone(), request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A connection that breaks is its client's business; the client counts it.
        tasks.spawn(async move { connection.await.ok() });
    }
}

async fn forward(pool: Pool, upstream: Authority, mut request: Request<Incoming>) -> Result<Answer> {
    let path = request.uri().path_and_query().cloned();
    let mut target = http::uri::Parts::default();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(upstream);
    target.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(target)?;
    request.headers_mut().remove(header::HOST);
    match pool.request(request).await {
        Ok(answer) => Ok(answer.map(BodyExt::boxed_unsync)),
        Err(_) => {
            let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(StatusCode::BAD_GATEWAY).body(nothing)?)
        }
    }
}
