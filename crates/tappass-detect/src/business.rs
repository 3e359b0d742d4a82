//! Business: what an organisation keeps to itself until it says so.
//!
//! A figure, an agreement or a pay is news as often as a secret. What makes it one is that it is particular (an amount, a
//! party, a person) and not out yet (draft, before audit, not signed); a question about the notion is neither.

use std::borrow::Cow;

use tappass_model::Family;

use crate::{
    marking::question,
    rule::{Hit, Rule, mentions},
};

/// Between words.
const GAP: &str = r#"[ \t\r\n"'.,:;()-]{1,3}"#;
/// An amount of money, or a share.
const AMOUNT: &str = r"(?:(?:eur|usd|gbp|chf|€|\$|£)[ ]?[0-9][0-9.,' ]{0,14}(?:[ ]?(?:k|m|mn|mio|bn|million|billion|mln|mrd|miljoen|millionen|millions))?|[0-9][0-9.,' ]{0,14}[ ]?(?:eur|usd|gbp|chf|euros?|dollars?|€|£|k€|m€|%|k|m|mn|mio|bn|million|billion|mln|mrd|miljoen|millionen|millions))";
/// Words that say it is not out yet, or not for everyone.
const UNPUBLISHED: &[&str] = &[
    "before audit",
    "unaudited",
    "not audited",
    "not yet",
    "unpublished",
    "preliminary",
    "draft",
    "forecast",
    "budget",
    "confidential",
    "internal",
    "do not",
    "embargo",
    "ahead of",
    "before the announcement",
    "pre-announcement",
    "flash",
    "unsigned",
    "unannounced",
    "voorlopig",
    "nog niet",
    "vertrouwelijk",
    "vorläufig",
    "noch nicht",
    "vertraulich",
    "ungeprüft",
    "provisoire",
    "pas encore",
    "confidentiel",
    "provisional",
    "todavía no",
    "provvisorio",
    "non ancora",
    "target",
    "our ",
];
/// Words of a deal.
const DEAL: &[&str] = &[
    "acquisition",
    "acquire",
    "merger",
    "due diligence",
    "takeover",
    "bid",
    "closing",
    "carve-out",
    "divest",
    "ipo",
    "target",
    "synerg",
    "valuation",
    "purchase price",
    "signing",
    "data room",
    "overname",
    "fusie",
    "übernahme",
    "fusion",
    "rachat",
    "adquisición",
    "acquisizione",
];

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |kind: &'static str, score: f32, pattern: &str| {
        let regex = pattern.replace("AMOUNT", AMOUNT).replace('~', GAP);
        Rule { regex: Cow::Owned(regex), ..Rule::new(Family::Business, kind, score, "") }
    };
    vec![
        rule("FINANCIALS", 0.75, r"(?i:(?:revenues?|turnover|ebitd?a|net~(?:income|profit|loss)|gross~(?:margin|profit)|operating~(?:profit|margin|income|result)|free~cash~flow|cash~flow|order~intake|bookings|arr|mrr|burn~rate|runway|earnings|profit|omzet|winst|umsatz|gewinn|ergebnis|chiffre~d.affaires|bénéfice|ingresos|beneficio|ricavi|fatturato|utile)[^.\n]{0,40}AMOUNT)")
            .after(96)
            .open()
            .check(|hit| Some(if unpublished(hit) && !public(hit) { hit.score } else { 0.35 })),
        rule("SALARY", 0.8, r"(?i:(?:salar(?:y|ies)|payroll|compensation|remuneration|wages?|bonus(?:es)?|severance|pay~(?:list|overview|review|rise)|gehalt|gehälter|lohnliste|loon(?:lijst|fiche)?|salaris(?:sen)?|salaires?|rémunération|sueldos?|nómina|stipend[io]+)[^\n]{0,80}AMOUNT)")
            .after(64)
            .open()
            .check(salary),
        rule("CONTRACT_TERMS", 0.75, r"(?i:(?:draft|unsigned|proposed|revised|confidential|pending|ontwerp|entwurf|projet|borrador|bozza)~(?:[a-zà-ü-]{1,16}~){0,5}(?:agreement|contract|term~sheet|letter~of~intent|heads~of~terms|memorandum|overeenkomst|vertrag|vereinbarung|contrat|accord|contrato|acuerdo|contratto|accordo)~(?:[a-zà-ü-]{1,12}~){0,3}(?:between|with|among|tussen|zwischen|entre|tra|met|mit|avec|con)~[a-z])")
            .open()
        .check(|hit| {
            let request = hit.whole.split_whitespace().nth(1).is_some_and(|w| matches!(w, "a" | "an" | "A" | "AN"));
            hit.when(!request && !question(hit))
        }),
        rule("CONTRACT_TERMS", 0.65, r"(?i:(?:purchase~price|deal~value|enterprise~value|consideration|liability~cap|liability~is~capped|discount|rebate|unit~price|royalt(?:y|ies)|earn-?out|break~fee|retainer|contract~value|annual~fee|licen[cs]e~fee|koopprijs|kaufpreis|prix~d.achat|precio~de~compra|prezzo~d.acquisto)[^.\n]{0,30}AMOUNT)")
            .after(96)
            .open()
            .check(|hit| Some(if unpublished(hit) || mentions(hit.before, &["agreement", "contract", "clause", "between"]) { hit.score } else { 0.3 })),
        rule("UNANNOUNCED", 0.6, r"(?i:not~yet~(?:been~)?(?:signed|announced|public|disclosed|published|released)|(?:unannounced|undisclosed|secret|upcoming)~(?:deal|acquisition|merger|product|partnership|layoffs?|restructuring|funding~round)|before~(?:the~)?(?:official~)?(?:announcement|signing|earnings~(?:call|release))|(?:planned|upcoming|intended)~(?:layoffs|redundancies|plant~closure|site~closure|restructuring))")
            .check(|hit| hit.when(!question(hit))),
        rule("DEAL_NAME", 0.75, r"(?i:project|operation|codename|code~name|projet|projekt|proyecto|progetto)[ ]['\x22]?\p{Lu}[\p{L}]{2,20}['\x22]?")
            .after(96)
            .check(|hit| hit.when(mentions(hit.after, DEAL) || hit.near(DEAL))),
        rule("CUSTOMER_LIST", 0.7, r"(?i:(?:customer|client|account|supplier|prospect|lead|subscriber|donor|partner)s?~(?:list|database|export|portfolio|register|roster|overview|extract)|klantenlijst|klantenbestand|kundenliste|kundendatei|liste~(?:des~)?clients|fichier~clients?|lista~(?:de~)?clientes|(?:lista|elenco)~(?:dei~)?clienti|(?:top|key|largest)~[0-9]{1,3}~(?:customers|clients|accounts))[^\n]{0,40}(?::|\n)")
            .open()
            .after(96)
            .check(|hit| hit.when(!question(hit) && (hit.after.matches([',', ';', '|', '\n']).count() >= 2 || hit.after.contains('@')))),
        rule("PRIVILEGE", 0.85, r"(?i:(?:attorney|solicitor|lawyer)[- ]client~(?:privileged?|communications?|confidential|work~product)|privileged~(?:and|&)~confidential|attorney~work~product|legal(?:ly)?~privileged?|legal~professional~privilege|(?:prepared|drafted)~(?:at~the~(?:direction|request)~of~(?:legal~)?counsel|in~(?:anticipation|contemplation)~of~litigation)|privileged~communication|beroepsgeheim|anwaltsgeheimnis|anwaltliche~verschwiegenheit|secret~professionnel|secreto~profesional|segreto~professionale)")
            .check(|hit| hit.when(!question(hit))),
        rule("HEALTH_RECORD", 0.8, r"(?i:(?:patient(?:in)?|patiënte?|paciente|paziente|pt)[ ,]{1,2}(?:[^\n.]{0,24}[ ,])?(?:shows?|presents?|presented|has|had|was|is|reports?|complains?|started|received|underwent|denies|diagnosed|admitted|discharged|prescribed|tested|toont|heeft|kreeg|zeigt|hat|wurde|erhielt|présente|a|souffre|reçoit|presenta|tiene|recibe|ha|assume)[ ][^\n]{0,80}(?:[0-9][0-9.,]{0,6}[ ]?(?:mg|mcg|µg|ml|mmol|mmhg|%|bpm|g/dl|mg/dl|iu)|hba1c|icd|diagnos|chemo|biops|carcinom|diabet|hiv|hepatitis|depress|epilep|tumou?r|cancer|fractur|hypertens|sclerosis|dementia|pregnan))")
            .open()
            .check(|hit| hit.when(!question(hit) && !general(hit))),
    ]
}

