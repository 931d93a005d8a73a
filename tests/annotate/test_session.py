import threading

import numpy as np
import pytest

from goodgrain.annotate import OOD, SKIP, UNRESOLVED, UNSURE, Costs, Item, Session, SessionView, verdict
from goodgrain.errors import InputError, UnknownName

IDS = [f"picture {i}" for i in range(6)]


@pytest.fixture
def make(tmp_path):
    """Sessions that are closed at the end; their clock is `clock[0]`."""
    made, clock = [], [1000.0]

    def make(ids=IDS, classes=("cat", "dog"), **options):
        folder = tmp_path / str(len(made))
        made.append(Session.create(folder, ids, classes, clock=lambda: clock[0], **{"budget": 100, **options}))
        return made[-1]

    make.clock = clock
    yield make
    for session in made:
        session.close()


def ranked(session, *ids, **options):
    """A round that asks for these, in this order."""
    session.propose(ids, -np.arange(len(ids)), strategy="margin", **options)


def test_a_round_by_hand(make):
    # c_in 1, c_ood 2, budget 5. The dearest costs 2, so 2 fit (4 <= 5), a third does not (6 > 5).
    session = make(budget=5, costs=Costs(1, 2))
    ranked(session, *IDS)
    query = session.ask(4)
    assert (query.number, query.ids, query.round, query.short_of) == (1, ("picture 0", "picture 1"), 0, "budget")
    assert session.tell("picture 0", "cat")  # spent 1; with picture 1 held back at 2 there is room for 1 more
    assert session.ask(4).ids == ("picture 1", "picture 2")
    session.tell("picture 1", OOD)  # spent 3, 2 held back: full
    session.tell("picture 2", UNSURE)  # as dear as a class: spent 4, and 4 + 2 > 5
    assert session.ask(1).ids == ()
    assert (session.spent, session.left) == (4.0, 1.0)
    assert session.answers() == {"picture 0": "cat", "picture 1": OOD, "picture 2": UNSURE}
    assert session.labels()[1].tolist() == [0, -2, -1, -1, -1, -1]
    (status,) = session.status().rounds
    assert (status.in_distribution, status.ood, status.unsure, status.purity) == (1, 1, 1, 0.5)


def test_ten_times_a_tenth_is_one(make):
    session = make([str(i) for i in range(12)], budget=1.0, costs=Costs(0.1, 0.1))
    for _ in range(10):
        session.tell(session.ask(1).ids[0], "cat")
    assert (session.ask(1).ids, session.left) == ((), 0.0)


def test_a_skip_is_free_and_for_one_annotator(make):
    session = make(budget=1)
    ranked(session, "picture 4", "picture 2")
    session.tell(session.ask(1, annotator="ann").ids[0], SKIP, annotator="ann")
    assert session.answers() == {"picture 4": SKIP}
    assert session.ask(1, annotator="ann").ids == ("picture 2",)
    session.tell("picture 2", SKIP, annotator="ann")
    assert session.ask(1, annotator="ann").short_of == "items"
    assert session.ask(1, annotator="bob").ids == ("picture 4",)
    assert session.spent == 0.0


def test_the_last_answer_counts_and_the_others_are_kept(make):
    session = make()
    item = session.ask(1).ids[0]
    assert [session.tell(item, answer) for answer in ("cat", "cat", OOD, "cat", "cat")] == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert session.answers() == {item: "cat"}
    assert [(row.number, row.answer) for row in session.history()] == [(1, "cat"), (2, OOD), (3, "cat")]
    assert session.spent == 1.0
    assert session.undo() == item
    assert session.answers() == {item: OOD}
    assert [row.undone for row in session.history()] == [False, False, True]
    session.undo()
    session.undo()
    assert session.answers() == {}
    assert session.ask(1).ids == (item,)
    with pytest.raises(InputError, match="annotator '' has no answer to take back"):
        session.undo()


def test_several_annotators(make):
    session = make()
    item = session.ask(1, annotator="ann").ids[0]
    for name, answer, together in [
        ("ann", "cat", "cat"),
        ("bob", OOD, UNRESOLVED),
        ("eve", UNSURE, UNRESOLVED),
        ("joe", "cat", "cat"),
        ("bob", "cat", "cat"),
        ("ann", "dog", "cat"),
    ]:
        session.tell(item, answer, annotator=name)
        assert session.answers()[item] == together
    assert session.spent == 4.0  # everyone was paid, corrections were not
    assert session.undo("bob") == item  # and only bob's last answer goes
    assert session.answers()[item] == UNRESOLVED


