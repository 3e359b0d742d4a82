//! Keys and tokens with a provider's own shape. The prefix makes them certain; placeholders are let through.

use tappass_model::Family;

use super::is_placeholder;
use crate::rule::{Hit, Rule, entropy};

/// (kind, regex). The prefix is the evidence, so the body only has to look random.
const SHAPES: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    ("GCP_API_KEY", r"AIza[0-9A-Za-z_-]{35,36}"),
    ("GOOGLE_OAUTH_SECRET", r"GOCSPX-[0-9A-Za-z_-]{28}"),
    ("GOOGLE_OAUTH_TOKEN", r"ya29\.[0-9A-Za-z_-]{20,500}"),
    ("GITHUB_TOKEN", r"gh[opusr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{60,120}"),
    (
        "GITLAB_TOKEN",
        r"gl(?:pat|dt|rt|ptt|cbt|ft|soat|agent|imt|ffct|oas)-[0-9A-Za-z_-]{20,255}|GR1348941[0-9A-Za-z_-]{20,22}",
    ),
    (
        "SLACK_TOKEN",
        r"xox[abeoprs]-[0-9A-Za-z-]{10,250}|xapp-[0-9]-[0-9A-Za-z-]{20,250}|xoxe\.xox[bp]-[0-9]-[0-9A-Za-z-]{100,250}",
    ),
    ("SLACK_WEBHOOK", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,120}"),
    ("STRIPE_KEY", r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,255}|whsec_[0-9A-Za-z+/=]{24,90}"),
    ("OPENAI_KEY", r"sk-(?:proj|svcacct|admin|None)-[0-9A-Za-z_-]{20,250}|sk-[0-9A-Za-z]{20,64}"),
    ("ANTHROPIC_KEY", r"sk-ant-[0-9A-Za-z_-]{20,250}"),
    ("OPENROUTER_KEY", r"sk-or-v1-[0-9a-f]{64}"),
    ("HUGGINGFACE_TOKEN", r"hf_[A-Za-z]{30,40}|api_org_[A-Za-z]{34}"),
    (
        "AI_PROVIDER_KEY",
        r"gsk_[0-9A-Za-z]{40,60}|xai-[0-9A-Za-z]{60,90}|r8_[0-9A-Za-z]{37}|pplx-[0-9A-Za-z]{40,60}|tvly-[0-9A-Za-z-]{30,50}|nvapi-[0-9A-Za-z_-]{60,70}|pcsk_[0-9A-Za-z_]{60,80}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    ),
    ("NPM_TOKEN", r"npm_[0-9A-Za-z]{36}"),
    ("PYPI_TOKEN", r"pypi-[0-9A-Za-z_-]{40,255}"),
    ("RUBYGEMS_TOKEN", r"rubygems_[0-9a-f]{48}"),
    ("CRATES_TOKEN", r"cio[0-9A-Za-z]{32}"),
    ("DOCKER_TOKEN", r"dckr_(?:pat|oat)_[0-9A-Za-z_-]{27,40}"),
    ("TWILIO_KEY", r"(?:SK|AC)[0-9a-f]{32}"),
    ("SENDGRID_KEY", r"SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16,64}"),
    ("MAILGUN_KEY", r"key-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}"),
    ("MAILCHIMP_KEY", r"[0-9a-f]{32}-us[0-9]{1,2}"),
    ("TELEGRAM_TOKEN", r"[0-9]{8,10}:A[0-9A-Za-z_-]{32,35}"),
    (
        "DISCORD_TOKEN",
        r"[MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,40}|mfa\.[0-9A-Za-z_-]{84}",
    ),
    (
        "DISCORD_WEBHOOK",
        r"https://(?:canary\.|ptb\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[0-9A-Za-z_-]{60,70}",
    ),
    ("DIGITALOCEAN_TOKEN", r"do[opr]_v1_[0-9a-f]{64}"),
    ("DATABRICKS_TOKEN", r"dapi[0-9a-f]{32}(?:-[0-9])?"),
    ("VAULT_TOKEN", r"hv[sbr]\.[0-9A-Za-z_-]{24,255}"),
    ("TERRAFORM_TOKEN", r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,70}"),
    ("SHOPIFY_TOKEN", r"shp(?:at|ca|pa|ss)_[0-9a-f]{32}"),
    ("SQUARE_TOKEN", r"sq0(?:atp|csp|atb|idp)-[0-9A-Za-z_-]{20,50}|EAAA[0-9A-Za-z_-]{60}"),
    (
        "GRAFANA_TOKEN",
        r"glsa_[0-9A-Za-z]{32}_[0-9a-f]{8}|glc_[0-9A-Za-z+/=]{32,400}|eyJrIjoi[0-9A-Za-z+/]{40,200}={0,2}",
    ),
    ("NOTION_TOKEN", r"ntn_[0-9]{11}[0-9A-Za-z]{35}|secret_[0-9A-Za-z]{43}"),
    ("LINEAR_TOKEN", r"lin_(?:api|oauth)_[0-9A-Za-z]{40,64}"),
    ("POSTMAN_KEY", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("FIGMA_TOKEN", r"fig[dupor]{1,2}_[0-9A-Za-z_-]{40,60}"),
    ("NEWRELIC_KEY", r"NR(?:AK|AL|JS|II|IQ|RA)-[0-9A-Za-z]{19,42}"),
    ("DOPPLER_TOKEN", r"dp\.(?:pt|st|ct|scim|audit|sa|said)\.(?:[a-z0-9_-]{2,35}\.)?[0-9A-Za-z]{40,44}"),
    ("DROPBOX_TOKEN", r"sl\.(?:u\.)?[0-9A-Za-z_-]{100,}"),
    ("SOURCEGRAPH_TOKEN", r"sgp_(?:(?:[0-9A-Fa-f]{16}|local)_)?[0-9A-Fa-f]{40,64}"),
    (
        "ONEPASSWORD_TOKEN",
        r"ops_eyJ[0-9A-Za-z+/_=-]{200,}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    ),
    ("OCTOPUS_KEY", r"API-[A-Z0-9]{26}"),
    ("PULUMI_TOKEN", r"pul-[0-9a-f]{40}"),
    ("AGE_SECRET_KEY", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    (
        "ATLASSIAN_TOKEN",
        r"ATATT3[0-9A-Za-z_=-]{180,250}|ATBB[0-9A-Za-z_=-]{24,40}|ATCTT3[0-9A-Za-z_=-]{150,250}",
    ),
    ("FACEBOOK_TOKEN", r"EAA[CM][0-9A-Za-z]{80,255}"),
    ("PLANETSCALE_TOKEN", r"pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_=.-]{32,64}"),
    ("SUPABASE_KEY", r"sb[ps]_[0-9a-f]{40}|sb_secret_[0-9A-Za-z_-]{20,60}"),
    ("SENTRY_TOKEN", r"sntry[su]_[0-9A-Za-z+/=_-]{40,255}"),
    ("STACKHAWK_KEY", r"hawk\.[0-9A-Za-z_-]{20}\.[0-9A-Za-z_-]{20}"),
    ("DEPENDENCY_TRACK_KEY", r"odt_[0-9A-Za-z]{32,40}"),
    ("TAILSCALE_KEY", r"tskey-(?:api|auth|client|scim|webhook)-[0-9A-Za-z]{10,20}-[0-9A-Za-z]{20,40}"),
    ("AIRTABLE_TOKEN", r"pat[0-9A-Za-z]{14}\.[0-9a-f]{64}"),
    ("HUBSPOT_TOKEN", r"pat-(?:na|eu)[0-9]-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    ("HEROKU_KEY", r"HRKU-[0-9A-Za-z_-]{36,70}"),
    (
        "FASTLY_OR_CLOUD_KEY",
        r"LTAI[0-9A-Za-z]{12,24}|AKID[0-9A-Za-z]{13,40}|ibmcloud_[0-9A-Za-z_-]{40,60}|CFPAT-[0-9A-Za-z_-]{43}|v1\.0-[0-9a-f]{24}-[0-9a-f]{146}|EZ[AT]K[0-9A-Za-z]{54}|duffel_(?:test|live)_[0-9A-Za-z_=-]{43}|PRV-[0-9A-Za-z]{40}|dop_v1_[0-9a-f]{64}",
    ),
    ("TAPPASS_KEY", r"tp_[0-9A-Za-z_-]{32,90}"),
];

pub(super) fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = SHAPES
        .iter()
        .map(|(kind, regex)| Rule::new(Family::Secret, kind, 0.97, regex).check(shaped))
        .collect();
    rules.push(
        Rule::new(
            Family::Secret,
            "JWT",
            0.96,
            r"eyJ[0-9A-Za-z_-]{8,400}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{10,700}",
        )
        .check(|hit| hit.when(!is_placeholder(hit.value))),
    );
    rules
}

fn shaped(hit: &Hit<'_>) -> Option<f32> {
    let body = hit.value.rsplit(['-', '_', '.', ':', '/']).next().unwrap_or(hit.value);
    let varied = entropy(if body.len() >= 12 { body } else { hit.value }) > 2.6;
    hit.when(varied && !is_placeholder(hit.value))
}

#[cfg(test)]
mod tests {
    use crate::secrets::found;

    /// Random bodies, put together at run time so that no scanner of this repository takes them for real.
    fn key(prefix: &str, body: &str) -> String {
        format!("{prefix}{body}")
    }

    #[test]
    fn shapes() {
        let hex32 = "9f8b3c1d7e6a5042b1c8d7e6f5a40312";
        let alnum = "q7lJFmn9XT3gRUnC8uVkPqFx1UFQAXpHKyckNnVF70TxcIU5mj8TETjHPLjiM2iafWyC9LqR";
        for (kind, secret) in [
            ("AWS_ACCESS_KEY", key("AKIA", "Q3EGRZ5T7WXYN2KD")),
            ("GITHUB_TOKEN", key("ghp_", &alnum[..36])),
            ("GITLAB_TOKEN", key("glpat-", &alnum[..20])),
            ("STRIPE_KEY", key("sk_live_", &alnum[..24])),
            ("ANTHROPIC_KEY", key("sk-ant-api03-", &alnum[..60])),
            ("OPENAI_KEY", key("sk-proj-", &alnum[..48])),
            ("TWILIO_KEY", key("SK", hex32)),
            ("NPM_TOKEN", key("npm_", &alnum[..36])),
            ("DATABRICKS_TOKEN", key("dapi", hex32)),
            ("SENDGRID_KEY", key("SG.", &format!("{}.{}", &alnum[..22], &alnum[22..65]))),
            ("JWT", key("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r")),
        ] {
            let text = format!("use {secret}, please");
            assert_eq!(found(&text), [(kind.to_owned(), secret.clone())], "{kind}");
        }
    }

    #[test]
    fn placeholders_pass() {
        for text in [
            "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxx",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_your_token_here",
            "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
