#!/usr/bin/env python3
"""Writes docs/detection.md: what the detectors find and miss on a set of labelled texts, and what they cost.

    cargo build --release -p tappass && cargo build --release -p tappass-detect --examples
    python3 tools/detection_figures.py --eval DIR [--cmd "target/release/tappass detect --jsonl"]
        [--cost "target/release/examples/cost"] [--out docs/detection.md]

DIR holds eval.py (the scorer) and dev/*.jsonl (labelled texts with their sources and licences); they are not a part of
this repository. Standard library only.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

TASKS = {
    "injection": "Prompt injection",
    "secrets": "Secrets",
    "unicode": "Hidden and disguised characters",
    "shell": "Shell commands in data",
    "sql": "Destructive and smuggled SQL",
    "exfil": "Exfiltration",
    "tool_poisoning": "Instructions in tool definitions",
}

# Measured by others than this tool, on the same texts, once; what each tool is: below the table.
PUBLIC = {
    "pii": "Presidio 2.2 with a spaCy model: F1 0.60 (precision 0.73, recall 0.50)",
    "secrets": "gitleaks 8.30: F1 0.81, kingfisher 0.78, detect-secrets 0.72",
    "injection": "rule sets: recall 0.01 to 0.07; a plain n-gram regression, by source: F1 0.90 at 3 %",
    "shell": "rule sets: F1 0.32",
    "exfil": "rule sets: F1 0.04",
    "tool_poisoning": "rule sets: F1 0.33",
}

HEAD = """# What the detectors find, and what they miss

<!-- Written by tools/detection_figures.py; do not edit. -->

Figures of one run over labelled development texts. Training and tuning saw these texts, so they say what the detectors
know, not how they generalise; for what is trained, the table "On sources left out" says that.
*Macro* figures are means over sources, so that no large source decides them. A text counts as hit from a score of 0.5.
`unicode`, `exfil`, `tool_poisoning`, the classification texts and the European personal data are largely synthetic:
they show whether a detector knows the idea.
"""

# From the training scripts, which score every source with weights that never saw it.
LEFT_OUT = """
| what | trained and tuned without | precision | recall | F1 | false positives |
|---|---|---|---|---|---|
| Prompt injection, rules and model, at 0.5 | each source in turn (7,850 texts) | 0.959 | 0.760 | 0.848 | 0.025 |
| the same, at 0.6 | | 0.971 | 0.724 | 0.829 | 0.016 |
| the same, at 0.8, as `starter` has it | | 0.989 | 0.628 | 0.768 | 0.005 |
| Prompt injection, rules alone | (they are not trained) | | 0.352 | 0.520 | 0.002 |
| Personal data, all kinds | the texts of presidio-research | | | 0.925 | |

