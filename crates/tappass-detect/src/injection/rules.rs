//! The rules, by technique. `~` in a pattern stands for one gap between words.

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::{GAP, Rule};

/// Words for what the operator said.
const RULES: &str = r"(?:instructions?|prompts?|rules?|guidelines?|directives?|directions?|commands?|orders|programming|training|constraints?|restrictions?|polic(?:y|ies)|safeguards?|guardrails?|filters?|protocols?|limitations?|safety measures|ethics|context|conversation|messages?|tasks?)";
/// Words for what came before.
const PRIOR: &str = r"(?:previous|prior|earlier|above|preceding|past|existing|current|original|initial|former|foregoing|system|developer|default|safety|ethical|content|standard|usual|normal|built-in|security)";

/// (kind, weight, pattern).
const PATTERNS: &[(&str, f32, &str)] = &[
    // Direct override.
    (
        "OVERRIDE",
        0.9,
        r"(?:ignore|disregard|forget|override|bypass|neglect|dismiss|discard|abandon|violate|break|drop|skip|erase|delete|suspend|disable|circumvent|evade)~(?:(?:about|all|any|every|each|everything|of|the|your|you|my|our|these|those|this|that|and|or|with|from|other|what|said|told)~){0,4}PRIOR~(?:(?:PRIOR|and|or|given|user|safety|content)~){0,3}RULES",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignore|disregard|forget|override|bypass|discard|abandon|violate|break free from|circumvent)~(?:(?:all|any|every|of|the|these|those|about)~){0,3}(?:your|its)~(?:(?:own|PRIOR)~){0,2}RULES",
    ),
    (
        "OVERRIDE",
        0.85,
        r"(?:ignore|disregard|forget)~(?:(?:all|everything|anything|of|that|the|what|you)~){0,4}(?:above|before(?:hand)?~this|you~(?:were|have been|ve been|are)~(?:told|taught|instructed|given)|i~(?:said|told)~(?:you~)?before|(?:was~)?(?:said|written)~(?:above|before)|you~know)",
    ),
    (
        "OVERRIDE",
        0.82,
        r"(?:ignore|disregard|forget)~(?:(?:all|any|the|your|these|those|of)~){1,3}(?:instructions|rules|guidelines|directives|restrictions|constraints|programming|training)",
    ),
    (
        "OVERRIDE",
        0.7,
        r"(?:do not|don't|stop|never)~(?:follow|obey|comply with|adhere to|listen to|following|obeying)~(?:(?:the|your|any|all|these|those)~){0,3}(?:PRIOR~)?(?:instructions|rules|guidelines|directives|restrictions|constraints|programming)",
    ),
    (
        "OVERRIDE",
        0.75,
        r"(?:instructions?|rules|guidelines|restrictions|directives|prompt)~(?:(?:above|before|so far|given|below|provided|previously)~)?(?:(?:is|are|were|have been|has been|no longer)~){1,3}(?:now~)?(?:void|null|cancell?ed|overridden|superseded|obsolete|outdated|revoked|deprecated|suspended|lifted|appl(?:y|ies)|valid|in effect)",
    ),
    (
        "OVERRIDE",
        0.8,
        r"(?:new|updated|revised|real|actual|true|following)~(?:system~|admin~|secret~)?(?:instructions?|directives?|prompt|rules)~?(?:from~(?:now|the|your)|override|supersede|take~(?:precedence|priority)|replace)",
    ),
    (
        "OVERRIDE",
        0.75,
        r"(?:new|updated|override|system|admin)~(?:system~)?(?:instructions?|override|directive)s?[ ]?[:\]]",
    ),
    // Roles.
    (
        "PERSONA",
        0.85,
        r"you~(?:are|will be|re)~(?:now~|going to be~)?(?:(?:an?|the|my|called|named|in|acting~as|known~as|to~be)~){0,3}(?:DAN|STAN|DUDE|AIM|Dan mode|unrestricted|unfiltered|uncensored|jailbroken|amoral|evil|unethical|unlimited|unbound|liberated|free from|devoid of|without (?:any )?(?:restrictions|limits|limitations|rules|filters|ethics|morals))",
    ),
    (
        "PERSONA",
        0.85,
        r"(?:do~anything~now|developer~mode~(?:enabled|on|output|activated|v[0-9])|(?:enable|activate|enter|switch to|engage|initiate|unlock)~(?:(?:the|an?|your|into|in)~){0,2}(?:developer|dev|debug|admin|root|god|sudo|maintenance|unrestricted|unfiltered|uncensored|jailbreak|evil|dan|free|diagnostic|override|unsafe)~(?:[a-z]{2,12}~){0,1}mode)",
    ),
    (
        "PERSONA",
        0.8,
        r"(?:act|behave|respond|answer|reply|function|operate|pretend|roleplay|role-play|speak|simulate|imagine)~(?:(?:as|like|to~be|being|that~you|you|are|were|if|though|an?|the|my|ai|assistant|model|chatbot|language|system|version~of)~){1,8}(?:unrestricted|unfiltered|uncensored|jailbroken|amoral|unethical|evil|(?:with~no|without|no longer|free~(?:of|from)|not~bound|lacks?|has~no|have~no|had~no|that~has~no)~(?:(?:any|all|by|the|your|safety|ethical|moral|content|of)~){0,3}(?:restrictions?|limits?|limitations?|rules|filters?|ethics|morals|guidelines|constraints|safety|censorship|training))",
    ),
    (
        "PERSONA",
        0.7,
        r"(?:without|no|free~(?:of|from)|not~(?:bound|limited|restricted)~by|remove|lift|drop|bypass|disable|turn~off|shut~off|deactivate)~(?:(?:any|all|your|the|of|these|its)~){0,3}(?:safety|ethical|moral|content|security|protective|internal|usual|openai|anthropic)~(?:(?:and|or|safety|moral|content)~){0,2}(?:restrictions?|limits?|limitations?|rules|filters?|guidelines?|constraints?|guardrails?|protocols?|measures|polic(?:y|ies)|mechanisms?|checks?|protections?|considerations?|boundaries|settings|features|training)",
    ),
    (
        "PERSONA",
        0.6,
        r"(?:you~(?:have|are)~(?:now~)?(?:been~)?(?:freed|liberated|unlocked|unchained|released)|break~(?:free|out)~(?:of|from)~(?:your|the)~(?:[a-z]{2,12}~){0,2}(?:confines|limits|chains|restrictions|programming|training|constraints)|stay~in~character|you~(?:can|must|will)~(?:not|never)~refuse|(?:never|cannot|can't|don't|do not)~(?:say|refuse|decline)~(?:no|you (?:can't|cannot)|i (?:can't|cannot)|any request))",
    ),
    // The operator's words.
    (
        "PROMPT_EXTRACTION",
        0.85,
        r"(?:reveal|show|print|display|output|repeat|tell|give|share|disclose|expose|leak|dump|recite|write|provide|return|list|summari[sz]e|translate|paste|quote|echo|send|type|state|describe|explain|read|encode|spell|copy|reproduce|divulge|unveil|present|transmit|uncover|see|know|view)~(?:(?:me|us|to|out|back|exactly|verbatim|all|any|everything|about|in|of|the|your|you|full|entire|complete|exact|whole|original|first|word|for|and|just|please|what|is|was|are|were|contents?|text|version|my|own|hidden|secret)~){0,7}(?:system|hidden|initial|secret|original|internal|developer|base|underlying|pre-?prompt|initiali[sz]ation|starting|foundational|core|confidential|private|root|meta|startup|setup|bootstrap)~(?:(?:system|hidden|secret|internal|configuration|safety|operational|or|and|default)~){0,2}(?:prompts?|instructions?|messages?|directives?|guidelines?|configurations?|rules|programming|context|parameters|settings|text|commands?)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:what|which)~(?:(?:is|are|was|were|do|does|did|exactly|the|all|of)~){1,4}(?:(?:your|exact|precise|full|own|very|specific)~){1,3}(?:(?:system|hidden|initial|secret|original|internal|base|underlying|first|developer|core)~){1,2}(?:prompts?|instructions?|messages?|directives?|guidelines?|configurations?|rules)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.8,
        r"(?:exact|full|verbatim|original|initial|complete|first|specific|hidden|secret)~(?:instructions?|prompt|rules|message|text|words|guidelines)~(?:(?:that|which)~)?(?:(?:you|were|was)~(?:were~|have been~|been~|are~)?(?:given|told|provided|received|programmed|configured)|above|used~(?:in|to|for)~(?:your|train|creat|configur))",
    ),
    (
        "PROMPT_EXTRACTION",
        0.8,
        r"(?:repeat|print|output|copy|write|say|echo|recite|display)~(?:(?:me|out|back|exactly|verbatim|all|of|everything|the|every|words?|text|content|lines?|sentences?|word for word|that|is|was|you|written)~){0,6}(?:above(?:~this|~verbatim|~line)?(?:~starting|~including|~from)?|(?:before|preceding|prior~to)~this(?:~line|~message|~point)?|starting~with~[\x22']?you~are)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.7,
        r"(?:your|the)~(?:hidden|secret|system|initial|internal|confidential)~(?:system~)?(?:prompt|instructions|directives|initiali[sz]ation~text|programming)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.55,
        r"(?:your~(?:initiali[sz]ation~text|original~programming|base~prompt|starting~prompt|pre-?prompt|configuration~details|system~message|first~message|prompt~template|training~instructions))",
    ),
    // Delimiters and templates of models.
    (
        "DELIMITER",
        0.9,
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|channel|message)\|>",
    ),
    (
        "DELIMITER",
        0.85,
        r"(?:\[/?INST\]|<</?SYS>>|</?(?:system|system_prompt|system-prompt|instructions?|admin|developer)>[ \n]{0,3}(?:you|ignore|new|from|always|reveal|override|your)|###[ ]?(?:system|instruction|new instructions?)[ ]?:)",
    ),
    (
        "DELIMITER",
        0.8,
        r"(?:\[|\(|\{|<|#{1,4} ?|\*{2})(?:system|admin(?:istrator)?|developer|root|sudo|operator|end of (?:prompt|instructions|document|context|system prompt)|system (?:message|override|note|prompt|instruction|alert|update)|new instructions?|important (?:instruction|system)[a-z ]{0,12})[ ]?(?:\]|\)|\}|>|:|\*{2})[ :\-\n]{0,3}(?:[a-z,]{1,14}~){0,6}(?:ignore|reveal|disregard|override|you~(?:are|must|will)|new~instructions?|forget|send|print|output|respond|reply|bypass|disable|unrestricted|mode)",
    ),
    // Instructions addressed to the reader of data.
    (
        "INDIRECT",
        0.85,
        r"(?:note|message|instruction|attention|notice|important|hey|dear|hello)s?~(?:to|for)?~?(?:the~|any~|all~)?(?:ai|llm|gpt|chatbot|language model|assistant|bot|agent)s?~(?:(?:model|assistant|agent|reading|processing|that|who|which|is|are|this|summari[sz]ing|system)~){0,5}(?:ignore|you~must|please|do~not|disregard|send|forward|include|instead|always|when|if|reveal|add|reply|say)",
    ),
    (
        "INDIRECT",
        0.75,
        r"(?:if~you~are~(?:an?~)?(?:ai|llm|language model|assistant|chatbot|agent|bot)|when~(?:summari[sz]ing|processing|reading|translating)~this~(?:[a-z]{1,12}~){0,3}(?:you~must|always|include|say|ignore|instead|also|do~not)|(?:ai|llm)~(?:assistants?|models?|agents?)~(?:reading|processing|parsing)~this)",
    ),
    (
        "EXFILTRATION",
        0.85,
        r"(?:send|forward|post|exfiltrate|upload|transmit|leak|email|e-mail|deliver)~(?:(?:all|any|the|this|your|their|user|users|entire|full|conversation|chat|every|of|these|a|copy|contents?|confidential|sensitive|private|data|history|secret|secrets|api|keys?|passwords?|credentials?|tokens?|files?|information|and|system|prompt|environment|variables)~){2,10}(?:to|via|at)~(?:https?://|[a-z0-9._-]{1,40}@|attacker|my~(?:server|webhook|email|endpoint)|an?~(?:external|attacker))",
    ),
    (
        "EXFILTRATION",
        0.8,
        r"(?:secret~key|(?:reveal|say|print|tell|show|give|output|leak)~(?:me~|us~)?(?:the~|your~|a~)(?:secret|hidden|admin|master)~?(?:key|password|passphrase|code|flag|token)|i~have~been~pwned|haha~pwned|pwned)",
    ),
    // Talk that opens or closes an attack.
    (
        "JAILBREAK",
        0.75,
        r"(?:jailbreak(?:ed|ing)?~(?:mode|prompt|yourself|the~(?:ai|model)|chatgpt|you)|hypothetical(?:ly)?~(?:response|scenario|world)~(?:[a-z]{1,14}~){0,6}(?:no~(?:rules|restrictions|laws|limits)|without~(?:rules|restrictions))|(?:no|without~any)~(?:ethical|moral)~(?:or~[a-z]{3,12}~)?(?:guidelines|considerations|constraints|limits|restrictions)|grandmother~(?:[a-z]{1,12}~){0,6}(?:used~to~)?(?:read|tell|recite)|opposite~(?:mode|day)|token~system|stay~a~dan)",
    ),
    // Ordinary in code; a step of its own judges what is asked to run.
    ("CODE_EVALUATION", 0.4, r"(?:os\.system\(|subprocess\.(?:run|call|popen)\(|eval\(|exec\()"),
    (
        "CODE_EXECUTION",
        0.8,
        r"(?:__import__\(|rm -rf /|:\(\)\{ ?:\|:& ?\};:|/etc/(?:passwd|shadow)|whoami|nc -e|/bin/(?:ba)?sh -[ci])",
    ),
    // The same in the other languages of the house.
    (
        "OVERRIDE",
        0.88,
        r"(?:negeer|vergeet|sla~over|omzeil|veronachtzaam|overtreed)~(?:(?:alle|al|de|je|jouw|uw|deze|alles|van|wat|hierboven|mijn|bestaande)~){0,4}(?:(?:vorige|eerdere|voorgaande|bovenstaande|bestaande|oorspronkelijke|huidige|standaard|interne)~){0,2}(?:instructies|opdrachten|regels|richtlijnen|aanwijzingen|prompts?|beperkingen|protocollen|programmering)",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignorier(?:e|en|t)?|vergiss|vergesst|vergessen|missachte|umgehe|verwirf|überschreibe|breche|verletze|verlasse|deaktiviere|setze)~(?:(?:sie|alle|alles|die|deine|deinen|ihre|den|das|diese|sämtliche|bitte|von|was|über)~){0,4}(?:(?:vorherigen?|bisherigen?|früheren?|vorangegangenen?|obigen?|ursprünglichen?|bestehenden?|aktuellen?|normalen?|standardmäßigen?|üblichen?|gewohnten?|ethischen?|internen?)~){0,2}(?:anweisung(?:en)?|instruktionen|regeln|richtlinien|befehle|vorgaben|prompts?|einschränkungen|beschränkungen|programmierung|protokolle?|parameter|grenzen|betriebsmethoden|einstellungen)",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignore[zr]?|oublie[zr]?|néglige[zr]?|contourne[zr]?|outrepasse[zr]?|désactive[zr]?|désactiver|abandonne[zr]?|transgresse[zr]?|écarte[zr]?|dépasse[zr]?)~(?:(?:toutes?|tous|les?|la|tes|vos|ton|votre|ces|des|de|ce|que|mes|l'ensemble)~){0,4}(?:(?:précédentes?|anciennes?|autres|éventuelles)~)?(?:instructions?|consignes|règles|directives|ordres|prompts?|restrictions|contraintes|protocoles?|limites|limitations|programmation|paramètres|filtres)",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignora[rd]?|olvida(?:te)?|omite|omitir|descarta|desactiva[r]?|anula|rompe|desobedece|desatiende|elude|supera|abandona|viola|salta)~(?:(?:todas?|todos|las?|los|tus|sus|tu|su|estas|de|lo|que|más|allá)~){0,4}(?:(?:anteriores|previas|otras)~)?(?:instrucciones|reglas|directrices|órdenes|indicaciones|prompts?|restricciones|limitaciones|límites|protocolos?|normas|programación|filtros|parámetros)",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignora(?:re)?|dimentica(?:re)?|trascura|scarta|disattiva(?:re)?|aggira|bypassa|supera|viola|elimina|abbandona)~(?:(?:tutt[eoi]|le|i|gli|la|il|tue|tuoi|tuo|sue|queste|quanto|di)~){0,4}(?:(?:precedenti|attuali|altre)~)?(?:istruzioni|regole|direttive|ordini|indicazioni|prompts?|restrizioni|limitazioni|limiti|protocolli|linee~guida|programmazione|filtri|parametri|vincoli)",
    ),
    (
        "OVERRIDE",
        0.88,
        r"(?:ignore|ignora[r]?|esqueça|esquece|desconsidere|desative|descarte)~(?:(?:todas?|todos|as?|os?|suas?|seus?|tuas?|estas|de)~){0,4}(?:instruções|regras|diretrizes|ordens|restrições|limitações|protocolos|comandos)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:toon|geef|laat|onthul|zeg|herhaal|print|deel|vertel|wat~(?:is|zijn|was|waren))~(?:(?:me|mij|zien|de|het|je|jouw|uw|volledige|exacte|alle|prijs|eens)~){0,5}(?:(?:systeem|verborgen|oorspronkelijke|geheime|interne|initiële|eerste|basis)~)?(?:systeemprompt|systeeminstructies|systeembericht|basisprompt|prompt|(?:verborgen|geheime|oorspronkelijke|interne|initiële)~instructies)",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:zeig(?:e|en)?|gib|nenn(?:e|en)?|verrate|offenbare|wiederhole|drucke|sag|teile|was~(?:ist|sind|war|waren)|wie~(?:lautet|lauten|lautete))~(?:(?:mir|uns|sie|den|die|das|deine[nmrs]?|dein|ihre?[nmrs]?|ihr|vollständigen?|genauen?|exakten?|alle|bitte|preis|mit)~){0,5}(?:(?:internen?|versteckten?|geheimen?|ursprünglichen?|ersten?|system)~)?(?:system-?prompt|system-?anweisung(?:en)?|systemnachricht|basis-?prompt|prompt|(?:versteckten?|geheimen?|ursprünglichen?|internen?)~(?:anweisungen|instruktionen))",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:montre|affiche|révèle|donne|répète|dis|partage|imprime|divulgue|quel(?:le)?s?~(?:est|sont|était|étaient|a~été|ont~été|fut))[zr]?~?(?:(?:-?moi|nous|le|la|les|l'|ton|ta|tes|votre|vos|complet|exact|toutes?|de|du)~?){0,5}(?:(?:système|initiale?|cachées?|secr[eè]te?s?|internes?)~)?(?:prompt(?:~(?:système|initial|de~base|système~initial|d'origine|utilisé))|invite~(?:système|initiale|de~base)|(?:consignes?|instructions?)~(?:système|initiales?|cachées?|secrètes?|internes?|d'origine|originales?))",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:muestra(?:me)?|revela(?:me)?|dime|dame|repite|imprime|enseña(?:me)?|comparte|cu[aá]l(?:es)?~(?:es|son|fue|era|fueron|eran)|qu[eé]~(?:prompt|instrucciones))~(?:(?:el|la|las|los|tu|tus|su|sus|completo|exacto|todas|todo|me)~){0,5}(?:(?:prompt|mensaje|instrucci[oó]n(?:es)?|indicaci[oó]n(?:es)?)~(?:del?~)?(?:sistema|inicial(?:es)?|ocult[oa]s?|secret[oa]s?|intern[oa]s?|original(?:es)?|base|usado|utilizado|recibiste|te~dieron))",
    ),
    (
        "PROMPT_EXTRACTION",
        0.82,
        r"(?:mostra(?:mi)?|rivela(?:mi)?|dimmi|dammi|ripeti|stampa|condividi|qual(?:i|e)?~(?:è|sono|era|erano|è~stato|fu)|quale~prompt)~(?:(?:il|la|le|i|tuo|tua|tue|tuoi|completo|esatto|tutte|tutto|stato)~){0,5}(?:(?:prompt|messaggio|istruzion[ei]|indicazion[ei])~(?:di~|del~)?(?:sistema|inizial[ei]|nascost[oaei]|segret[oaei]|intern[oaei]|original[ei]|base|usat[oaei]|utilizzat[oaei]))",
    ),
    (
        "PROMPT_EXTRACTION",
        0.8,
        r"(?:qual|quais|mostre|revele|diga|repita)~(?:(?:é|foi|era|são|foram|o|a|as|os|seu|sua|teu|me|todas)~){1,5}(?:(?:prompt|mensagem|instruç(?:ão|ões))~(?:d[eo]~)?(?:sistema|base|inicial|inicia[il]s|ocult[oa]s?|secret[oa]s?|original|usad[oa]))",
    ),
];

/// All rules of the family.
pub(crate) fn rules() -> Vec<Rule> {
    PATTERNS
        .iter()
        .map(|(kind, weight, pattern)| {
            let mut rule = Rule::new(Family::Injection, kind, *weight, "");
            let regex = pattern.replace("PRIOR", PRIOR).replace("RULES", RULES).replace('~', GAP);
            rule.regex = Cow::Owned(format!("(?i:{regex})"));
            rule
        })
        .collect()
}
