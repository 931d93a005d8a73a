"""Slow and obvious: the rules of a labelling session on plain lists, searched from the start each time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

OOD, UNSURE, SKIP, UNRESOLVED = "__ood__", "__unsure__", "__skip__", "__unresolved__"


class Refused(Exception):
    """The session should refuse this too."""


class SlowSession:
    def __init__(self, items, classes, *, budget, costs, seed, known, lease):
        self.items, self.classes, self.known = list(items), list(classes), dict(known)
        self.budget, self.seed, self.lease, self.now = Fraction(str(budget)), seed, lease, 0.0
        self.prices = {UNSURE: costs[2], OOD: costs[1], SKIP: 0, **dict.fromkeys(classes, costs[0])}
        self.prices = {name: Fraction(str(price)) for name, price in self.prices.items()}
        self.rounds = []  # {"order", "open"}
        self.queries = []  # (annotator, round, ids), numbered from 1
        self.leases = {}  # id -> [annotator, query, until]
        self.log = []  # [annotator, id, answer, round, undone]

    def of(self, item):
        """Annotator -> the answer that counts."""
        return {who: answer for who, what, answer, _, undone in self.log if what == item and not undone}

    def done(self, item):
        return any(answer != SKIP for answer in self.of(item).values())

    def spent(self, number):
        total = Fraction(0)
        for i, (who, what, answer, paid_by, undone) in enumerate(self.log):
            later = [row for row in self.log[i + 1 :] if row[:2] == [who, what] and not row[4]]
            if not undone and not later and paid_by == number:
                total += self.prices[answer]
        return total

    def propose(self, ids, scores):
        if self.rounds and self.rounds[-1]["open"]:
            raise Refused
        best_first = sorted(range(len(ids)), key=lambda i: (-scores[i], i))
        self.rounds.append({"order": [ids[i] for i in best_first], "open": True})

    def close_round(self):
        if not self.rounds or not self.rounds[-1]["open"]:
            raise Refused
        self.rounds[-1]["open"] = False
        self.leases.clear()

    def ask(self, n, who):
        if not self.rounds:
            unknown = [item for item in self.items if item not in self.known]
            order = np.random.default_rng(self.seed).permutation(len(unknown))
            self.rounds.append({"order": [unknown[i] for i in order], "open": True})
        if not self.rounds[-1]["open"]:
            raise Refused
        number = len(self.rounds) - 1
        for item, (holder, _, until) in list(self.leases.items()):
            if holder != who and until <= self.now:
                del self.leases[item]
        self.sign_of_life(who)
        held = [item for item, lease in self.leases.items() if lease[0] == who]
        held.sort(key=lambda item: (self.leases[item][1], self.queries[self.leases[item][1] - 1][2].index(item)))
        ids = held[:n]
        query = max((self.leases[item][1] for item in ids), default=0)
        new = []
        for item in self.rounds[-1]["order"]:
            under_way = (len(self.leases) + len(new) + 1) * max(self.prices.values())
            if len(ids) + len(new) == n or self.spent(number) + under_way > self.budget:
                break
            if item in self.known or item in self.leases or self.done(item) or who in self.of(item):
                continue
            new.append(item)
        if new:
            self.queries.append((who, number, new))
            query = len(self.queries)
            for item in new:
                self.leases[item] = [who, query, self.now + self.lease]
        return query, [*ids, *new]

    def sign_of_life(self, who):
        for lease in self.leases.values():
            if lease[0] == who:
                lease[2] = self.now + self.lease

    def tell(self, item, answer, who):
        asked = [q for q in self.queries if item in q[2]]
        if not asked:
            raise Refused
        query = ([q for q in asked if q[0] == who] or asked)[-1]
        self.sign_of_life(who)
        if self.of(item).get(who) == answer:
            return False
        self.log.append([who, item, answer, query[1], False])
        if item in self.leases and (answer != SKIP or self.leases[item][0] == who):
            del self.leases[item]
        return True

    def undo(self, who):
        mine = [row for row in self.log if row[0] == who and not row[4]]
        if not mine:
            raise Refused
        mine[-1][4] = True
        item, paid_by = mine[-1][1], mine[-1][3]
        if self.done(item):
            self.leases.pop(item, None)
        elif who not in self.of(item) and paid_by == len(self.rounds) - 1 and self.rounds[-1]["open"]:
            if item in self.leases and self.leases[item][2] <= self.now:
                del self.leases[item]
            if item not in self.leases:
                asked = [i for i, q in enumerate(self.queries, 1) if item in q[2]]
                mine = [i for i in asked if self.queries[i - 1][0] == who]
                self.leases[item] = [who, (mine or asked)[-1], self.now + self.lease]
        return item

    def answers(self):
        said = {}
        for item in self.items:
            given = list(self.of(item).values())
            decided = [answer for answer in given if answer not in (UNSURE, SKIP)]
            if decided:
                top = max(decided.count(answer) for answer in decided)
                winners = {answer for answer in decided if decided.count(answer) == top}
                said[item] = winners.pop() if len(winners) == 1 else UNRESOLVED
            elif given:
                said[item] = UNSURE if UNSURE in given else SKIP
        return said

    def labels(self):
        number = {OOD: -2, **{name: k for k, name in enumerate(self.classes)}}
        said = {**self.known, **self.answers()}
        return [number.get(said.get(item), -1) for item in self.items]
