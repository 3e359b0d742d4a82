//! Drives the gateway through the week: real requests to its own router, one after the other, in the order of their time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tappass_server::Gateway;

use super::{
    scenario::{Agent, Moment, Random, Turn, Week, fill, span},
    stand_in::{Answer, Answers},
    time::WeekClock,
};

/// How long a week is.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// How much of a week's everyday work the week before had, in percent.
const BEFORE: u64 = 85;

/// What a person needs to look around.
#[derive(Debug)]
pub struct Built {
    /// The key of one of the agents that are observed.
    pub agent: String,
    /// Its name's key.
    pub key: String,
    /// How many calls were made.
    pub calls: usize,
}

/// Who drives.
pub struct Driver {
    gateway: Gateway,
    answers: Answers,
    clock: Arc<WeekClock>,
    week: Week,
    password: String,
    random: Random,
    session: String,
    keys: BTreeMap<String, String>,
    conversations: u64,
}

/// A conversation under way.
struct Talk {
    agent: Agent,
    turns: Vec<Turn>,
    tools: BTreeMap<String, String>,
    drawn: BTreeMap<String, String>,
    model: String,
    session: String,
    stream: bool,
    messages: Vec<Value>,
    decide: Option<(String, String)>,
}

/// One call of it, at its time.
struct Due {
    at: Timestamp,
    talk: usize,
    turn: usize,
}

impl Driver {
    /// For a gateway whose providers answer what `answers` expects.
    #[must_use]
    pub fn new(
        gateway: Gateway,
        answers: Answers,
        clock: Arc<WeekClock>,
        week: Week,
        password: String,
    ) -> Self {
        let random = Random(0x7a55);
        let (session, keys) = (String::new(), BTreeMap::new());
        Self { gateway, answers, clock, week, password, random, session, keys, conversations: 0 }
    }

    /// Builds the week that ends at `end`, and the everyday of the one before, to compare it with; then the clock goes by
    /// itself.
    ///
    /// # Errors
    /// What the gateway did not take.
    pub async fn build(&mut self, end: Timestamp) -> anyhow::Result<Built> {
        self.set_up().await?;
        let begin = end.checked_sub(WEEK)?;
        let (mut talks, mut due) = (Vec::new(), Vec::new());
        self.every_day(begin.checked_sub(WEEK)?, BEFORE, &mut talks, &mut due)?;
        self.every_day(begin, 100, &mut talks, &mut due)?;
        self.moments(end, &mut talks, &mut due)?;
        due.sort_by_key(|due| due.at);
        for Due { at, talk, turn } in &due {
            self.clock.set(*at);
            let talk = &mut talks[*talk];
            let (status, answer) = self.turn(talk, *turn, Duration::ZERO).await?;
            if talk.decide.is_some() && status == StatusCode::FORBIDDEN {
                self.decide(talk, *turn, &answer, *at).await?;
            }
        }
        self.clock.set(end);
        self.clock.go();
        let tried =
            self.week.agents.iter().find(|agent| agent.mode == "observe").context("one is observed")?;
        let (agent, key) = (tried.id.clone(), self.keys[&tried.id].clone());
        Ok(Built { agent, key, calls: due.len() })
    }

    /// One more everyday conversation, now, at the pace of people: for the live feed.
    ///
    /// # Errors
    /// What the gateway did not take.
    pub async fn one_more(&mut self) -> anyhow::Result<()> {
        let mut agents = Vec::new();
        for agent in &self.week.agents {
            agents.extend(std::iter::repeat_n(agent, agent.a_day as usize));
        }
        let agent = self.random.of(&agents).copied().context("there are agents")?.clone();
        let turns = self.random.of(&agent.talks).context("it talks")?.clone();
        let mut talk = self.begin(agent, turns, BTreeMap::new());
        for turn in 0..talk.turns.len() {
            if turn > 0 {
                tokio::time::sleep(Duration::from_secs(2 + self.random.below(4))).await;
            }
            let takes = Duration::from_millis(180 + self.random.below(900));
            self.turn(&mut talk, turn, takes).await?;
        }
        Ok(())
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let body =
            json!({"email": self.week.person, "password": self.password, "org_name": self.week.organisation});
        let made = self.done(Method::POST, "/auth/signup", body).await?;
        self.session = text(&made["session"]["token"])?;
        let keep = json!({"keep_days": self.week.keep_days});
        self.done(Method::PUT, "/settings/payloads", keep).await?;
        for (name, yaml) in self.week.pipelines.clone() {
            self.done(Method::PUT, &format!("/pipelines/{name}"), Value::String(yaml)).await?;
        }
        for agent in self.week.agents.clone() {
            let new = json!({"agent_id": agent.id, "name": agent.name, "description": agent.description,
                "framework": agent.framework, "owner_email": agent.owner, "preset": agent.pipeline,
                "mode": agent.mode, "floor": agent.mode});
            let made = self.done(Method::POST, "/agents/register", new).await?;
            self.keys.insert(agent.id.clone(), text(&made["api_key"])?);
        }
        Ok(())
    }