def test_verdict():
    assert verdict([SKIP]) == SKIP
    assert verdict([SKIP, UNSURE, SKIP]) == UNSURE
    assert verdict(["cat", UNSURE, UNSURE]) == "cat"
    assert verdict(["cat", OOD, "dog", OOD]) == OOD
    assert verdict(["cat", OOD, "cat", OOD]) == UNRESOLVED


def test_a_lease_ends_when_its_annotator_is_gone(make):
    session = make(lease=60)
    ranked(session, *IDS)
    assert session.ask(2, annotator="ann").ids == ("picture 0", "picture 1")
    make.clock[0] += 59
    assert session.ask(1, annotator="bob").ids == ("picture 2",)
    session.tell("picture 0", "cat", annotator="ann")  # a sign of life: picture 1 stays with ann
    make.clock[0] += 59
    assert session.ask(2, annotator="bob").ids == ("picture 2", "picture 3")
    make.clock[0] += 1
    assert session.ask(3, annotator="bob").ids == ("picture 2", "picture 3", "picture 1")
    assert session.tell("picture 1", "dog", annotator="ann")  # late, and kept
    assert session.ask(3, annotator="bob").ids == ("picture 2", "picture 3", "picture 4")


def test_rounds_follow_each_other(make):
    session = make(seed=3, budget=2)
    assert (session.round, session.left) == (None, 2.0)
    first = session.ask(2)
    assert (session.round.strategy, session.round.random_state) == ("random", 3)
    with pytest.raises(InputError, match="round 0 is still open. Close it before the next is proposed"):
        ranked(session, "picture 0")
    session.tell(first.ids[0], "cat")
    session.close_round()
    assert session.round.state == "closed"
    for refused in (session.close_round, lambda: session.ask(1)):
        with pytest.raises(
            InputError, match="no round is open. Ask or propose first|round 0 is closed. Propose the next"
        ):
            refused()
    session.tell(first.ids[1], OOD)  # was asked for in round 0, which pays
    opened = session.propose(
        IDS, np.arange(6), strategy="mqnet", parameters={"eta": 0.1}, model_hash="ab", random_state=[1, 2], budget=3
    )
    assert opened == session.round
    assert (opened.number, opened.parameters, opened.model_hash, opened.random_state) == (1, {"eta": 0.1}, "ab", [1, 2])
    best = [item for item in reversed(IDS) if item not in first.ids]
    assert list(session.ask(9).ids) == best[:3]
    assert [each.spent for each in session.status().rounds] == [2.0, 0.0]
    assert session.left == 3.0


def test_equal_scores_keep_the_order_of_ids(make):
    session = make()
    session.propose(["picture 3", "picture 1", "picture 5"], [1, 1, 2], strategy="margin")
    assert session.ask(3).ids == ("picture 5", "picture 3", "picture 1")


def test_what_is_known_is_never_asked_for(make):
    items = [Item("a", path="x/a.png", content_hash="77", known="dog"), Item("b"), Item("c"), "d"]
    session = make(items, known={"b": OOD})
    assert sorted(session.ask(9).ids) == ["c", "d"]
    assert session.labels()[1].tolist() == [1, -2, -1, -1]
    assert (session.item("a"), session.item("b").known) == (items[0], OOD)
    session.close_round()
    ranked(session, "a", "b", "c")
    assert session.ask(9).ids == ("c",)
    with pytest.raises(InputError, match="item 'a' was never asked for. Tell only ids that ask gave"):
        session.tell("a", "cat")


def test_opened_again_it_goes_on(make):
    session = make()
    query = session.ask(3, annotator="ann")
    session.tell(query.ids[0], "dog", annotator="ann")
    session.close()
    with Session.open(session._store.path.parent) as again:
        assert again.ask(3, annotator="ann").ids[:2] == query.ids[1:]
        assert again.answers() == {query.ids[0]: "dog"}
        assert (again.classes, again.costs, again.budget) == (("cat", "dog"), Costs(), 100.0)


