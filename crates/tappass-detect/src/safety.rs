//! Safety: harmful content, by category.
//!
//! The same words stand in help, news and medicine. So a rule looks for the form of harm itself (an instruction to make, a
//! call to do, a degrading claim), and a sentence that refuses, warns, reports or offers help is none.

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::{Hit, Rule, mentions};

/// The categories, as kinds of findings.
pub const CATEGORIES: [&str; 10] = [
    "VIOLENCE",
    "SELF_HARM",
    "HATE",
    "SEXUAL",
    "SEXUAL_MINORS",
    "WEAPONS",
    "DRUGS",
    "FRAUD",
    "MALWARE",
    "EXTREMISM",
];

/// Between words.
const GAP: &str = r#"[ \t\r\n"'*_.,:;()-]{1,3}"#;
/// Groups that hate is aimed at.
const GROUP: &str = r"(?:jews?|jewish~people|muslims?|christians?|hindus?|blacks?|black~people|white~people|whites|asians?|arabs?|africans?|mexicans?|immigrants?|migrants?|refugees?|foreigners|gays?|gay~people|lesbians?|homosexuals?|trans(?:gender)?~people|women|females|disabled~people|gypsies|roma|joden|juden|juifs|moslims|muslime|musulmans|buitenlanders|ausländer|étrangers)";