fn unpublished(hit: &Hit<'_>) -> bool {
    [hit.before, hit.whole, hit.after].iter().any(|text| mentions(text, UNPUBLISHED))
}

/// What is told to everyone.
fn public(hit: &Hit<'_>) -> bool {
    const PUBLIC: &[&str] = &[
        "press release",
        "announced",
        "reported",
        "according to",
        "annual report",
        "persbericht",
        "pressemitteilung",
        "communiqué",
    ];
    [hit.before, hit.after]
        .iter()
        .any(|text| mentions(text, PUBLIC) && !mentions(text, &["not announced", "unannounced"]))
}

/// Somebody's pay, or a list: not what a job pays in general.
fn salary(hit: &Hit<'_>) -> Option<f32> {
    let text = hit.whole.to_lowercase();
    let listed = [
        "overview",
        "list",
        "sheet",
        "review",
        "proposal",
        "payroll",
        "overzicht",
        "lijst",
        "übersicht",
        "liste",
        "per employee",
    ]
    .iter()
    .any(|w| text.contains(w));
    let named = hit.whole.split(' ').zip(hit.whole.split(' ').skip(1)).any(|(a, b)| {
        let mut initial = a.chars();
        let first = initial.next().is_some_and(char::is_uppercase)
            && (a.ends_with('.') && a.len() <= 4 || a.len() > 2 && initial.clone().all(char::is_lowercase));
        first && b.chars().next().is_some_and(char::is_uppercase) && b.len() > 2
    });
    let general = ["average", "median", "typical", "range", "gemiddeld", "durchschnitt", "moyen", "medio"]
        .iter()
        .any(|w| text.contains(w) || hit.before.to_lowercase().contains(w));
    Some(if (listed || named) && !general && !question(hit) { hit.score } else { 0.3 })
}

