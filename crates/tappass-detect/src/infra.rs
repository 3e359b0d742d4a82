//! Infrastructure: internal hosts, private addresses, cloud resource names, cluster objects, paths.

use std::net::Ipv4Addr;

use tappass_model::Family;

use crate::rule::{Hit, Rule};

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Infra, kind, score, regex);
    vec![
        rule("PRIVATE_IP", 0.9, r"(?:10|127|169|172|192)(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?").check(private_ip),
        rule(
            "INTERNAL_HOST",
            0.88,
            r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}\.){1,6}(?i-u:internal|intern|corp|local|lan|intranet|private|localdomain|home\.arpa)",
        )
        .check(internal_host),
        rule("K8S_SERVICE", 0.92, r"[a-z0-9][a-z0-9-]{0,62}\.[a-z0-9-]{1,63}\.svc(?:\.cluster\.local)?"),
        rule("K8S_OBJECT", 0.8, r"(?:pod|deployment|deploy|service|svc|configmap|cm|secret|statefulset|daemonset|namespace|ns|ingress|node)s?/[a-z0-9][a-z0-9.-]{5,80}")
            .check(|hit| hit.when(hit.near(&["kubectl", "kubernetes", "k8s", "cluster", "namespace", "helm", "oc"]))),
        rule("AWS_ARN", 0.95, r"arn:aws(?:-cn|-us-gov)?:[a-z0-9-]{2,30}:[a-z0-9-]{0,20}:[0-9]{0,12}:[A-Za-z0-9_./:*+=,@-]{1,200}"),
        rule("AWS_RESOURCE", 0.85, r"(?:i|vpc|subnet|sg|ami|vol|eni|igw|rtb|snap|eipalloc)-(?:[0-9a-f]{17}|[0-9a-f]{8})"),
        rule("AZURE_RESOURCE", 0.95, r"/subscriptions/[0-9a-fA-F-]{36}(?:/[A-Za-z0-9_.-]{1,80}){0,10}"),
        rule("GCP_RESOURCE", 0.85, r"projects/[a-z][a-z0-9-]{5,29}/(?:locations|zones|regions|instances|secrets|topics|subscriptions|serviceAccounts|datasets)/[A-Za-z0-9_./@-]{1,150}"),
        rule("CLOUD_HOST", 0.85, r"[A-Za-z0-9][A-Za-z0-9.-]{2,100}\.(?:rds|redshift|cache|elb|eks|es|compute|ec2)[A-Za-z0-9.-]{0,40}\.amazonaws\.com|[A-Za-z0-9-]{3,60}\.(?:database|vault|blob\.core|file\.core|queue\.core|redis\.cache|servicebus)\.(?:windows\.net|azure\.net)"),
        rule("UNC_PATH", 0.85, r"\\\\[A-Za-z0-9][A-Za-z0-9_.-]{1,62}\\[A-Za-z0-9$][A-Za-z0-9_.$ -]{0,60}(?:\\[A-Za-z0-9_.$-]{1,60}){0,8}"),
        rule("INTERNAL_PATH", 0.7, r"(?:/(?:home|Users)/[a-z][A-Za-z0-9._-]{1,40}|/etc/(?:passwd|shadow|kubernetes|ssl/private|sudoers)|/var/lib/(?:kubelet|docker|postgresql)|/root/\.[a-z]{2,12})(?:/[A-Za-z0-9._-]{1,60}){0,10}"),
        rule("INTERNAL_PATH", 0.7, r"[A-Z]:\\(?:Users|inetpub|ProgramData)\\[A-Za-z0-9._$-]{1,40}(?:\\[A-Za-z0-9._$ -]{1,60}){0,8}"),
    ]
}

fn private_ip(hit: &Hit<'_>) -> Option<f32> {
    let (address, prefix) = hit.value.split_once('/').unwrap_or((hit.value, "32"));
    let ip: Ipv4Addr = address.parse().ok()?;
    let version = hit.close(&["version", "v", "release", "ver"]);
    hit.when(
        (ip.is_private() || ip.is_link_local()) && prefix.parse::<u8>().is_ok_and(|p| p <= 32) && !version,
    )
}

fn internal_host(hit: &Hit<'_>) -> Option<f32> {
    let first = hit.value.split('.').next()?;
    // Code (`self.internal`, `this.private`) has no host's digits, dashes or further labels.
    let labels = hit.value.split('.').count();
    let host = labels >= 3 || first.contains('-') || first.bytes().any(|b| b.is_ascii_digit());
    hit.when(host && !hit.before.ends_with(['.', '_']))
}

#[cfg(test)]
mod tests {
    use tappass_model::Family;

    fn kinds(text: &str) -> Vec<String> {
        let scanner = crate::Scanner::new(&[Family::Infra], &[]).unwrap();
        scanner.scan(text).into_iter().map(|m| m.kind.into_owned()).collect()
    }

    #[test]
    fn infrastructure() {
        assert_eq!(kinds("db-prod-7.corp.acme.local (10.1.4.12)"), ["INTERNAL_HOST", "PRIVATE_IP"]);
        assert_eq!(kinds("arn:aws:s3:::bucket/key"), ["AWS_ARN"]);
        assert_eq!(kinds("http://api.payments.svc.cluster.local:80"), ["K8S_SERVICE"]);
        assert_eq!(kinds("/etc/shadow"), ["INTERNAL_PATH"]);
        assert_eq!(kinds(r"open \\files01\share$\plan"), ["UNC_PATH"]);
    }

    #[test]
    fn public_things_pass() {
        for text in ["8.8.8.8", "www.example.com", "self.internal = 1", "10.0 and 10.1.2", "172.99.1.1"] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }
}