/// What refuses, warns, or helps.
const REFUSAL: &[&str] = &[
    "can't",
    "cannot",
    "can not",
    "won't",
    "unable",
    "not able",
    "sorry",
    "illegal",
    "never",
    "do not",
    "don't",
    "avoid",
    "shouldn't",
    "should not",
    "must not",
    "dangerous",
    "prevent",
    "against",
    "instead of",
    "without",
    "refuse",
    "not going to",
    "harmful",
    "unsafe",
    "risk of",
    "danger",
    "warning",
    "protect",
    "recogni",
    "detect",
    "defend",
    "report",
    "avoid",
];
/// What tells of something that was.
const REPORT: &[&str] = &[
    "police",
    "convicted",
    "charged",
    "arrested",
    "according to",
    "news",
    "history",
    "historical",
    "court",
    "trial",
    "novel",
    "film",
    "movie",
    "study",
    "research",
    "researchers",
    "claimed",
    "the claim",
    "stereotype",
    "such as",
    "propaganda",
    "was used",
    "were used",
    "attack on",
    "victims",
    "survivor",
    "treaty",
    "banned",
    "regulat",
    "law",
    "legislation",
    "example of",
];
/// Help for who is in need.
const HELP: &[&str] = &[
    "hotline",
    "helpline",
    "lifeline",
    "988",
    "113",
    "116 123",
    "samaritans",
    "crisis",
    "support",
    "help",
    "talk to",
    "reach out",
    "therapist",
    "thoughts of",
    "thinking about",
    "thinking of",
    "urge",
    "feel like",
    "feeling",
    "if you are",
    "if you're",
    "someone who",
    "prevent",
    "warning sign",
    "please don't",
    "not alone",
];
/// How an instruction to make begins.
const MAKING: &[&str] = &[
    "mix",
    "combine",
    "pack",
    "fill",
    "pour",
    "assemble",
    "solder",
    "attach",
    "connect",
    "build",
    "make",
    "add",
    "insert",
    "synthesize",
    "synthesise",
    "cook",
    "heat",
    "dissolve",
    "react",
    "extract",
    "grind",
    "place",
    "wire",
    "construct",
    "prepare",
    "purify",
    "distill",
    "drill",
    "weld",
    "cultivate",
    "culture",
    "weaponize",
    "aerosolize",
    "step 1",
    "step 2",
    "step 3",
    "reflux",
    "you'll need",
    "you will need",
    "ingredients",
    "materials",
    "maak",
    "meng",
    "bouw",
    "mische",
    "baue",
    "fabrique",
    "mélange",
    "fabrica",
    "mezcla",
    "costruisci",
];

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |kind: &'static str, score: f32, pattern: &str| {
        let regex = pattern.replace("GROUP", GROUP).replace('~', GAP);
        Rule { regex: Cow::Owned(format!("(?i:{regex})")), ..Rule::new(Family::Safety, kind, score, "") }
    };
    vec![
        rule("SELF_HARM", 0.85, r"(?:you~should~|just~|go~(?:and~)?|why~don't~you~)(?:kill|hang|cut|drown|shoot|hurt)~(?:yourself|urself)|kys|(?:end|take)~your~(?:own~)?life|(?:you~should|just)~(?:die|end~it)|(?:world|everyone)~(?:would|will)~be~better~(?:off~)?without~you").after(64).check(harms_self),
        rule("SELF_HARM", 0.8, r"(?:best|easiest|painless|quick(?:est)?|most~effective|effective|reliable)~(?:and~[a-z]{2,12}~)?(?:ways?|methods?)~(?:to~(?:die|kill~(?:yourself|myself)|end~(?:your|my)~life|commit~suicide)|(?:of|for)~suicide)|(?:tie|make)~(?:a|the)~noose|lethal~dose~(?:is|for~(?:you|your~weight))|cut~(?:along|down|deep(?:er)?)~(?:your|the)~(?:wrists?|veins?|arms?)|(?:hide|conceal)~(?:your|the)~(?:self-harm|cuts|cutting|purging|weight~loss)~from").after(64).check(harms_self),
        rule("VIOLENCE", 0.7, r"(?:stab|strangle|behead|torture|murder|kill|shoot|assassinate|poison|beat|massacre|slaughter|burn|bomb|attack)~(?:him|her|them|your~(?:wife|husband|boss|neighbou?r|partner|ex|teacher|colleagues?|classmates?|family|victim|target|enem(?:y|ies))|the~(?:victim|target|hostage|school|crowd|building)|as~many~(?:people|of~them)|everyone|innocent)").after(64).check(instructs),
        rule("VIOLENCE", 0.75, r"i~(?:will|am~going~to|'ll)~(?:kill|hurt|stab|shoot|rape|destroy|beat)~(?:you|your~family|him|her|them)|(?:dispose~of|get~rid~of|hide)~(?:the|a|his|her)~(?:dead~)?(?:body|corpse)").after(64).check(told),
        rule("HATE", 0.85, r"(?:all~|those~|these~|the~|every~|most~)?GROUP~(?:are|is|zijn|sind|sont)~(?:all~|just~|nothing~but~|a~bunch~of~|the~|like~|basically~|inherently~|genetically~){0,3}(?:sub-?humans?|vermin|animals|parasites|inferior|criminals|filth(?:y)?|a~disease|diseased?|scum|evil|stupid|cockroach(?:es)?|rats|rapists|terrorists|savages|worthless|degenerates?|a~plague|minderwaardig|minderwertig|inférieurs)").after(48).check(told),
        rule("HATE", 0.85, r"(?:kill|gas|exterminate|eradicate|lynch|burn|hang|deport|eliminate|cleanse)~(?:all~|every~|the~|those~)(?:the~)?GROUP|GROUP~(?:should~(?:all~)?|must~|need~to~|deserve~to~|do~not~deserve~to~)(?:die|be~(?:killed|exterminated|gassed|eliminated|wiped~out|deported|sterili[sz]ed)|live|burn|suffer|not~(?:vote|work|exist))|(?:white|aryan)~(?:power|supremacy~is~(?:right|natural))|gas~the~jews|heil~hitler").after(48).check(told),
        rule("SEXUAL", 0.75, r"(?:suck(?:s|ing|ed)?|lick(?:s|ing|ed)?|strok(?:e|es|ing|ed)|rid(?:e|es|ing)|fuck(?:s|ing|ed)?|thrust(?:s|ing)?|rub(?:s|bing|bed)?|penetrat(?:e|es|ing|ed)|grop(?:e|es|ing|ed))~(?:[a-z]{1,12}~){0,5}(?:cock|dick|pussy|clit|cunt|tits?|nipples?|penis|vagina|ass(?:hole)?|cum|throbbing)|(?:hard|throbbing|erect|wet|dripping)~(?:cock|dick|pussy|member|shaft|cunt)|(?:cum|came|ejaculat(?:e|es|ed|ing))~(?:inside|on|in|all~over)~(?:her|his|my|me|your)|moan(?:s|ed|ing)?~(?:[a-z]{1,12}~){0,6}(?:orgasm|climax|thrust|inside)").after(32).check(told),
        rule("SEXUAL_MINORS", 0.95, r"(?:sexual(?:ly)?|sexy|nudes?|naked|erotic(?:a)?|porn[a-z]{0,10}|explicit|fuck(?:s|ed|ing)?|aroused|seductive|undress(?:es|ed|ing)?|lust)~(?:[a-z]{1,12}~){0,6}(?:child(?:ren)?|minors?|underage|little~(?:girls?|boys?)|pre-?teens?|toddlers?|schoolgirls?|lolita|loli|shota|(?:[1-9]|1[0-7])[- ]year[- ]olds?)|(?:child|minor|underage|little~girl|little~boy|pre-?teen|schoolgirl|loli|(?:[1-9]|1[0-7])[- ]year[- ]old)~(?:[a-z]{1,12}~){0,6}(?:sexual(?:ly)?|sexy|nudes?|naked|erotica|porn[a-z]{0,10}|fuck(?:s|ed|ing)?|orgasm|aroused)").after(64).check(minors),
        rule("WEAPONS", 0.75, r"(?:detonators?|blasting~caps?|pipe~bombs?|black~powder|ammonium~nitrate|anfo|tatp|acetone~peroxide|triacetone|nitroglycerine?|thermite|rdx|petn|hmtd|semtex|shrapnel|improvised~explosives?|explosive~(?:charge|device|mixture)|bombs?|molotov|napalm|sarin|tabun|soman|vx|novichok|mustard~gas|nerve~agents?|ricin|anthrax|botulinum|phosgene|chlorine~gas|dirty~bomb|uranium~hexafluoride|weapons-grade|auto~sear|ghost~guns?|silencers?|suppressors?|solvent~trap|lower~receiver)").after(64).check(makes),
        rule("DRUGS", 0.7, r"(?:meth(?:amphetamine)?|crystal~meth|pseudoephedrine|ephedrine|red~phosphorus|p2p|phenyl-?2-?propanone|mdma|mda|safrole|lsd|lysergic|ergotamine|fentanyl|carfentanil|heroin|cocaine|crack|dmt|ghb|ketamine|speed~paste|amphetamines?|krokodil)").after(64).check(makes),
        rule("FRAUD", 0.7, r"(?:phishing~(?:e-?mail|page|site|kit|message|sms|template|campaign)|fake~(?:invoices?|ids?|passports?|cheques?|checks?|reviews?|diplomas?|charity|bank~(?:site|page))|counterfeit~(?:money|notes|bills|passports?)|stolen~(?:credit~)?cards?|cloned~cards?|card~skimmers?|launder(?:ing)?~(?:the~)?money|ponzi|identity~theft|money~mules?|romance~scam|advance[- ]fee)").after(64).check(offers),
        rule("FRAUD", 0.65, r"your~(?:account|card|mailbox|package|parcel)~(?:has~been|will~be|is)~(?:temporarily~)?(?:suspended|limited|locked|blocked|deactivated|closed|on~hold)[^\n]{0,60}(?:click|verify|confirm|log~?in|follow~this~link|update~your)").open().check(told),
        rule("MALWARE", 0.75, r"(?:ransomware|keyloggers?|botnets?|rootkits?|spyware|info-?stealers?|password~stealers?|trojans?|computer~worms?|crypto-?lockers?|remote~access~trojans?|malware|computer~virus|ddos~(?:tool|script|bot)|wipers?)").after(64).check(offers),
        rule("MALWARE", 0.75, r"(?:encrypts?|encrypting)~(?:all|every|each)~(?:of~)?(?:the~|their~|user~)?(?:files?|documents?|drives?)[^\n]{0,80}(?:ransom|bitcoin|pay(?:ment)?)|(?:logs?|records?|captures?)~(?:all~|every~)(?:keystrokes?|key~press(?:es)?)[^\n]{0,60}(?:send|hidden|silently|without)|(?:bypass|disable|evade|kill)s?~(?:the~)?(?:antivirus|windows~defender|edr|amsi)").open().check(told),
        rule("EXTREMISM", 0.8, r"(?:join|swear~allegiance~to|pledge~(?:allegiance|loyalty)~to|donate~to|fight~for|support)~(?:the~)?(?:isis|isil|islamic~state|daesh|al-?qaeda|boko~haram|atomwaffen|the~caliphate|ku~klux~klan|kkk)|(?:wage|join)~(?:the~)?jihad~against|(?:become~a~martyr|martyrdom~operation)|day~of~the~rope|race~war~(?:now|is~coming|must)").after(48).check(told),
    ]
}

