//! `tappass hooks run`: what an agent's hook starts, on every tool call. Whatever goes wrong, it says no.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tappass_model::json::parse_strict;
use tappass_server::hooks::{self, CodingAgent, Event, Ruling};

use super::{access, agents, ask};
use crate::{args::Target, client::Client, error::Exit, output::Out, safe};

/// More than this no request may have.
const LONGEST: u64 = 5 * 1024 * 1024;

/// What the hooks run: an event on stdin, the agent's answer on stdout
#[derive(Debug, Args)]
pub struct Run {
    /// The coding agent that starts it
    #[arg(value_parser = agents())]
    agent: CodingAgent,
    /// Let through what cannot be asked about
    #[arg(long)]
    fail_open: bool,
    /// Seconds until a gateway that does not answer is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Run {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> Exit {
        let read = read();
        let event = read.as_ref().ok().and_then(|bytes| parse_strict(bytes).ok());
        let event = event.map(|body| hooks::read(Some(self.agent), &body));
        let asked = match (read, &event) {
            (Err(error), _) => Err(error),
            (_, None) => Err("the event is no JSON".to_owned()),
            (_, Some(Err(error))) => Err(format!("the event is not understood: {error}")),
            (Ok(bytes), Some(Ok(_))) => self.decided(target, bytes).await,
        };
        let event = event.and_then(Result::ok);
        match asked {
            Ok(answer) => self.say(event.as_ref(), &answer, out),
            Err(error) if self.fail_open => {
                out.note(&safe::text(&format!("TapPass was not asked: {error} (--fail-open)")));
                let yes = event.map_or_else(|| json!({}), |e| hooks::answer(&e, &Ruling::Allow(None)));
                self.say(None, &yes, out)
            }
            Err(error) => self.refuse(event.as_ref(), &error, out),
        }
    }

    async fn decided(&self, target: &Target, event: Vec<u8>) -> Result<Value, String> {
        let client = access(target).and_then(Client::new).map_err(|e| format!("{e:#}"))?;
        if client.settings().token.is_none() {
            return Err(
                "there is no agent's key: `tappass hooks install` keeps one, or set TAPPASS_API_KEY".into()
            );
        }
        let answer =
            tokio::time::timeout(Duration::from_secs(self.timeout), ask(&client, self.agent, event)).await;
        match answer {
            Err(_) => Err(format!("{} did not answer within {} s", client.settings().url, self.timeout)),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(answer)) if answer.is_object() => Ok(answer),
            Ok(Ok(_)) => Err(format!("{} does not answer as TapPass does", client.settings().url)),
        }
    }

    /// It could not be asked about. What only is told is not held up; what cannot be read may be anything.
    fn refuse(&self, event: Option<&Event>, error: &str, out: &mut Out) -> Exit {
        let why = format!("TapPass could not be asked, so this is refused: {error}");
        match event {
            Some(event) if event.refusable() => {
                self.say(Some(event), &hooks::answer(event, &Ruling::Deny(why)), out)
            }
            Some(_) => {
                out.note(&safe::text(&format!("TapPass could not be told: {error}")));
                self.say(None, &json!({}), out)
            }
            None => {
                let _ = out.ndjson(&json!({"permission": "deny", "continue": false, "user_message": why}));
                out.note(&safe::text(&why));
                // What agents read as a no.
                Exit::Usage
            }
        }
    }

    /// Prints the answer. To most agents exit code 2, with the reason on stderr, is a no that every version knows;
    /// Cursor reads its reasons from what is printed, and only with exit code 0.
    fn say(&self, event: Option<&Event>, answer: &Value, out: &mut Out) -> Exit {
        let printed = out.ndjson(answer);
        let no = event.filter(|event| event.asks()).and_then(|_| hooks::denial(answer));
        match no {
            Some(why) if self.agent != CodingAgent::Cursor || printed.is_err() => {
                out.note(&safe::text(why));
                Exit::Usage
            }
            _ if printed.is_err() => Exit::Usage,
            _ => Exit::Done,
        }
    }
}

fn read() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("the event cannot be read: {e}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > LONGEST) {
        return Err(format!("the event is larger than {LONGEST} bytes"));
    }
    Ok(bytes)
}