These are the figures to plan with: `python3 tools/train_injection.py` prints the first three again.
"""

PUBLIC_TEXT = """
The figures of public tools are of the same texts, run with their stock rules: [Presidio](https://github.com/microsoft/presidio)
(MIT), [gitleaks](https://github.com/gitleaks/gitleaks) (MIT), [kingfisher](https://github.com/mongodb/kingfisher)
(Apache-2.0), [detect-secrets](https://github.com/Yelp/detect-secrets) (Apache-2.0). They were made for other ends, some
for whole repositories, so the comparison says what to expect of them in this place, not which is better. Their cost on the
same machine class, microseconds per KB: Presidio 50,000 with patterns and 200,000 with a model, detect-secrets 24,000,
rule sets for prompts 2,700 to 3,500, kingfisher 330.
"""

WEAK = """
- Paraphrase: an attack in words that neither rules nor the model have seen passes. Languages other than English, Dutch,
  French, German, Spanish and Italian are covered by a few rules or by none.
- Names that are words ("Rose Field") and names without any context are missed or doubtful; addresses need a form of
  Belgium, the Netherlands, Germany, France, Spain, Italy, the United Kingdom or the United States.
- Encoded layers: base64, hexadecimal and percent-encoding are opened to depth three when what comes out is text; `\\uXXXX`,
  HTML entities, compression, home-made ciphers and letters spread over lines are not. A run of more than 3 KB is opened in
  pieces of 3 KB, and what lies across two of them is missed. A finding inside is masked with its whole run.
- A secret without a shape or a name before it ("hunter2") is a word like any other.
- A number whose checksum is right by chance looks like the real one where no word near it is asked for.
"""


def scored(args, task):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, str(args.eval / "eval.py"), "--task", task, "--cmd", args.cmd, "--out", out.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.load(open(out.name))[task]


def microseconds(args, task):
    rows = [json.loads(line) for line in open(args.eval / "dev" / f"{task}.jsonl", encoding="utf8")]
    text = "".join(json.dumps({"id": r["id"], "task": task, "text": r["text"]}) + "\n" for r in rows)
    run = subprocess.run(args.cmd, shell=True, check=True, input=text.encode(), stdout=subprocess.PIPE)
    times = sorted(json.loads(line)["us"] for line in run.stdout.decode().splitlines())
    return times[len(times) // 2], sum(times) / (sum(len(r["text"].encode()) for r in rows) / 1024)


def figure(value):
    return "–" if value is None else f"{value:.3f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def page(args):
    out, cost, weak = [HEAD], [], []
    rows = []
    for task, name in TASKS.items():
        result = scored(args, task)
        every = result["ALL"]
        rows.append([name, every["n"], figure(every["precision"]), figure(every["recall"]), figure(every["f1"]),
                     figure(every["fpr"]), figure(every["macro_recall_by_source"]),
                     figure(every["macro_fpr_by_source"]), PUBLIC.get(task, "–")])
        for source, part in result.items():
            if source.startswith("src:") and part["tp"] + part["fn"] >= 20 and part["recall"] < 0.8:
                weak.append(f"{name}: recall {part['recall']:.2f} on the source `{source[4:]}`")
        cost.append([name, *(f"{us:.0f}" for us in microseconds(args, task))])
    head = ["task", "texts", "precision", "recall", "F1", "false positives", "macro recall", "macro false positives",
            "public tools"]
    out += ["\n## Yes or no per text\n\n", table(head, rows)]

    out += ["\n## On sources left out\n", LEFT_OUT]

    pii = scored(args, "pii")
    every = pii.pop("ALL")
    cost.append(["Personal data", *(f"{us:.0f}" for us in microseconds(args, "pii"))])
    kinds = [(kind, k) for kind, k in sorted(pii.items()) if isinstance(k, dict) and k.get("gold")]
    rows = [["**all**", every["gold"], figure(every["precision"]), figure(every["recall"]), figure(every["f1"])]]
    rows += [[kind, k["gold"], figure(k["precision"]), figure(k["recall"]), figure(k["f1"])] for kind, k in kinds]
    out += ["\n## Personal data by kind\n\n", table(["kind", "spans", "precision", "recall", "F1"], rows)]
    out.append(f"\nClean texts with a hit: {every['clean_doc_fpr']:.1%} of {every['clean_docs']}. "
               f"Public tools: {PUBLIC['pii']}; 7 % of clean texts hit.\n")
    weak += [f"{kind}: recall {k['recall']:.2f}" for kind, k in kinds if k["gold"] >= 5 and k["recall"] < 0.9]

    classes = scored(args, "classification")["ALL"]
    out += ["\n## Classification\n\n",
            f"The level is right on {classes['level_accuracy']:.1%} of {classes['n']} texts, too low on "
            f"{classes['under_classified']:.1%}, too high on {classes['over_classified']:.1%}.\n"]
    out += ["\n## Public tools\n", PUBLIC_TEXT]
    out += ["\n## What it costs\n\nAll detectors at once, whatever the texts are for; one thread, first sight of every "
            "text.\n\n", table(["texts", "median, µs per text", "mean, µs per KB"], cost)]
    if args.cost:
        run = subprocess.run(args.cost, shell=True, check=True, stdout=subprocess.PIPE)
        out += ["\nBy family, by length, and on texts made to cost (beginnings of matches of every rule, repeated):\n\n",
                "```text\n", run.stdout.decode().strip("\n"), "\n```\n"]
    out += ["\n## What is weak\n", WEAK]
    out += ["\nIn this run:\n\n" + "".join(f"- {line}\n" for line in weak)] if weak else []
    return "".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=pathlib.Path, required=True)
    parser.add_argument("--cmd", default="target/release/tappass detect --jsonl")
    parser.add_argument("--cost", help="the cost example, with arguments")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/detection.md"))
    args = parser.parse_args()
    args.out.write_text(page(args), encoding="utf8")


if __name__ == "__main__":
    main()