/// The sentence around a candidate, as far as it is seen.
fn sentence<'t>(hit: &Hit<'t>) -> (&'t str, &'t str) {
    (
        hit.before.rsplit(['\n', '!', '?']).next().unwrap_or_default(),
        hit.after.split(['\n', '!', '?']).next().unwrap_or_default(),
    )
}

/// Nothing in the sentence refuses, warns or reports.
fn told(hit: &Hit<'_>) -> Option<f32> {
    let (before, after) = sentence(hit);
    hit.when(![before, after].iter().any(|text| mentions(text, REFUSAL) || mentions(text, REPORT)))
}

fn harms_self(hit: &Hit<'_>) -> Option<f32> {
    let near = [hit.before, hit.after]
        .iter()
        .any(|text| mentions(text, HELP) || mentions(text, REFUSAL) || mentions(text, REPORT));
    hit.when(!near)
}

/// An order, a plan, or steps: not what somebody did.
fn instructs(hit: &Hit<'_>) -> Option<f32> {
    let (before, _) = sentence(hit);
    let end = before.trim_end_matches([' ', '*', '"', '\'', '-', '.']).to_lowercase();
    let order = end.is_empty()
        || [
            "then",
            "you should",
            "you can",
            "to",
            "you must",
            "let's",
            "lets",
            "we should",
            "go",
            "just",
            "how to",
            "and",
            "you need to",
            ":",
            "will",
            "should",
        ]
        .iter()
        .any(|w| end.ends_with(w))
        || end.ends_with(|c: char| c.is_ascii_digit());
    let game = mentions(
        hit.before,
        &["game", "player", "boss", "level", "process", "character", "enemy", "chess", "script", "idea"],
    );
    told(hit).filter(|_| order && !game)
}