    /// What agents do on working days; at weekends a tenth of it.
    fn every_day(
        &mut self,
        begin: Timestamp,
        percent: u64,
        talks: &mut Vec<Talk>,
        due: &mut Vec<Due>,
    ) -> anyhow::Result<()> {
        let end = begin.checked_add(WEEK)?;
        for hour in 0..7 * 24 {
            let at = begin.checked_add(Duration::from_secs(hour * 3_600))?;
            let local = at.to_zoned(jiff::tz::TimeZone::UTC);
            let rest =
                matches!(local.weekday(), jiff::civil::Weekday::Saturday | jiff::civil::Weekday::Sunday);
            // Of a day's work, in thousandths.
            let share = match local.hour() {
                8..=11 | 13..=16 => 105,
                12 | 17 => 55,
                7 | 18..=20 => 12,
                _ => 2,
            } / if rest { 10 } else { 1 };
            let there = |agent: &&Agent| percent == 100 || !agent.new;
            for agent in self.week.agents.iter().filter(there).cloned().collect::<Vec<_>>() {
                let wanted = u64::from(agent.a_day) * share * percent / 100;
                let many = wanted / 1_000 + u64::from(self.random.below(1_000) < wanted % 1_000);
                for _ in 0..many {
                    let turns = self.random.of(&agent.talks).cloned().unwrap_or_default();
                    let start = at.checked_add(Duration::from_secs(self.random.below(3_600)))?;
                    let talk = self.begin(agent.clone(), turns, BTreeMap::new());
                    self.plan(talk, start, end, talks, due)?;
                }
            }
        }
        Ok(())
    }

    fn moments(&mut self, end: Timestamp, talks: &mut Vec<Talk>, due: &mut Vec<Due>) -> anyhow::Result<()> {
        for moment in self.week.moments.clone() {
            let Moment { ago, agent, turns, tools, decide, reason, .. } = moment;
            let start = end.checked_sub(span(&ago)?)?;
            let agent = self.week.agents.iter().find(|a| a.id == agent).context("a known agent")?.clone();
            let mut talk = self.begin(agent, turns, tools);
            talk.stream = false;
            talk.decide = decide.map(|decision| (decision, reason.unwrap_or_default()));
            self.plan(talk, start, end, talks, due)?;
        }
        Ok(())
    }

    /// Its calls, each some seconds after the one before.
    fn plan(
        &mut self,
        talk: Talk,
        start: Timestamp,
        end: Timestamp,
        talks: &mut Vec<Talk>,
        due: &mut Vec<Due>,
    ) -> anyhow::Result<()> {
        let mut at = start;
        for turn in 0..talk.turns.len() {
            if at < end {
                due.push(Due { at, talk: talks.len(), turn });
            }
            at = at.checked_add(Duration::from_secs(3 + self.random.below(50)))?;
        }
        talks.push(talk);
        Ok(())
    }

    fn begin(&mut self, agent: Agent, turns: Vec<Turn>, tools: BTreeMap<String, String>) -> Talk {
        self.conversations += 1;
        let drawn = self.week.draw(&mut self.random);
        let model = self.random.of(&agent.models).cloned().unwrap_or_default();
        let session = format!("{}-{}", agent.id, self.conversations);
        // Agents that talk to people stream.
        let stream = agent.id.starts_with("support") && turns.iter().all(|turn| turn.call.is_empty());
        let tools = agent.tools.clone().into_iter().chain(tools).collect();
        Talk { agent, turns, tools, drawn, model, session, stream, messages: Vec::new(), decide: None }
    }

