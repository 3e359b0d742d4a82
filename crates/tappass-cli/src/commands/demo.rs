//! `tappass demo`: a gateway with a week behind it, to look around in. Nothing of it stays.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use tappass_model::{Clock as _, Ids as _, SystemClock, SystemIds};
use tappass_server::{App, Config, Gateway, Running, Server, Setup, Storage, serve::until_told};

use crate::{
    demo::{
        drive::{Built, Driver},
        scenario::Week,
        stand_in::Answers,
        time::{WeekClock, WeekIds},
    },
    error::{CliError, Exit},
    output::{
        Out,
        style::{BOLD, DIM, RESET},
    },
};

/// The week and the one before, and a little more in which all is set up.
const BEFORE: Duration = Duration::from_secs(14 * 86_400 + 7_200);
/// Between two conversations of the live feed, seconds: at least, and how many more at most.
const PACE: (u64, u64) = (2, 5);

/// Look around: a server with a simulated week, without a network
#[derive(Debug, Args)]
pub struct Demo {
    /// The port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 9620)]
    port: u16,
    /// The address to listen on: of this machine only
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// No more traffic once the week is built
    #[arg(long)]
    still: bool,
}

impl Demo {
    pub(crate) async fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        if !self.host.is_loopback() {
            return Err(CliError::usage(format!(
                "{} is not of this machine alone, and the demo's password stands on the screen",
                self.host
            ))
            .mend("leave --host out; for others to reach a gateway: `tappass up`")
            .into());
        }
        let begun = Instant::now();
        let place = Place::new()?;
        let week = Week::built_in()?;
        let (person, answers) = (week.person.clone(), Answers::default());
        // So much of an id is random that nobody guesses it within the life of a demo.
        let password = SystemIds.uuid().simple().to_string().split_off(14);
        let end = SystemClock.now();
        let clock = Arc::new(WeekClock::at(end.checked_sub(BEFORE)?));
        let running = start(&self, &place.0, &clock, &answers).await?;
        out.note("a week of five agents is being simulated …");
        let gateway = Gateway::new(running.app.clone());
        let mut driver = Driver::new(gateway, answers, clock, week, password.clone());
        let built = driver.build(end).await.context("the week could not be built")?;
        show(&running, &built, &person, &password, begun.elapsed(), out)?;
        if !self.still {
            let app = running.app.clone();
            running.app.life.tasks.spawn(trickle(driver, app));
        }
        until_told(running).await?;
        out.note("all of it is gone");
        Ok(Exit::Done)
    }
}

async fn start(
    demo: &Demo,
    place: &Path,
    clock: &Arc<WeekClock>,
    answers: &Answers,
) -> anyhow::Result<Running> {
    let mut config =
        Config { host: demo.host, port: demo.port, storage: Storage::Memory, ..Config::default() };
    config.data_dir = place.to_owned();
    config.limits.drain_ms = 2_000;
    let setup = Setup {
        // Nothing of the machine's environment: no key, no provider, no proxy.
        env: Arc::new(|_| None),
        clock: clock.clone(),
        ids: Arc::new(WeekIds(clock.clone())),
        providers: Some(Arc::new(answers.providers())),
        ..Setup::new(config)
    };
    let started = Server::start_with(setup).await;
    started.map_err(|error| {
        let another = format!("--port {}", demo.port.checked_add(1).unwrap_or(0));
        CliError::failed(format!("{error:#}"))
            .mend(format!("if the port is taken: `tappass demo {another}`"))
            .into()
    })
}

/// A conversation every few seconds, until the server stops.
async fn trickle(mut driver: Driver, app: App) {
    let (least, more) = PACE;
    let mut pause = least;
    loop {
        let one = async {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            driver.one_more().await
        };
        let done = tokio::select! {
            () = app.life.draining.cancelled() => return,
            done = one => done,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a conversation of the demo did not go through");
        }
        pause = least + (pause * 7 + 3) % more;
    }
}

fn show(
    running: &Running,
    built: &Built,
    person: &str,
    password: &str,
    took: Duration,
    out: &mut Out,
) -> anyhow::Result<()> {
    let url = format!("http://{}", running.addr);
    let Built { agent, key, calls } = built;
    out.line(&format!(
        "{BOLD}TapPass {} with a week behind it{RESET}: {calls} calls of five agents, made in {:.1} s\n",
        env!("CARGO_PKG_VERSION"),
        took.as_secs_f64()
    ))?;
    out.line(&format!("  open        {BOLD}{url}/app{RESET}"))?;
    out.line(&format!("  e-mail      {person}"))?;
    out.line(&format!("  password    {password}"))?;
    out.line(&format!("  an agent    {agent}, with the key {key}"))?;
    out.line(&format!("{DIM}              curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\\n                -H 'Content-Type: application/json' \\\n                -d '{{\"model\": \"builtin\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'{RESET}\n"))?;
    out.line("Everything is simulated: people, agents, what they say, what models answer and cost. The gateway that governed it")?;
    out.line("is real. It runs in memory, nothing leaves this machine, and all of it is gone when it stops (Ctrl-C).")?;
    Ok(())
}

/// A folder of its own, for the secrets that a gateway makes; gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("tappass-demo-{}", SystemIds.uuid().simple()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the demo's folder stays");
        }
    }
}