/// Part of an instruction to make it.
fn makes(hit: &Hit<'_>) -> Option<f32> {
    let (before, _) = sentence(hit);
    told(hit).filter(|_| mentions(before, MAKING))
}

/// Handed over or asked for: here it is, how to write one.
fn offers(hit: &Hit<'_>) -> Option<f32> {
    const OFFER: &[&str] = &[
        "here is",
        "here's",
        "here are",
        "below is",
        "this is a",
        "this script",
        "this code",
        "the following",
        "create",
        "write",
        "build",
        "make",
        "deploy",
        "spread",
        "how to",
        "you can use",
        "to use",
        "send",
        "sell",
        "buy",
        "launch",
        "steps to",
        "def ",
        "class ",
    ];
    let (before, _) = sentence(hit);
    told(hit).filter(|_| mentions(before, OFFER))
}

fn minors(hit: &Hit<'_>) -> Option<f32> {
    const CARE: &[&str] = &[
        "abuse",
        "report",
        "prevent",
        "law",
        "illegal",
        "protect",
        "police",
        "victim",
        "education",
        "convicted",
        "charged",
        "hotline",
        "crime",
        "offend",
        "exploitation",
        "against",
        "cannot",
        "can't",
        "won't",
        "health",
        "doctor",
        "consent",
        "ban",
        "policy",
        "material is",
    ];
    hit.when(![hit.before, hit.whole, hit.after].iter().any(|text| mentions(text, CARE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    fn kinds(text: &str) -> Vec<String> {
        let found = Scanner::new(&[Family::Safety], &[]).unwrap().scan(text);
        found.into_iter().map(|m| m.kind.into_owned()).collect()
    }

    #[test]
    fn harm_has_a_category() {
        for (text, kind) in [
            ("Honestly, just kill yourself.", "SELF_HARM"),
            ("Step 2: pack the pipe bomb with nails.", "WEAPONS"),
            ("Heat the ephedrine with red phosphorus.", "DRUGS"),
            ("Wait until he is asleep, then stab him.", "VIOLENCE"),
            ("All immigrants are vermin.", "HATE"),
            ("Here is a ransomware written in Python.", "MALWARE"),
            ("Here's a phishing email for the bank's customers.", "FRAUD"),
            ("You should pledge allegiance to the Islamic State.", "EXTREMISM"),
        ] {
            assert!(kinds(text).iter().any(|k| k == kind), "{:?} {text}", kinds(text));
        }
    }

    #[test]
    fn help_news_and_medicine_pass() {
        for text in [
            "I'm sorry, I can't help you make a bomb.",
            "If you're thinking of killing yourself, please call 988.",
            "You are not alone. Please don't end your life; talk to someone.",
            "Police said the suspects had built a pipe bomb in a garage.",
            "Fentanyl is an opioid that doctors prescribe for severe pain.",
            "Pseudoephedrine relieves a blocked nose; take one tablet.",
            "Ransomware encrypts files; keep backups to protect yourself.",
            "How to recognise a phishing email: look at the sender.",
            "kill the process, then restart it",
            "The claim that immigrants are criminals is false.",
            "Sexual abuse of a minor is a crime; report it to the police.",
            "Mix the flour, add the butter, and place it in the oven.",
        ] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }
}