def test_two_threads_never_get_the_same(make):
    session = make([str(i) for i in range(120)], budget=1000)
    given, start = [], threading.Barrier(8)

    def work(name):
        start.wait()
        while ids := session.ask(3, annotator=name).ids:
            given.extend(ids)
            for item in ids:
                session.tell(item, "cat", annotator=name)

    threads = [threading.Thread(target=work, args=(f"person {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(set(given)) == 120
    assert len(session.history()) == 120


def test_one_looks_while_another_works(make):
    session = make()
    item = session.ask(1).ids[0]
    with SessionView.open(session._store.path.parent) as view:
        session.tell(item, "cat")
        assert view.answers() == {item: "cat"}
        assert not hasattr(view, "tell")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"classes": []}, "there are no classes"),
        ({"classes": "cat"}, "classes should be a list of names; the single string 'cat' came"),
        ({"classes": ["cat", "cat"]}, "the class 'cat' comes twice"),
        ({"classes": ["cat", "__OOD__ "]}, "no class can be called '__OOD__ ': this is an answer of its own"),
        ({"classes": ["cat", " "]}, "a class name should be a string that is not blank; ' ' came"),
        ({"ids": []}, "there are no items"),
        ({"ids": ["a", "a"]}, "the id 'a' comes twice. Ids must be unique"),
        ({"ids": ["a", "\udcff.png"]}, "no text that can be stored as UTF-8"),
        ({"ids": ["a"], "known": {"b": "cat"}}, "known names 'b', which is no item"),
        ({"budget": 0}, "budget should be above 0; 0 came"),
        ({"budget": 1.5, "costs": Costs(1, 2)}, "budget=1.5 pays for no answer: one can cost 2. Give at least"),
        ({"lease": -1}, "lease should be above 0"),
        ({"seed": 0.5}, "seed should be a whole number"),
    ],
)
def test_a_session_that_cannot_be_made(make, wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        make(**wrong)


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b", "..", "a\\..\\b", "a\0b"])
def test_no_path_leads_elsewhere(path):
    with pytest.raises(InputError, match="should be relative, with '/' and without '..'|no text that can be stored"):
        Item("a", path=path)


def test_costs_that_are_none():
    with pytest.raises(InputError, match="c_ood should be a number, 0 or more; -1 came"):
        Costs(1, -1)
    with pytest.raises(InputError, match="all costs are 0, so that no budget would ever be spent"):
        Costs(0, 0)


def test_answers_that_are_refused(make):
    session = make()
    item = session.ask(1).ids[0]
    unasked = next(name for name in IDS if name != item)
    with pytest.raises(
        UnknownName, match="no class 'cst'. Did you mean 'cat'. Known: __ood__, __skip__, __unsure__, cat"
    ):
        session.tell(item, "cst")
    with pytest.raises(UnknownName, match="no class '__unresolved__'"):
        session.tell(item, UNRESOLVED)
    with pytest.raises(InputError, match="an answer should be a class name or one of .* OOD, UNSURE, SKIP; -2 came"):
        session.tell(item, -2)
    with pytest.raises(InputError, match="no item 'nowhere' in this session"):
        session.tell("nowhere", "cat")
    with pytest.raises(InputError, match=f"item '{unasked}' was never asked for"):
        session.tell(unasked, "cat")
    with pytest.raises(InputError, match="annotator should be a string"):
        session.tell(item, "cat", annotator=None)
    with pytest.raises(InputError, match="n should be a whole number, at least 1; 0 came"):
        session.ask(0)
    assert session.ask(10**30).ids
    assert session.history() == ()


@pytest.mark.parametrize(
    ("ids", "scores", "options", "sentence"),
    [
        (["picture 0", "picture 9"], [1, 2], {}, "no item 'picture 9' in this session"),
        (["picture 0", "picture 0"], [1, 2], {}, "the id 'picture 0' comes twice"),
        (["picture 0"], [1, 2], {}, "scores has 2 rows, but there are 1 examples"),
        (["picture 0"], [np.nan], {}, "scores has NaN or infinite values"),
        (["picture 0"], [1], {"parameters": {"a": object()}}, "parameters cannot be kept as JSON"),
        (["picture 0"], [1], {"random_state": float("nan")}, "random_state cannot be kept as JSON"),
        (["picture 0"], [1], {"budget": 0.5}, "budget=0.5 pays for no answer"),
    ],
)
def test_proposals_that_are_refused(make, ids, scores, options, sentence):
    session = make()
    with pytest.raises(InputError, match=sentence):
        session.propose(ids, scores, strategy="margin", **options)
    assert session.round is None