    /// One call: what the user says or the tool returned, and the answer that is expected.
    async fn turn(
        &mut self,
        talk: &mut Talk,
        turn: usize,
        takes: Duration,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let Turn { user, result, says, call } = talk.turns[turn].clone();
        let filled = |text: &str| fill(text, &talk.drawn);
        if let Some(user) = user {
            talk.messages.push(json!({"role": "user", "content": filled(&user)}));
        }
        if let Some(result) = result {
            talk.messages.push(json!({"role": "tool", "tool_call_id": "call_1", "content": filled(&result)}));
        }
        let mut message = json!({"role": "assistant", "content": says.map(|says| filled(&says))});
        if let Some((name, arguments)) = call.iter().next() {
            let function = json!({"name": name, "arguments": filled(&arguments.to_string())});
            message["tool_calls"] = json!([{"id": "call_1", "type": "function", "function": function}]);
        }
        let tool = |(name, about): (&String, &String)| {
            json!({"type": "function", "function": {"name": name, "description": about,
                "parameters": {"type": "object", "properties": {}}}})
        };
        let mut body = json!({"model": talk.model, "messages": talk.messages});
        if !talk.tools.is_empty() {
            body["tools"] = talk.tools.iter().map(tool).collect();
        }
        if talk.stream {
            body["stream"] = true.into();
        }
        let share = 60 + self.random.below(90);
        let tokens = talk.agent.tokens.map(|tokens| tokens * share / 100);
        let answer = self.call(talk, &body, Answer { message: message.clone(), tokens, takes }).await?;
        talk.messages.push(message);
        Ok(answer)
    }

    async fn call(
        &mut self,
        talk: &Talk,
        body: &Value,
        answer: Answer,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let trace = format!(
            "00-{:016x}{:016x}-{:016x}-01",
            self.random.next(),
            self.random.next(),
            self.random.next() | 1
        );
        self.answers.expect(&trace, answer);
        let request = Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {}", self.keys[&talk.agent.id]))
            .header("content-type", "application/json")
            .header("x-tappass-session", &talk.session)
            .header("x-tappass-user", &talk.drawn["user"])
            .header("traceparent", &trace)
            .body(Body::from(body.to_string()))?;
        let answer = self.send(request).await?;
        // What was blocked has fetched nothing.
        self.answers.take(&trace);
        if answer.0.is_server_error() {
            bail!("the gateway answered {}: {}", answer.0, answer.1);
        }
        Ok(answer)
    }

    /// A person decides some minutes later; what is approved is then done.
    async fn decide(
        &mut self,
        talk: &mut Talk,
        turn: usize,
        answer: &Value,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let Some((decision, reason)) = talk.decide.take() else { return Ok(()) };
        let approval = text(&answer["approval_id"])?;
        self.clock.set(at.checked_add(Duration::from_secs(7 * 60))?);
        let sign_in = json!({"email": self.week.person, "password": self.password});
        self.session = text(&self.done(Method::POST, "/auth/login", sign_in).await?["session"]["token"])?;
        let body = json!({"decision": decision, "reason": reason});
        self.done(Method::POST, &format!("/admin/approvals/{approval}/decide"), body).await?;
        if decision == "approve" {
            talk.messages.clear();
            self.turn(talk, turn, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// A request of the person's that must be taken.
    async fn done(&self, method: Method, uri: &str, body: Value) -> anyhow::Result<Value> {
        let (kind, bytes) = match body {
            Value::String(yaml) => ("application/yaml", yaml),
            other => ("application/json", other.to_string()),
        };
        let request = Request::builder().method(method).uri(uri).header("content-type", kind);
        let request =
            request.header("authorization", format!("Bearer {}", self.session)).body(Body::from(bytes))?;
        let (status, answer) = self.send(request).await?;
        if !status.is_success() {
            bail!("{uri} answered {status}: {answer}");
        }
        Ok(answer)
    }

    async fn send(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Value)> {
        let (head, body) = self.gateway.call(request).await.into_parts();
        let bytes = body.collect().await.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes();
        Ok((head.status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).context("the answer lacks a text")
}
