//! HTTP/1.1 on a socket, no more of it than a provider's clients use.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    RecordedRequest, Shared,
    reply::{Part, Reply},
};

/// What became of a reply.
enum End {
    /// The connection may bring the next request.
    Complete,
    /// The script closed it.
    Closed,
    /// The client left before the end.
    Left,
}

/// Serves one connection until it ends.
pub async fn serve(socket: TcpStream, shared: Arc<Shared>, connection: usize) {
    let _ = socket.set_nodelay(true);
    let (mut reader, mut writer) = socket.into_split();
    let mut buffer = BytesMut::new();
    while let Ok(Some(request)) = read_request(&mut reader, &mut buffer, connection).await {
        let reply = shared.take(&request);
        match send(&reply, &request, &mut reader, &mut writer).await {
            End::Complete => {}
            End::Closed => return,
            End::Left => return shared.left.send_modify(|n| *n += 1),
        }
    }
}

/// The next request; `None` when the client has closed the connection.
async fn read_request(
    reader: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
    connection: usize,
) -> io::Result<Option<RecordedRequest>> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            break String::from_utf8_lossy(&head).into_owned();
        }
        let no_http = buffer.first().is_some_and(|byte| !byte.is_ascii_uppercase());
        if no_http || reader.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = RecordedRequest { method, path, headers, body: Bytes::new(), connection };
    let length: usize = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if reader.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.split_to(length).freeze();
    Ok(Some(request))
}

async fn send(
    reply: &Reply,
    request: &RecordedRequest,
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
) -> End {
    tokio::select! {
        () = gone(reader) => return End::Left,
        () = tokio::time::sleep(reply.delay) => {}
    }
    let (content_type, acts) = reply.acts(request);
    let mut head = format!("HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\n", reply.status);
    if !content_type.is_empty() {
        head.push_str(&format!("content-type: {content_type}\r\n"));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if writer.write_all(head.as_bytes()).await.is_err() {
        return End::Left;
    }
    for act in acts {
        let done = tokio::select! {
            () = gone(reader) => return End::Left,
            done = perform(&act, writer) => done,
        };
        match (done, act) {
            (Err(_), _) => return End::Left,
            (Ok(()), Part::Cut) => return End::Closed,
            (Ok(()), Part::HalfClose) => {
                gone(reader).await;
                return End::Closed;
            }
            (Ok(()), _) => {}
        }
    }
    match writer.write_all(b"0\r\n\r\n").await {
        Ok(()) => End::Complete,
        Err(_) => End::Left,
    }
}

async fn perform(act: &Part, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    match act {
        Part::Data(bytes) => write_chunk(writer, bytes).await,
        Part::Raw(bytes) => writer.write_all(bytes).await,
        Part::Pause(time) => {
            tokio::time::sleep(*time).await;
            Ok(())
        }
        Part::Forever(bytes) => loop {
            write_chunk(writer, bytes).await?;
        },
        Part::Stall => std::future::pending().await,
        Part::Cut => Ok(()),
        Part::HalfClose => writer.shutdown().await,
    }
}

async fn write_chunk(writer: &mut OwnedWriteHalf, bytes: &Bytes) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(()); // an empty chunk would end the body
    }
    writer.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await
}

/// Ends when the client closes its side. What it sends meanwhile is no business of a server in mid-reply.
async fn gone(reader: &mut OwnedReadHalf) {
    let mut scratch = [0; 256];
    while matches!(reader.read(&mut scratch).await, Ok(n) if n > 0) {}
}
