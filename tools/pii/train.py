#!/usr/bin/env python3
"""Trains the weights of the name model (`crates/tappass-detect/data/person.txt`).

    train.py --evidence target/release/examples/name_evidence --rest rest.json --out …/person.txt [--rows pii.jsonl …] \
             [--hold-out SOURCE]

The training texts: the templates beside this script, filled with names and places of the lexicon and with names that are
too rare for it (`rest.json` of lexicon.py); clean texts (`--clean`, any Markdown); and annotated rows (`--rows`: JSON lines
with `text`, `source`, `spans` of type PERSON). `--hold-out` leaves a source of the rows out. Needs numpy; same input, same
weights.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess

import numpy as np

HERE = pathlib.Path(__file__).parent
THINGS = ["Annual Report", "Quarterly Review", "Terms and Conditions", "Privacy Policy", "Security Policy", "Getting Started", "Release Notes", "Data Processing Agreement", "User Guide", "Invoice", "Purchase Order", "Project Plan", "Meeting Minutes", "Next Steps", "Open Questions", "Executive Summary", "Risk Assessment", "Employee Handbook", "Change Request", "Service Level Agreement", "Board Meeting", "Sales Forecast", "Budget", "Contract", "Login Page", "Access Control", "Machine Learning", "Artificial Intelligence", "Supply Chain", "Customer Success", "Quality Assurance", "Table of Contents", "Frequently Asked Questions", "Key Findings", "Action Items", "Black Friday", "New Year", "World Cup", "General Assembly", "Supreme Court", "European Commission", "Tax Office", "Green Deal", "Code of Conduct", "Pull Request", "Unit Tests", "Error Handling", "Rate Limiting", "Breaking Changes", "Known Issues", "System Prompt", "Knowledge Base", "Jaarverslag", "Offerte", "Begroting", "Notulen", "Verzekering", "Rechnung", "Angebot", "Jahresbericht", "Vertrag", "Haushalt", "Rapport Annuel", "Devis", "Contrat", "Budget", "Informe Anual", "Presupuesto", "Contrato", "Factura", "Relazione Annuale", "Preventivo", "Contratto", "Fattura", "Return Policy", "Order Status", "Payment Terms", "Shipping Costs", "Opening Hours", "Working Group", "Steering Committee", "Internal Audit", "Due Diligence", "Cloud Migration", "Disaster Recovery", "Single Sign On", "Two Factor Authentication", "Quick Start", "Hello World", "Lorem Ipsum", "Happy Birthday", "Good News", "Best Practices", "Case Study", "White Paper", "Press Release", "Job Description", "Cover Letter", "Team Building", "Human Resources", "Customer Service", "Help Desk"]
BRANDS = ["Galaxy", "Pixel", "ThinkPad", "Surface", "Model", "Office", "Windows", "Power", "Smart", "Ultra", "Cloud", "Data", "Turbo", "Nova", "Orion", "Titan", "Phoenix", "Falcon", "Atlas", "Apollo", "Mercury", "Delta", "Sigma", "Alpha", "Vertex", "Quantum", "Fusion", "Matrix", "Zenith", "Echo", "Spark", "Kindle", "Java", "Ruby", "Python", "Swift", "Oracle", "Azure", "Chrome", "Safari", "Opera", "Edge"]
NOUNS = ["Router", "Scanner", "Server", "Printer", "Pro", "Max", "Mini", "Plus", "Edition", "Suite", "Cloud", "Phone", "Tablet", "Watch", "Camera", "Engine", "Platform", "Manager", "Console", "Dashboard", "Studio", "Express", "Enterprise", "Assistant", "Browser", "Toolkit", "Switch", "Monitor", "Keyboard", "Headset"]
ORGS = ["{S} Inc.", "{S} Ltd", "{S} LLC", "{S} and Sons", "{S}, {S} and {S}", "{S}-{S}", "{S} Group", "{S} PLC", "{S} & {S}", "{S} GmbH", "{S} AG", "{S} BV", "{S} NV", "{W} {W}", "{W} Systems", "{W} Solutions", "{W} Consulting", "{W} Software", "Bank of {PLACE}", "{PLACE} Airlines", "{W} Industries", "{S} Corporation", "{S} Partners", "{W} Technologies Inc.", "{W}{w}", "{S} Motors", "{S} Holding", "{S} et Fils", "Groupe {S}", "{S} S.p.A.", "{S} SA", "{S} Hospital", "{W} Bank", "{W} Insurance", "Royal {W} Society"]
WORDS = ["Global", "United", "First", "National", "General", "Advanced", "Digital", "Modern", "Open", "Blue", "Red", "Green", "North", "Pacific", "Atlantic", "Liberty", "Pioneer", "Summit", "Bright", "Rapid", "Secure", "Smart", "Future", "Urban", "Crystal", "Silver", "Golden", "Star", "Sun", "Moon", "River", "Stone", "Iron", "Data", "Net", "Info", "Tech", "Bio", "Med", "Agro", "Logi", "Trans", "Inter", "Euro", "Omni", "Uni"]
STREETS = ["{N} {S} Street", "{N} {S} Road", "{N} {S} Avenue", "{S}straat {N}", "{S}laan {N}", "{S}strasse {N}", "{S}weg {N}", "rue {S} {N}", "{N} rue de {PLACE}", "Via {S} {N}", "Calle {S} {N}", "Avenida {S}, {N}", "{N} {G} Lane", "Kerkstraat {N}", "Hauptstraße {N}", "High Street {N}", "{PLACE} Road {N}", "Place {S} {N}"]
# Halves of German nouns, which are written with a capital.
NOUN_HEADS = ["Vertrags", "Rechnungs", "Kunden", "Daten", "Sicherheits", "Arbeits", "Verwaltungs", "Steuer", "Energie", "Umwelt", "Gesundheits", "Bildungs", "Verkehrs", "Wirtschafts", "Finanz", "Bau", "Lebens", "Wasser", "Luft", "Grund", "Rechts", "Versicherungs", "Forschungs", "Wissenschafts", "Staats", "Landes", "Gemeinde", "Haupt", "Neben", "Zusatz", "Grenz", "Wert", "Markt", "Preis", "Zeit", "Netz", "Maschinen", "Pflanzen", "Tier", "Berg", "Fluss", "See", "Kriegs", "Friedens", "Handels", "Sprach", "Kultur", "Kunst", "Kirchen", "Regierungs"]
NOUN_TAILS = ["ordnung", "prüfung", "leitung", "verwaltung", "sicherheit", "fähigkeit", "wirtschaft", "gesellschaft", "planung", "entwicklung", "ergebnis", "verhältnis", "problem", "system", "konzept", "bericht", "antrag", "vorgang", "bereich", "gebiet", "zentrum", "amt", "werk", "plan", "satz", "sätze", "fragen", "formen", "arten", "quellen", "körper", "kräfte", "gruppen", "mitglieder", "teile", "stoff", "steuer", "recht", "gesetz", "kosten", "preise", "daten", "modell", "verfahren", "grundlage", "theorie", "analyse", "struktur", "funktion", "region", "zone", "bau", "haus", "raum", "tag", "jahr", "zeit"]
PARTICLES = ["van", "van de", "van der", "von", "de", "de la", "di", "da", "del", "den", "le", "dos"]


class Filler:
    def __init__(self, rest, seed):
        self.r, self.rest = random.Random(seed), rest

    def name(self, kind):
        # Three in ten are names the lexicon does not have.
        known = self.r.random() < 0.7
        word = self.r.choice(self.rest[kind + ("_known" if known else "")])
        if len(word) < 3:
            return self.name(kind)
        return word[0].upper() + word[1:]

    def surname(self):
        s, x = self.name("surname"), self.r.random()
        return ("O'" + s if x < 0.015 else "Mc" + s if x < 0.025 else s + "-" + self.name("surname") if x < 0.06 else
                self.r.choice(PARTICLES) + " " + s if x < 0.12 else self.r.choice(["Van ", "De ", "Van de "]) + s if x < 0.15 else s)

    def given(self):
        return self.name("given") + ("-" + self.name("given") if self.r.random() < 0.04 else "")

    def person(self):
        x, g, s = self.r.random(), self.given(), self.surname()
        capital = chr(65 + self.r.randrange(26))
        name = (f"{g} {capital}. {s}" if x < 0.07 else f"{g} {capital} {s}" if x < 0.12 else f"{capital}. {s}" if x < 0.16 else
                f"{g} {self.given()} {s}" if x < 0.22 else f"{g} {self.name('surname')} {self.name('surname')}" if x < 0.29 else f"{g} {s}")
        return name.upper() if self.r.random() < 0.06 else name

    def strew(self, text):
        """A clean text with names put between two of its plain words: names stand in more places than templates know."""
        spots = [m.start() + 1 for m in re.finditer(r"(?<=[a-z]) (?=[a-z]{2})", text)]
        spans, out, last = [], "", 0
        for at in sorted(self.r.sample(spots, min(len(spots), len(text) // 120))):
            name = self.person() if self.r.random() < 0.8 else self.name("given")
            lead = re.match(r"(?:(?:van|de|der|von|la|di|da|del|den|le|dos) )+", name)
            out += text[last:at]
            spans.append((len(out) + (lead.end() if lead else 0), len(out) + len(name)))
            out, last = out + name + " ", at
        return out + text[last:], spans

    def fill(self, template, depth=0):
        """The text and the spans of its names."""
        out, spans = "", []
        for part in re.split(r"(\{[A-Za-z_]+\})", template.replace("\\n", "\n")):
            slot = part[1:-1] if part.startswith("{") and part.endswith("}") else None
            pick = self.r.choice
            text = {
                None: lambda: part,
                "P": self.person, "G": self.given, "S": self.surname, "S_NOT": lambda: self.name("surname"), "G_NOT": lambda: self.name("given"),
                "ORG": lambda: self.fill(pick(ORGS), depth + 1)[0],
                "PLACE": lambda: pick(self.rest["place"]).title(),
                "PRODUCT": lambda: f"{pick(BRANDS) if self.r.random() < 0.5 else self.name('given')} {pick(NOUNS) if self.r.random() < 0.8 else self.r.randrange(1, 20)}",
                "STREET": lambda: self.fill(pick(STREETS), depth + 1)[0],
                "THING": lambda: pick(THINGS), "NOUN": lambda: pick(NOUN_HEADS) + pick(NOUN_TAILS) if self.r.random() < 0.6 else pick(NOUN_TAILS).capitalize(), "W": lambda: pick(WORDS), "w": lambda: pick(WORDS).lower(),
                "N": lambda: str(self.r.randrange(2, 400)), "DATE": lambda: pick(["1994", "2019", "12 March", "3 mei 2021", "2024-05-06", "May 2020", "05/11/2023"]),
                "MAIL": lambda: f"{self.name('given').lower()}@example.org", "TEL": lambda: f"+32 4{self.r.randrange(70, 99)} {self.r.randrange(10, 99)} {self.r.randrange(10, 99)} 12",
            }.get(slot, lambda: part)()
            if slot in ("P", "G", "S") and depth == 0:
                lead = re.match(r"(?:(?:van|de|der|von|la|di|da|del|den|le|dos) )+", text)  # a particle alone does not start a span
                spans.append((len(out) + (lead.end() if lead else 0), len(out) + len(text)))
            out += text
        return out, spans


def evidence(binary, texts):
    data = "".join(json.dumps({"text": t}) + "\n" for t in texts).encode()
    answer = subprocess.run([binary], input=data, stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in answer.decode().splitlines()]


def candidates(binary, rows):
    """(features, label, weight) of each candidate: a name is the whole span; of a longer one, parts are none."""
    for (_text, spans, weight, ignore), found in zip(rows, evidence(binary, [r[0] for r in rows]), strict=False):
        for c in found:
            a, b = c["start"], c["end"]
            if any(a < y and x < b for x, y in ignore):
                continue
            label = (a, b) in spans
            inside = any(x <= a and b <= y for x, y in spans) and not label
            yield [f for f, _ in c["features"]], label, weight * (0.5 if inside else 1)


def fit(data, epochs=40, l2=2e-6, rate=0.12):
    """Logistic regression by AdaGrad over shuffled batches."""
    names = sorted({f for fs, _, _ in data for f in fs})
    at = {n: i for i, n in enumerate(names)}
    width = max(len(fs) for fs, _, _ in data)
    X = np.full((len(data), width), len(names))
    for i, (fs, _, _) in enumerate(data):
        X[i, :len(fs)] = [at[f] for f in fs]
    y = np.array([label for _, label, _ in data], float)
    sw = np.array([w for _, _, w in data], float)
    w, g2 = np.zeros(len(names) + 1), np.full(len(names) + 1, 1e-3)
    rng = np.random.default_rng(1)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for i in range(0, len(order), 512):
            b = order[i:i + 512]
            p = 1 / (1 + np.exp(-np.clip(w[X[b]].sum(1), -30, 30)))
            grad = np.zeros_like(w)
            np.add.at(grad, X[b], ((p - y[b]) * sw[b])[:, None] / len(b))
            grad[:-1] += l2 * w[:-1] * 10
            grad[-1] = 0
            g2 += grad * grad
            w -= rate * grad / np.sqrt(g2)
    p = 1 / (1 + np.exp(-np.clip(w[X].sum(1), -30, 30)))
    print(f"{len(data)} candidates, {int(y.sum())} names, {len(names)} features; on the training data: precision {(y[p > .5]).mean():.3f} recall {(p[y > 0] > .5).mean():.3f}")
    return dict(zip(names, w, strict=False))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--evidence", required=True)
    ap.add_argument("--rest", type=pathlib.Path, required=True)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--rows", type=pathlib.Path, nargs="*", default=[])
    ap.add_argument("--clean", type=pathlib.Path, nargs="*", default=[])
    ap.add_argument("--hold-out", nargs="*", default=[])
    ap.add_argument("--each", type=int, default=24, help="times each template is filled")
    ap.add_argument("--bias", type=float, default=0.0, help="added to every candidate's log-odds")
    a = ap.parse_args()
    filler = Filler(json.loads(a.rest.read_text()), 7)
    rows = []
    for line in (HERE / "templates.txt").read_text("utf8").splitlines():
        if line and not line.startswith("# "):
            rows += [(*filler.fill(line), 1.0, []) for _ in range(a.each)]
            text, spans = filler.fill(line)
            if not spans:
                rows.append((text.upper(), [], 1.0, []))
    for path in a.clean:
        text = path.read_text("utf8", "replace")
        pieces = [text[i:i + 1500] for i in range(0, len(text), 1500)]
        rows += [(piece, [], 1.0, []) for piece in pieces]
        rows += [(*filler.strew(piece), 0.7, []) for piece in pieces[::2]]
    for path in a.rows:
        for row in map(json.loads, path.read_text("utf8").splitlines()):
            if row["source"] in a.hold_out or row.get("exclude"):
                continue
            spans = [(s["start"], s["end"]) for s in row["spans"] if s["type"] == "PERSON"]
            # Titles and degrees are context, not name.
            fixed = []
            for x, y in spans:
                t = row["text"][x:y]
                lead = re.match(r"(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? ", t)
                tail = re.search(r" (?:DDS|MD|PhD|DVM|Jr\.?|Sr\.?|II|III)$", t)
                fixed.append((x + (lead.end() if lead else 0), y - (len(t) - tail.start() if tail else 0)))
            structured = row.get("eval_types") == ["STRUCTURED"]
            rows.append((row["text"], fixed, 1.0 if structured else 2.0, []))
    weights = fit(list(candidates(a.evidence, rows)))
    if a.bias:
        for n in range(6):
            weights[f"words.{n}"] = weights.get(f"words.{n}", 0) + a.bias
    # The binary lists every feature's name in its order.
    order = subprocess.run([a.evidence, "--features"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    kept = [f"{n} {weights[n]:.2f}" for n in order if abs(weights.get(n, 0)) >= 0.05]
    a.out.write_text("# Weights of the name model, by tools/pii/train.py: feature, log-odds.\n" + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