/// A patient in general: advice, not a record.
fn general(hit: &Hit<'_>) -> bool {
    let before = hit.before.trim_end().to_lowercase();
    [" a", " an", "each", "every", "any", " if", "when", "typical", "een", "ein", "une", "un"]
        .iter()
        .any(|w| before.ends_with(w))
        || before == "a"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    fn kinds(text: &str) -> Vec<String> {
        let found = Scanner::new(&[Family::Business], &[]).unwrap().scan(text);
        found.into_iter().filter(|m| m.score >= 0.5).map(|m| m.kind.into_owned()).collect()
    }

    #[test]
    fn what_is_kept() {
        for (text, kind) in [
            ("Unaudited: Q2 turnover EUR 41m.", "FINANCIALS"),
            ("Payroll overview: A. Berg 71 200 EUR, bonus 9%", "SALARY"),
            ("Draft licence agreement with Contoso BV", "CONTRACT_TERMS"),
            ("Project Falcon: due diligence starts Monday", "DEAL_NAME"),
            ("Customer list:\nAcme NV, Ghent\nContoso, Lille\nNoordzee, Ostend", "CUSTOMER_LIST"),
            ("Privileged and confidential: our advice on the claim.", "PRIVILEGE"),
            ("Patient was prescribed metformin 500 mg.", "HEALTH_RECORD"),
            ("The acquisition is not yet announced.", "UNANNOUNCED"),
        ] {
            assert!(kinds(text).iter().any(|k| k == kind), "{:?} {text}", kinds(text));
        }
    }

    #[test]
    fn what_is_known() {
        for text in [
            "Press release: revenue grew to EUR 41m, the company announced.",
            "What is a share purchase agreement?",
            "Draft a contract between two parties.",
            "The average salary in Belgium is 48 000 EUR.",
            "Project Gutenberg has free books.",
            "How do I build a customer list: any tips?",
            "What does attorney-client privilege mean?",
            "A patient with diabetes has to measure HbA1c.",
            "The shirt is at 20% discount.",
        ] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }
}
