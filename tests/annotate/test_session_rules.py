"""Whatever people do, in whatever order, the session is the slow one on plain lists."""

import random

import pytest

from goodgrain.annotate import OOD, SKIP, UNSURE, Costs, Session
from goodgrain.errors import InputError
from oracles_session import Refused, SlowSession

ITEMS = [f"item {i}" for i in range(12)]
KNOWN = {"item 3": "cat", "item 6": OOD}
CLASSES = ["cat", "dog"]
LEASE = 10.0


class Both:
    """The session and the slow one, told the same."""

    def __init__(self, folder, costs, budget, seed):
        given = {"budget": budget, "seed": seed, "known": KNOWN, "lease": LEASE}
        self.folder = folder
        self.slow = SlowSession(ITEMS, CLASSES, costs=costs, **given)
        self.session = Session.create(folder, ITEMS, CLASSES, costs=Costs(*costs), clock=self.clock, **given)
        self.corrected = False
        self.hurry()

    def hurry(self):
        """Power cuts are no subject here."""
        self.session._store._connection.execute("PRAGMA synchronous = OFF")

    def clock(self):
        return self.slow.now

    def same(self, act, slow_act):
        try:
            expected = slow_act()
        except Refused:
            with pytest.raises(InputError):
                act()
            return None
        got = act()
        assert got == expected
        return got

    def ask(self, n, who):
        def act():
            query = self.session.ask(n, annotator=who)
            assert (query.short_of == "") == (len(query.ids) == n)
            return query.number, list(query.ids)

        return self.same(act, lambda: self.slow.ask(n, who))

    def answer(self, which, answer, who):
        """Answer one of those that this person holds: what people do most of the time."""
        held = [item for item, lease in self.slow.leases.items() if lease[0] == who]
        if held:
            self.tell(held[which % len(held)], answer, who, held=True)

    def tell(self, item, answer, who, held=False):
        self.corrected |= not held
        self.same(lambda: self.session.tell(item, answer, annotator=who), lambda: self.slow.tell(item, answer, who))

    def undo(self, who):
        self.corrected = True
        self.same(lambda: self.session.undo(who), lambda: self.slow.undo(who))

    def wait(self, seconds):
        self.slow.now += seconds

    def next(self, ids, scores):
        self.same(self.session.close_round, self.slow.close_round)

        def propose():
            self.session.propose(ids, scores, strategy="any")

        self.same(propose, lambda: self.slow.propose(ids, scores))

    def reopen(self):
        self.session.close()
        self.session = Session.open(self.folder, clock=self.clock)
        self.hurry()

    def check(self):
        assert self.session.answers() == self.slow.answers()
        ids, labels = self.session.labels()
        assert (ids.tolist(), labels.tolist()) == (ITEMS, self.slow.labels())
        log = [[a.annotator, a.id, a.answer, a.round, a.undone] for a in self.session.history()]
        assert log == self.slow.log
        status = self.session.status()
        for row in status.rounds:
            assert row.spent == float(self.slow.spent(row.number))
            assert self.corrected or row.spent <= row.budget
        assert status.held == len(self.slow.leases)
        assert status.unseen + status.known + len(self.slow.answers()) == len(ITEMS)
        found = [r.in_distribution + r.ood + r.unsure + r.unresolved + r.skipped for r in status.rounds]
        assert sum(found) == len(self.slow.answers())
        if self.slow.rounds:
            assert self.session.spent == float(self.slow.spent(len(self.slow.rounds) - 1))


def walk(folder, seed, steps):
    """Two and sometimes three people at work, drawn at random."""
    draw = random.Random(seed)
    costs = draw.choice([(1, 1, 1), (0.1, 0.3, 0.2), (1, 2, 0.5), (1, 0, 3)])
    both = Both(folder, costs, budget=draw.choice([3, 4.5, 30]), seed=seed)
    acts = ["ask", "answer", "tell", "undo", "wait", "next", "reopen"]
    try:
        for act in draw.choices(acts, weights=[20, 30, 8, 12, 10, 3, 1], k=steps):
            who = draw.choice(["", "", "ann", "ann", "bob"])
            answer = draw.choice([*CLASSES, OOD, UNSURE, SKIP, SKIP, SKIP])
            if act == "ask":
                both.ask(draw.randint(1, 4), who)
            elif act == "answer":
                both.answer(draw.randrange(9), answer, who)
            elif act == "tell":
                both.tell(draw.choice(ITEMS), answer, who)
            elif act == "undo":
                both.undo(who)
            elif act == "wait":
                both.wait(draw.choice([1.0, 5.0, 10.0, 30.0]))
            elif act == "next":
                both.next(draw.sample(ITEMS, len(ITEMS)), [draw.randint(0, 3) for _ in ITEMS])
            else:
                both.reopen()
            assert both.session.status().held == len(both.slow.leases)
        both.check()
    finally:
        both.session.close()


@pytest.mark.parametrize("seed", range(25))
def test_equals_the_slow_session(tmp_path, seed):
    walk(tmp_path, seed, steps=150)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 400))
def test_equals_the_slow_session_for_long(tmp_path, seed):
    walk(tmp_path, seed, steps=300)
