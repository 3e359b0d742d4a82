//! Rules that an organisation states about the arguments of its tools.

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Leaf, Network, Objection, UrlPolicy, inside, values};
use crate::steps::shared::glob;

/// How long a pattern may be, in characters.
const LONGEST_PATTERN: usize = 1000;
/// How large a compiled pattern may be, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonType {
    /// Text.
    String,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl JsonType {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

/// What one argument of some tools may be. All that is stated must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The tools, by name or glob.
    pub tool: String,
    /// The argument: its name wherever it stands, or the way to it (`files.path`); globs are fine.
    pub argument: String,
    /// Whether it must be there.
    pub required: bool,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: Option<JsonType>,
    /// The least a number may be.
    pub min: Option<f64>,
    /// The most a number may be.
    pub max: Option<f64>,
    /// How many characters a text may have.
    pub max_length: Option<usize>,
    /// The values it may have.
    pub one_of: Vec<Value>,
    /// Globs, one of which the whole text must match.
    pub glob: Vec<String>,
    /// A regular expression (linear-time syntax, no look-around, no back-references) that the whole text must match.
    pub regex: Option<String>,
    /// Folders, inside one of which a path must stay, after normalising.
    pub subpath: Vec<String>,
    /// Whether it must be an http(s) address, plainly written, that leads to no internal host.
    pub url_safe: bool,
    /// Networks, in one of which an address must be.
    pub cidr: Vec<String>,
}

/// Rules, ready to be used.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Ready>,
    urls: UrlPolicy,
}

#[derive(Debug, Clone)]
struct Ready {
    rule: Rule,
    regex: Option<Regex>,
    networks: Vec<Network>,
}

impl Rules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// A sentence that names the rule and what is wrong with it.
    pub fn new(rules: &[Rule], urls: UrlPolicy) -> Result<Self, String> {
        let ready = rules.iter().enumerate().map(|(i, rule)| {
            Ready::new(rule).map_err(|what| format!("`rules[{i}]` ({} {}): {what}", rule.tool, rule.argument))
        });
        Ok(Self { rules: ready.collect::<Result<_, _>>()?, urls })
    }

    /// Whether any rule speaks of a tool.
    #[must_use]
    pub fn speak_of(&self, tool: &str) -> bool {
        self.rules.iter().any(|r| glob(&r.rule.tool, tool))
    }

    /// What a rule has against these arguments.
    #[must_use]
    pub fn objection(&self, tool: &str, arguments: &Value) -> Option<Objection> {
        let mut all = None;
        for ready in self.rules.iter().filter(|r| glob(&r.rule.tool, tool)) {
            let mut there = false;
            for leaf in
                all.get_or_insert_with(|| values(arguments)).iter().filter(|leaf| ready.is_about(leaf))
            {
                there = true;
                if let Err(objection) = ready.check(leaf.value, &self.urls) {
                    // By the rule's own word: a key can be content.
                    let (name, what) = (&ready.rule.argument, objection.why);
                    return Some(Objection::new(objection.kind, format!("its argument `{name}` {what}")));
                }
            }
            if ready.rule.required && !there {
                let name = &ready.rule.argument;
                return Some(Objection::new("ARGUMENT", format!("its argument `{name}` is missing")));
            }
        }
        None
    }
}

impl Ready {
    fn new(rule: &Rule) -> Result<Self, String> {
        if rule.tool.is_empty() || rule.argument.is_empty() {
            return Err("`tool` and `argument` must be stated".into());
        }
        let states = [
            rule.kind.is_some(),
            rule.min.is_some(),
            rule.max.is_some(),
            rule.max_length.is_some(),
            rule.url_safe,
            rule.required,
            !rule.one_of.is_empty(),
            !rule.glob.is_empty(),
            rule.regex.is_some(),
            !rule.subpath.is_empty(),
            !rule.cidr.is_empty(),
        ];
        if !states.contains(&true) {
            return Err("it states nothing that the argument must be".into());
        }
        let regex = rule.regex.as_deref().map(compile).transpose()?;
        let networks = rule.cidr.iter().map(|cidr| Network::parse(cidr)).collect::<Result<_, _>>()?;
        Ok(Self { rule: rule.clone(), regex, networks })
    }

    fn is_about(&self, leaf: &Leaf<'_>) -> bool {
        let name = &self.rule.argument;
        // A list is judged item by item, unless it is the list itself that is meant.
        let of_lists = self.rule.kind == Some(JsonType::Array);
        let meant = if of_lists { !leaf.item } else { !leaf.value.is_array() };
        meant && (glob(name, &leaf.path) || glob(name, leaf.key()))
    }

