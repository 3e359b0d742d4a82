//! Between a caller's dialect and a provider that does not speak it.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    dialects::{self, FromChat},
};

/// Makes a call in the caller's dialect: as it is where the provider speaks it, else by way of the chat dialect.
///
/// # Errors
/// [`ProviderError`]; [`ProviderError::Unsupported`] names what the chat dialect cannot do, before a byte leaves.
pub async fn send(provider: &dyn Provider, mut call: ProviderCall) -> Result<ProviderReply, ProviderError> {
    let dialect = call.dialect;
    if provider.speaks(dialect) {
        let Some(owner) = call.owner.take() else { return provider.send(call).await };
        owner.take(provider.id(), dialect, &mut call.body)?;
        return Ok(owner.give(provider.id(), dialect, provider.send(call).await?));
    }
    let unsupported = |feature| ProviderError::Unsupported { provider: provider.id().to_owned(), feature };
    let (chat, back) = dialects::of(call.dialect).to_chat(call).map_err(unsupported)?;
    Ok(match provider.send(chat).await? {
        ProviderReply::Whole(answer) => ProviderReply::Whole(back.whole(&answer)),
        ProviderReply::Stream(chunks) => ProviderReply::Stream(events(chunks, back)),
    })
}

/// The events of a stream of chunks.
fn events(chunks: EventStream, back: Box<dyn FromChat>) -> EventStream {
    let state = (Some(chunks), back, VecDeque::new());
    Box::pin(stream::try_unfold(state, |(mut chunks, mut back, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                return Ok(Some((event, (chunks, back, ready))));
            }
            let Some(open) = &mut chunks else { return Ok(None) };
            match open.next().await {
                Some(chunk) => ready.extend(back.chunk(&chunk?)),
                None => {
                    chunks = None;
                    ready.extend(back.end());
                }
            }
        }
    }))
}
