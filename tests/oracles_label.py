"""Slow and obvious: Algorithm 2 on frozen embeddings, one image at a time, with scikit-learn's own probabilities."""

from __future__ import annotations

import math
import statistics

import numpy as np
from sklearn.linear_model import LogisticRegression

from goodgrain.annotate import OOD, SKIP, UNSURE
from goodgrain.learn.streams import stream_seed
from goodgrain.meta import MetaQueryNet


def head(embeddings, given, classes):
    """Probabilities (n, c) of a logistic regression on standardised embeddings; `given` holds position -> class."""
    scaled = ((embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)).astype(np.float32)
    rows = sorted(given)
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit(scaled[rows], [classes.index(given[i]) for i in rows])
    probabilities = np.zeros((len(embeddings), len(classes)))
    probabilities[:, fitted.classes_] = fitted.predict_proba(scaled)
    return probabilities


def lead(row):
    """Minus the lead of the best class over the second."""
    second, best = sorted(row)[-2:]
    return second - best


def nearest(embeddings, i, others):
    unit = [row / math.sqrt(row @ row) for row in embeddings]
    return max(unit[i] @ unit[j] for j in others)


def scaled(values, pool):
    """exp of the z-scores of some images, by the mean and population deviation of all."""
    mean, deviation = statistics.fmean(pool.values()), statistics.pstdev(pool.values())
    return [math.exp((value - mean) / deviation) for value in values]


class Loop:
    """The loop with one annotator: what is asked in each round, and what is known of it.

    Args:
        embeddings: (n, d).
        answers: n answers, as a person gives them.
        classes: c names.
        costs: of a class, of OOD, of UNSURE.
    """

    def __init__(self, embeddings, answers, classes, *, budget, costs=(1.0, 1.0, 1.0), seed=0, known=(), **weighing):
        self.embeddings, self.answers, self.classes = embeddings, answers, list(classes)
        self.budget, self.costs, self.seed, self.known = budget, costs, seed, set(known)
        usual = {"meta": "learned", "learn_from": "last", "warm_start": False, "purity": "nearest_in"}
        self.meta, self.learn_from, self.warm, self.purity = {**usual, **weighing}.values()
        self.asked, self.of_round, self.nets, self.scores = [], [], [], []

    def inside(self):
        """Position -> class of all that was told to belong to one."""
        seen = self.known.union(*self.asked)
        return {i: self.answers[i] for i in seen if self.answers[i] in self.classes}

    def may_be_asked(self):
        """SKIPs count as unlabeled, but this annotator is not asked again."""
        seen = self.known.union(*self.asked)
        return [i for i in range(len(self.answers)) if i not in seen or self.answers[i] == SKIP]

    def price(self, i):
        of_class, of_ood, of_unsure = self.costs
        return {OOD: of_ood, UNSURE: of_unsure, SKIP: 0.0}.get(self.answers[i], of_class)

    def ask(self, order):
        """One after the other, while the dearest answer could be paid."""
        spent, asked, before = 0.0, [], set().union(*self.asked)
        for i in order:
            if i in before or spent + max(self.costs) > self.budget + 1e-9:
                continue
            asked.append(i)
            spent += self.price(i)
        self.asked.append(asked)
        return asked

    def next(self):
        """Positions that the next round asks for."""
        return self.learned_round() if len(set(self.inside().values())) > 1 else self.random_round()

    def random_round(self):
        rows = self.may_be_asked()
        seed = stream_seed(self.seed, "query", len(self.asked)) % 2**32
        self.of_round.append(None)
        return self.ask(np.random.default_rng(seed).permutation(rows).tolist())

    def query_set(self, number):
        """Meta-input, masked losses and flags of a round, in the order that was asked."""
        pool_p, pool_i, probabilities = self.of_round[number]
        rows = [i for i in self.asked[number] if self.answers[i] not in (SKIP, UNSURE)]
        x = np.stack([scaled([pool[i] for i in rows], pool) for pool in (pool_p, pool_i)], axis=1)
        ood = [self.answers[i] == OOD for i in rows]
        losses = [
            0.0 if o else -math.log(probabilities[i, self.classes.index(self.answers[i])])
            for i, o in zip(rows, ood, strict=True)
        ]
        return x, np.array(losses), np.array(ood)

    def weigh(self, number):
        """What weighs in this round."""
        usable = [k for k in range(number) if self.of_round[k] is not None]
        usable = usable if self.learn_from == "all" else [k for k in usable if k == number - 1]
        if self.meta in ("sum", "product") or not usable:
            return (lambda x: x.prod(axis=1)) if self.meta == "product" else (lambda x: x.sum(axis=1))
        seed = stream_seed(self.seed, "meta", number) % 2**32
        net = self.nets[-1] if self.warm and self.nets else None
        net = net or MetaQueryNet(seed=seed, skyline=self.meta == "learned", warm_start=self.warm)
        parts = [self.query_set(k) for k in usable]
        self.nets.append(net.fit(*(np.concatenate(column) for column in zip(*parts, strict=True))))
        return net.score

    def learned_round(self):
        rows, inside = self.may_be_asked(), self.inside()
        probabilities = head(self.embeddings, inside, self.classes)
        pure = {i: nearest(self.embeddings, i, inside) for i in rows}
        strange = [i for i in self.known.union(*self.asked) if self.answers[i] == OOD]
        if self.purity == "nearest_both" and strange:
            pure = {i: pure[i] - nearest(self.embeddings, i, strange) for i in rows}
        informative = {i: lead(probabilities[i]) for i in rows}
        score = self.weigh(len(self.asked))
        self.of_round.append((pure, informative, probabilities))
        x = np.stack([scaled(pool.values(), pool) for pool in (pure, informative)], axis=1)
        values = dict(zip(rows, score(x), strict=True))
        self.scores.append(values)
        return self.ask(sorted(rows, key=lambda i: (-values[i], i)))
