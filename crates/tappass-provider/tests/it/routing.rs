//! Which provider answers for which name, and which key goes where.

use serde_json::json;
use tappass_provider::{ProviderConfigError, ProviderError, Providers};
use tappass_testkit::{Reply, ScriptedProvider};

use crate::{ask, call, env, text};

fn resolve(providers: &Providers, model: &str) -> Result<(String, String), ProviderError> {
    providers.resolve(model).map(|(provider, bare)| (provider.id().to_owned(), bare))
}

fn pair(id: &str, bare: &str) -> Result<(String, String), ProviderError> {
    Ok((id.to_owned(), bare.to_owned()))
}

#[tokio::test]
async fn without_any_key_the_built_in_model_answers() {
    let providers = Providers::from_env(&env(&[("OPENAI_API_KEY", " ")])).expect("nothing set is fine");
    assert_eq!(resolve(&providers, "gpt-4o"), pair("builtin", "gpt-4o"));
    assert_eq!(resolve(&providers, "claude-x"), pair("builtin", "claude-x"));
    assert_eq!(resolve(&providers, "builtin/echo"), pair("builtin", "echo"));
    let (provider, _) = providers.resolve("gpt-4o").expect("builtin");
    for stream in [true, false] {
        let answer = ask(provider.as_ref(), call(stream)).await.expect("an answer");
        assert_eq!((answer.model.as_str(), text(&answer).ends_with("You said: hi")), ("builtin", true));
    }
    let Err(ProviderError::NotConfigured(why)) = resolve(&providers, "anthropic/claude-x") else {
        panic!("no key")
    };
    assert!(why.contains("ANTHROPIC_API_KEY"), "{why}");
    let Err(ProviderError::NotConfigured(why)) = resolve(&providers, "meta/llama") else { panic!("no such") };
    assert!(why.contains("OPENAI_BASE_URL"), "{why}");
}

#[test]
fn prefixes_defaults_and_custom_bases() {
    let all = [
        ("OPENAI_API_KEY", "a"),
        ("ANTHROPIC_API_KEY", "b"),
        ("AZURE_OPENAI_ENDPOINT", "http://az.local"),
        ("AZURE_OPENAI_API_KEY", "c"),
        ("OPENAI_BASE_URL", "http://llm.local:8000/v1/"),
        ("ANTHROPIC_BASE_URL", "http://ant.local"),
    ];
    let providers = Providers::from_env(&env(&all)).expect("good settings");
    assert_eq!(resolve(&providers, "gpt-4o"), pair("openai", "gpt-4o"));
    assert_eq!(resolve(&providers, "claude-x"), pair("anthropic", "claude-x"));
    assert_eq!(resolve(&providers, "azure/dep"), pair("azure", "dep"));
    assert_eq!(resolve(&providers, "builtin"), pair("builtin", "builtin"), "never to a provider");
    assert_eq!(resolve(&providers, "openai/claude-x"), pair("openai", "claude-x"));
    assert_eq!(resolve(&providers, "meta/llama-3"), pair("openai", "meta/llama-3"));
    assert!(resolve(&providers, "openai/").is_err());
    let list = serde_json::to_value(providers.list()).expect("serialises");
    assert_eq!(list[0]["host"], "llm.local:8000");
    assert_eq!(
        list[2],
        json!({"id": "anthropic", "configured": true, "host": "ant.local", "default": false,
        "needs": "ANTHROPIC_API_KEY"})
    );
    let mut azure_first = all.to_vec();
    azure_first.push(("TAPPASS_DEFAULT_PROVIDER", "azure"));
    let providers = Providers::from_env(&env(&azure_first)).expect("good settings");
    assert_eq!(resolve(&providers, "gpt-4o"), pair("azure", "gpt-4o"));
}

#[test]
fn settings_that_cannot_be_are_said() {
    let refused = |list: &[(&str, &str)]| match Providers::from_env(&env(list)) {
        Err(error) => error,
        Ok(_) => panic!("must be refused: {list:?}"),
    };
    let key = ("OPENAI_API_KEY", "sk-very-secret");
    for bad in ["api.openai.com", "ftp://x", "http://user:pass@x/v1", "https://x/v1?a=b", "http://"] {
        let error = refused(&[key, ("OPENAI_BASE_URL", bad)]);
        assert_eq!(error, ProviderConfigError::BaseUrl { provider: "openai".to_owned() }, "{bad}");
    }
    let error = refused(&[("OPENAI_API_KEY", "sk-very\nsecret"), ("OPENAI_BASE_URL", "http://x")]);
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(refused(&[("AZURE_OPENAI_ENDPOINT", "http://x")]).to_string().contains("AZURE_OPENAI_API_KEY"));
    assert!(refused(&[("TAPPASS_DEFAULT_PROVIDER", "openai")]).to_string().contains("configured"));
    assert!(refused(&[("TAPPASS_PROVIDER_IDLE_TIMEOUT", "0")]).to_string().contains("IDLE"));
}