    fn check(&self, value: &Value, urls: &UrlPolicy) -> Result<(), Objection> {
        let rule = &self.rule;
        let no = |why: &'static str| Err(Objection::new("ARGUMENT", why));
        if rule.kind.is_some_and(|kind| !kind.fits(value)) {
            return no("is of another type than it must be");
        }
        if rule.min.is_some() || rule.max.is_some() {
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            let Some(number) = number.filter(|n| n.is_finite()) else { return no("is no number") };
            if rule.min.is_some_and(|min| number < min) || rule.max.is_some_and(|max| number > max) {
                return no("is outside its range");
            }
        }
        if !rule.one_of.is_empty() && !rule.one_of.contains(value) {
            return no("is none of the values it may have");
        }
        let of_text = rule.max_length.is_some()
            || !rule.glob.is_empty()
            || rule.url_safe
            || self.regex.is_some()
            || !rule.subpath.is_empty()
            || !self.networks.is_empty();
        if !of_text {
            return Ok(());
        }
        let Some(text) = value.as_str() else { return no("is no text") };
        if rule.max_length.is_some_and(|most| text.chars().count() > most) {
            return no("is longer than it may be");
        }
        if !rule.glob.is_empty() && !rule.glob.iter().any(|pattern| glob(pattern, text)) {
            return no("matches none of its patterns");
        }
        if self.regex.as_ref().is_some_and(|regex| !regex.is_match(text)) {
            return no("does not match its pattern");
        }
        if !rule.subpath.is_empty() && !inside(text, &rule.subpath) {
            return Err(Objection::new("PATH_OUTSIDE", "leads outside of its folder"));
        }
        if rule.url_safe {
            urls.check(text, true).map_err(|objection| {
                Objection::new(objection.kind, format!("is not safe: {}", objection.why))
            })?;
        }
        if !self.networks.is_empty() {
            let address = text.trim().parse();
            if !address.is_ok_and(|address| self.networks.iter().any(|network| network.contains(address))) {
                return no("is no address of its networks");
            }
        }
        Ok(())
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.chars().count() > LONGEST_PATTERN {
        return Err(format!("`regex` has more than {LONGEST_PATTERN} characters"));
    }
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|e| format!("`regex` cannot be used: {}", e.to_string().replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn objection(rule: &Value, arguments: &Value) -> Option<&'static str> {
        let mut rule: Rule = serde_json::from_value(rule.clone()).expect("a rule");
        rule.tool = "t*".into();
        if rule.argument.is_empty() {
            rule.argument = "a".into();
        }
        let rules = Rules::new(&[rule], UrlPolicy::default()).expect("compiles");
        assert_eq!(rules.objection("other", arguments), None);
        rules.objection("tool", arguments).map(|o| o.kind)
    }

    #[test]
    fn each_kind_of_rule_lets_pass_and_refuses() {
        for (rule, fine, bad) in [
            (json!({"type": "integer"}), json!(3), json!(3.5)),
            (json!({"type": "array"}), json!(["x"]), json!("x")),
            (json!({"min": 0, "max": 100}), json!(100), json!(101)),
            (json!({"max": 100}), json!("99"), json!("lots")),
            (json!({"one_of": ["eu", 1]}), json!("eu"), json!("us")),
            (json!({"glob": ["report-*.pdf"]}), json!("report-7.pdf"), json!("x.sh")),
            (json!({"regex": "[a-z]+"}), json!("abc"), json!("abc; rm")),
            (json!({"regex": "a|b"}), json!("a"), json!("ax")),
            (json!({"max_length": 3}), json!("äöü"), json!("four")),
            (json!({"subpath": ["/srv/p"]}), json!("/srv/p/x"), json!("/srv/p/../x")),
            (json!({"url_safe": true}), json!("https://example.com"), json!("http://169.254.169.254")),
            (json!({"url_safe": true}), json!("https://example.com"), json!("ftp://example.com")),
            (json!({"cidr": ["10.0.0.0/8"]}), json!("10.1.1.1"), json!("10.1.1")),
        ] {
            assert_eq!(objection(&rule, &json!({"a": fine})), None, "{rule}");
            assert!(objection(&rule, &json!({"a": bad})).is_some(), "{rule}");
        }
    }

    #[test]
    fn arguments_are_found_where_they_stand() {
        let rule = json!({"argument": "path", "subpath": ["/srv"]});
        assert_eq!(
            objection(&rule, &json!({"files": [{"path": "/srv/a"}, {"path": "/etc/x"}]})),
            Some("PATH_OUTSIDE")
        );
        assert_eq!(
            objection(&rule, &json!({"path": ["/srv/a", "/etc/x"]})),
            Some("PATH_OUTSIDE"),
            "in a list"
        );
        let exact = json!({"argument": "to.path", "subpath": ["/srv"]});
        assert_eq!(objection(&exact, &json!({"path": "/etc/x"})), None);
        assert_eq!(objection(&json!({"required": true}), &json!({"b": 1})), Some("ARGUMENT"));
    }

    #[test]
    fn rules_that_cannot_be_are_refused_with_their_place() {
        let refused = |rule: Value| {
            let rule: Rule = serde_json::from_value(rule).expect("a rule");
            Rules::new(&[rule], UrlPolicy::default()).expect_err("refused")
        };
        assert!(refused(json!({"tool": "t", "argument": "a", "regex": "("})).contains("rules[0]"));
        assert!(
            refused(json!({"tool": "t", "argument": "a", "regex": "\\pL{1000}{1000}"})).contains("regex")
        );
        assert!(refused(json!({"tool": "t", "argument": "a", "regex": "(?=x)"})).contains("regex"));
        assert!(refused(json!({"tool": "t", "argument": "a", "cidr": ["ten"]})).contains("10.0.0.0/8"));
        assert!(refused(json!({"tool": "t", "argument": "a"})).contains("states nothing"));
        assert!(refused(json!({"argument": "a", "min": 1})).contains("tool"));
    }
}