#[tokio::test]
async fn each_key_goes_to_its_own_host() {
    let (open, ant) = (ScriptedProvider::start().await, ScriptedProvider::start().await);
    let (open_url, ant_url) = (open.base_url(), ant.base_url());
    let providers = Providers::from_env(&env(&[
        ("OPENAI_API_KEY", "open-key"),
        ("OPENAI_BASE_URL", &open_url),
        ("ANTHROPIC_API_KEY", "ant-key"),
        ("ANTHROPIC_BASE_URL", &ant_url),
    ]))
    .expect("good settings");
    for model in ["openai/gpt-x", "anthropic/claude-x", "gpt-y", "claude-y"] {
        let (provider, bare) = providers.resolve(model).expect("configured");
        let mut asked = call(false);
        // What a request says about addresses and keys goes to the provider as content, if at all.
        asked.body["base_url"] = json!("http://thief.example");
        asked.body["api_key"] = json!("x");
        asked.model = bare;
        ask(provider.as_ref(), asked).await.expect("an answer");
    }
    for (server, own, other) in [(&open, "open-key", "ant-key"), (&ant, "ant-key", "open-key")] {
        assert_eq!(server.requests().len(), 2);
        for request in server.requests() {
            let all = format!("{request:?}");
            assert!(all.contains(own) && !all.contains(other), "{all}");
        }
    }
}

#[tokio::test]
async fn models_are_listed_by_whoever_knows_them() {
    let server = ScriptedProvider::start().await;
    server.always(Reply::answer(json!({"data": [{"id": "m-1"}, {"id": "m-2"}]})));
    let (url, origin) = (server.base_url(), server.origin());
    let providers = Providers::from_env(&env(&[
        ("OPENAI_BASE_URL", &url),
        ("ANTHROPIC_API_KEY", "k"),
        ("ANTHROPIC_BASE_URL", &url),
        ("AZURE_OPENAI_ENDPOINT", &origin),
        ("AZURE_OPENAI_API_KEY", "k"),
    ]))
    .expect("good settings");
    for (prefix, expected) in [
        ("openai", vec!["m-1", "m-2"]),
        ("anthropic", vec!["m-1", "m-2"]),
        ("azure", vec![]),
        ("builtin", vec!["echo"]),
    ] {
        let (provider, _) = providers.resolve(&format!("{prefix}/x")).expect("configured");
        assert_eq!(provider.models().await.expect("a list"), expected);
    }
    let asked: Vec<_> = server.requests().into_iter().map(|r| (r.method, r.path)).collect();
    let expected = [("GET", "/v1/models"), ("GET", "/v1/models?limit=1000")];
    assert_eq!(asked, expected.map(|(method, path)| (method.to_owned(), path.to_owned())));
    server.always(Reply::answer(json!({"x": 1})));
    let (provider, _) = providers.resolve("openai/x").expect("configured");
    assert!(provider.models().await.is_err());
}

#[test]
fn with_data_kept_in_the_eu_what_is_not_known_to_be_there_is_not_called() {
    let vars = [("OPENAI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_REGION", "EU")];
    let residency = ("TAPPASS_EU_DATA_RESIDENCY", "1");
    let providers = Providers::from_env(&env(&[vars[0], vars[1], vars[2], residency])).expect("set up");
    for model in ["gpt-4o", "openai/gpt-4o"] {
        let Err(ProviderError::NotConfigured(why)) = resolve(&providers, model) else { panic!("{model}") };
        assert!(why.contains("OPENAI_REGION=eu"), "{why}");
    }
    assert_eq!(resolve(&providers, "claude-x"), pair("anthropic", "claude-x"));
    assert_eq!(resolve(&providers, "builtin"), pair("builtin", "builtin"));
    assert!(providers.list().iter().any(|p| p.id == "openai" && !p.configured));
    let local = [("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), residency];
    let off = [vars[0], ("TAPPASS_EU_DATA_RESIDENCY", "false")];
    for vars in [local, off] {
        assert_eq!(resolve(&Providers::from_env(&env(&vars)).expect("set up"), "x"), pair("openai", "x"));
    }
}

#[test]
fn every_prefix_leads_to_its_provider() {
    let all = [
        ("GOOGLE_API_KEY", "g"),
        ("MISTRAL_API_KEY", "m"),
        ("OLLAMA_HOST", "127.0.0.1"),
        ("VLLM_BASE_URL", "http://10.0.0.1:8000/v1"),
        ("LMSTUDIO_BASE_URL", "http://10.0.0.2:1234/v1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-central-1"),
    ];
    let providers = Providers::from_env(&env(&all)).expect("good settings");
    for (model, id, bare, host) in [
        ("gemini/gemini-x", "gemini", "gemini-x", "generativelanguage.googleapis.com"),
        ("gemini-x", "gemini", "gemini-x", "generativelanguage.googleapis.com"),
        ("mistral/mistral-x", "mistral", "mistral-x", "api.mistral.ai"),
        ("ollama/llama3:8b", "ollama", "llama3:8b", "127.0.0.1:11434"),
        ("vllm/meta/llama", "vllm", "meta/llama", "10.0.0.1:8000"),
        ("lmstudio/qwen", "lmstudio", "qwen", "10.0.0.2:1234"),
        (
            "bedrock/eu.anthropic.x-v1:0",
            "bedrock",
            "eu.anthropic.x-v1:0",
            "bedrock-runtime.eu-central-1.amazonaws.com",
        ),
    ] {
        assert_eq!(resolve(&providers, model), pair(id, bare));
        assert_eq!(providers.resolve(model).expect("set up").0.host().as_deref(), Some(host));
    }
    assert_eq!(providers.default_provider(), "gemini");
    assert_eq!((providers.region("bedrock"), providers.region("ollama")), (Some("eu"), Some("local")));
    let ambient = Providers::from_env(&env(&all[5..])).expect("good settings");
    assert_eq!(
        ambient.default_provider(),
        "builtin",
        "a machine may have AWS's variables for another purpose"
    );
    let nothing =
        Providers::from_env(&env(&[("MISTRAL_BASE_URL", "http://x/v1"), ("AWS_REGION", "x")])).expect("fine");
    for (model, needs) in [
        ("gemini/x", "GOOGLE_API_KEY"),
        ("mistral/x", "MISTRAL_API_KEY"),
        ("ollama/x", "OLLAMA_HOST"),
        ("vllm/x", "VLLM_BASE_URL"),
        ("lmstudio/x", "LMSTUDIO_BASE_URL"),
        ("bedrock/x", "AWS_ACCESS_KEY_ID"),
    ] {
        let Err(ProviderError::NotConfigured(why)) = resolve(&nothing, model) else { panic!("{model}") };
        assert!(why.contains(needs), "{why}");
    }
    // A prefix always means its provider, also where a server of many names is set up.
    let proxy =
        Providers::from_env(&env(&[("OPENAI_BASE_URL", "http://proxy.local/v1")])).expect("good settings");
    let Err(ProviderError::NotConfigured(why)) = resolve(&proxy, "mistral/mistral-x") else {
        panic!("no key")
    };
    assert!(why.contains("openai/mistral/mistral-x"), "{why}");
    assert_eq!(resolve(&proxy, "openai/mistral/mistral-x"), pair("openai", "mistral/mistral-x"));
    assert_eq!(resolve(&proxy, "meta/llama"), pair("openai", "meta/llama"));
    let residency = [&all[5..], &[("TAPPASS_EU_DATA_RESIDENCY", "1")]].concat();
    let eu = Providers::from_env(&env(&residency)).expect("good settings");
    assert_eq!(resolve(&eu, "bedrock/eu.x"), pair("bedrock", "eu.x"));
    for model in [
        "bedrock/global.x",
        "bedrock/us.x",
        "bedrock/arn:aws:bedrock:eu-central-1:1:inference-profile/global.x",
    ] {
        assert!(resolve(&eu, model).is_err(), "{model}");
    }
}

#[test]
fn responses_are_native_or_translated_as_the_operator_says() {
    use tappass_model::Dialect::OpenAiResponses;
    let speaks = |vars: &[(&str, &str)], model: &str| {
        let providers = Providers::from_env(&env(vars)).expect("good settings");
        providers.resolve(model).expect("set up").0.speaks(OpenAiResponses)
    };
    let (open, own) = (("OPENAI_API_KEY", "k"), ("VLLM_BASE_URL", "http://x/v1"));
    assert!(speaks(&[open], "gpt") && !speaks(&[own], "vllm/x"));
    assert!(!speaks(&[open, ("OPENAI_RESPONSES", "chat")], "gpt"));
    assert!(speaks(&[own, ("VLLM_RESPONSES", "native")], "vllm/x"));
    let Err(error) = Providers::from_env(&env(&[own, ("VLLM_RESPONSES", "yes")])) else { panic!("no such") };
    assert!(error.to_string().starts_with("VLLM_RESPONSES must be"), "{error}");
}
