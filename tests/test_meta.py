import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import save as save_torch

import oracles_meta as oracle
from goodgrain.errors import InputError
from goodgrain.meta import COMBINATIONS, MetaQueryNet, meta_input
from goodgrain.meta.network import Weights

PARTS = ("hidden", "bias", "output")


def query_set(seed, m=40, ood_share=0.3):
    """Scores that say nothing about the answers: the worst that a net may be given."""
    rng = np.random.default_rng(seed)
    x = meta_input(rng.normal(size=m), rng.standard_t(2, size=m))
    ood = rng.random(m) < ood_share
    ood[:2] = True, False
    return x, np.exp(rng.normal(size=m)), ood


def pool(ood_share, seed=0, n=4000):
    """Purity tells most OOD examples, which look informative; informativeness tells the losses of the others."""
    rng = np.random.default_rng(seed)
    ood, hardness = rng.random(n) < ood_share, rng.normal(size=n)
    purity = np.where(ood, 0, 1.5) + rng.normal(size=n)
    informativeness = np.where(ood, 0.5, 0.8 * hardness) + 0.7 * rng.normal(size=n)
    return meta_input(purity, informativeness), np.exp(hardness), ood


def preference(net, x):
    """What a unit of purity is worth, in units of informativeness, averaged over the pool."""
    here = net.score(x)
    return (net.score(x + np.eye(2)[0]) - here).mean() / (net.score(x + np.eye(2)[1]) - here).mean()


def with_weights(hidden, bias, output, **arguments):
    net = MetaQueryNet(len(bias), **arguments)
    net.rule_, net.weights_ = "learned", Weights(*(np.asarray(part, dtype=float) for part in (hidden, bias, output)))
    return net


def same_weights(net, other):
    return all(np.array_equal(a, b) for a, b in zip(net.weights_, other.weights_, strict=True))


# what goes in


def test_meta_input_by_hand():
    # O = (1, 2, 3): the z-scores of -O are 1.22474, 0, -1.22474
    x = meta_input([-1, -2, -3], [5, 5, 5])
    assert x == pytest.approx(np.array([[3.4033, 1], [1, 1], [0.29383, 1]]), abs=1e-4)
    of_the_pool = meta_input([-2], [7], reference=([-1, -2, -3], [5, 5, 5]))
    assert of_the_pool == pytest.approx(np.ones((1, 2)))


@given(seed=st.integers(0, 10_000), n=st.integers(2, 9), m=st.integers(1, 5))
def test_meta_input_equals_the_oracle(seed, n, m):
    rng = np.random.default_rng(seed)
    purity, informativeness = rng.normal(-3, 10, n), rng.random(n)
    x = meta_input(purity[:m], informativeness[:m], reference=(purity, informativeness))
    for column, values in enumerate((purity, informativeness)):
        assert x[:, column] == pytest.approx(np.array(oracle.meta_column(values[:m], values)), rel=1e-9)
    assert np.array_equal(x, meta_input(purity, informativeness)[:m])


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-200, 0.1, 1e200]), shift=st.sampled_from([0.0, -1.0]))
def test_scale_and_shift_do_not_matter(seed, scale, shift):
    values = np.random.default_rng(seed).normal(size=6)
    moved = (values + shift) * scale
    assert meta_input(moved, values)[:, 0] == pytest.approx(meta_input(values, values)[:, 0], rel=1e-6)


def test_a_pool_without_spread_has_z_scores_of_0():
    assert meta_input([0.1] * 3, [0.7] * 3).tolist() == [[1, 1]] * 3  # the mean of three 0.1 is not 0.1
    assert meta_input([5.0], [9.0], reference=([0.1] * 3, [0.7] * 3)).tolist() == [[1, 1]]


def test_outliers_stay_finite():
    x = meta_input([1e6, -1e6], [0, 0], reference=([0, 1], [0, 1]))
    assert x[:, 0].tolist() == [np.exp(200), np.exp(-200)]
    assert all(np.isfinite(rule.score(x)).all() for rule in COMBINATIONS.values())
    assert np.isfinite(MetaQueryNet().fit(x, [1, 2], [False, True]).score(x)).all()


def test_meta_input_says_which_scores_are_wrong():
    with pytest.raises(InputError, match=r"informativeness has 1 rows, but there are 2 examples"):
        meta_input([1, 2], [1])
    with pytest.raises(InputError, match=r"purity of the reference has NaN"):
        meta_input([1], [1], reference=([np.nan], [1]))


# fixed rules


@pytest.mark.parametrize(
    ("rule", "expected"), [("sum", [5, 1.5]), ("product", [6, 0.5]), ("purity", [2, 1]), ("informativeness", [3, 0.5])]
)
def test_fixed_rules_by_hand(rule, expected):
    fixed = COMBINATIONS[rule]
    assert fixed.fit([[2, 3]], [0.1], [False]) is fixed
    assert fixed.score([[2, 3], [1, 0.5]]).tolist() == expected
    assert fixed.rule_ == rule
    with pytest.raises(InputError, match="loss has 2 rows, but there are 1 examples"):
        fixed.fit([[2, 3]], [0.1, 0.2], [False])


# the score


def test_a_score_by_hand():
    # sigmoid(ln 3) = 3/4 from unit 0 (P = ln 3), 1/2 from unit 1 (I = 0): 2 * .75 + 4 * .5
    net = with_weights([[1, 0], [0, 1]], [0, 0], [2, 4])
    assert net.score([[np.log(3), 0]]) == pytest.approx(np.array([3.5]), rel=1e-6)


@given(seed=st.integers(0, 10_000), skyline=st.booleans())
def test_scores_equal_the_oracle_row_by_row(seed, skyline):
    rng = np.random.default_rng(seed)
    low = 0 if skyline else -1
    weights = [rng.uniform(low, 1, (2, 3)), rng.normal(size=3), rng.uniform(low, 1, 3)]
    net, x = with_weights(*weights, skyline=skyline), rng.exponential(size=(7, 2))
    scores = net.score(x)
    assert scores == pytest.approx(np.array([oracle.output(row, *weights) for row in x]), rel=1e-6, abs=1e-6)
    assert np.array_equal(scores, np.concatenate([net.score(row[None]) for row in x]))


def test_rows_do_not_depend_on_their_block():
    x, net = np.random.default_rng(0).exponential(size=(5000, 2)), MetaQueryNet(seed=3).fit(*query_set(0))
    assert np.array_equal(net.score(x)[4000:], net.score(x[4000:]))


@given(seed=st.integers(0, 10_000), fitted=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_score_falls_when_an_input_rises(seed, fitted):
    rng = np.random.default_rng(seed)
    if fitted:
        net = MetaQueryNet(8, seed, epochs=20, floor=0).fit(*query_set(seed))
    else:
        net = with_weights(rng.exponential(size=(2, 4)), rng.normal(size=4), rng.exponential(size=4))
    low = np.exp(rng.normal(0, 3, (200, 2)))
    for rise in ([1, 0], [0, 1], [1, 1]):
        high = low + rise * np.exp(rng.normal(-3, 5, (200, 1)))
        assert (net.score(high) >= net.score(low)).all()


def test_without_the_skyline_constraint_a_score_may_fall():
    x, _, ood = query_set(0, m=100)
    against = -np.log(x).sum(axis=1)  # the better both scores, the lower the loss
    net = MetaQueryNet(skyline=False).fit(x, np.exp(against), ood)
    scores = net.score([[0.5, 0.5], [2, 2]])
    assert scores[0] > scores[1]
    assert min(part.min() for part in net.weights_) < 0


def test_saturated_scores_tie_and_the_larger_sum_comes_first():
    net = with_weights([[1], [1]], [0], [1])
    x = np.array([[1e5, 50], [60, 50], [1e5, 51], [60, 50], [0, 3], [0, 0]])
    scores = net.score(x)
    assert np.argsort(-scores, kind="stable").tolist() == [2, 0, 1, 3, 4, 5]
    assert np.array_equal(scores.astype(np.float32), [1, 1, 1, 1, np.float32(1 / (1 + np.exp(-3))), 0.5])


@given(seed=st.integers(0, 10_000))
def test_the_sum_never_decides_against_a_difference(seed):
    rng = np.random.default_rng(seed)
    net = with_weights(*(rng.exponential(size=shape) for shape in ((2, 2), 2, 2)))
    x = np.exp(rng.normal(0, 4, (60, 2)))
    learned = np.array([oracle.output(row, *net.weights_) for row in x])
    scores = net.score(x)
    clear = learned[:, None] - learned > 2 * np.spacing(np.float32(learned))
    assert (scores[:, None] > scores)[clear].all()


# learning


@pytest.mark.parametrize(("m", "floor"), [(11, 1e-6), (140, 1e-6), (12, 0)])
def test_training_equals_the_oracle(m, floor):
    x, loss, ood = query_set(m, m)
    net = MetaQueryNet(3, seed=5, epochs=5, margin=0.2, learning_rate=0.05, floor=floor).fit(x, loss, ood)
    masked = np.where(ood, 0, loss)
    expected = oracle.train(x, masked, hidden=3, seed=5, epochs=5, margin=0.2, rate=0.05, floor=floor)
    for part, wanted in zip(net.weights_, expected, strict=True):
        assert part == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["says nothing", "contradicts", "two answers"])
@pytest.mark.parametrize("seed", range(3))
def test_no_layer_dies_whatever_the_answers(kind, seed):
    x, loss, ood = query_set(seed, 2 if kind == "two answers" else 300)
    if kind == "contradicts":
        loss = 1 / x.sum(axis=1)
        ood = x.sum(axis=1) > np.median(x.sum(axis=1))
    net = MetaQueryNet(seed=seed).fit(x, loss, ood)
    assert min(net.weights_.hidden.min(), net.weights_.output.min()) > 0
    assert np.ptp(net.score([[0.1, 0.1], [2, 2]])) > 0


def test_the_plain_relu_of_the_text_loses_a_layer_where_the_answers_contradict_the_scores():
    x, _, ood = query_set(0, 300)
    net = MetaQueryNet(floor=0).fit(x, 1 / x.sum(axis=1), ood)
    assert net.weights_.output.max() == 0
    assert net.score([[0.1, 0.1], [2, 2]]).argmax() == 1  # the tie goes to the larger P + I


def test_the_best_balance_is_found():
    """The more OOD examples there are, the more purity counts, and always better than without learning."""
    preferences = []
    for share in (0.1, 0.2, 0.4, 0.6):
        x, loss, ood = pool(share)
        net = MetaQueryNet().fit(x[:500], loss[:500], ood[:500])
        preferences.append(preference(net, x[500:]))
        worth = np.where(ood, 0, loss)[500:]
        rng = np.random.default_rng(1)
        i, j = rng.integers(0, len(worth), (2, 20_000))
        right = {
            name: (np.sign(s[i] - s[j]) == np.sign(worth[i] - worth[j]))[worth[i] != worth[j]].mean()
            for name, s in {"learned": net.score(x[500:]), "sum": x[500:].sum(axis=1)}.items()
        }
        assert right["learned"] > right["sum"]
    assert preferences == sorted(preferences)
    assert preferences[0] < 0.5
    assert preferences[-1] > 2


@pytest.mark.parametrize("useful", [0, 1])
def test_a_score_that_says_everything_gets_the_weight(useful):
    rng = np.random.default_rng(0)
    worth = rng.normal(size=500)
    columns = [rng.normal(size=500), rng.normal(size=500)]
    columns[useful] = worth
    x = meta_input(*columns)
    net = MetaQueryNet().fit(x, np.exp(worth), worth < -0.5)
    assert (preference(net, x) > 5) if useful == 0 else (preference(net, x) < 0.2)


def test_without_ood_examples_only_informativeness_counts():
    x, loss, _ = query_set(1)
    net = MetaQueryNet().fit(x, loss, np.zeros(len(x), bool))
    assert net.rule_ == "informativeness"
    assert net.score(x).argsort().tolist() == x[:, 1].argsort().tolist()
    assert net.weights_ is None


def test_with_nothing_but_ood_examples_only_purity_counts():
    x, _, _ = query_set(1)
    net = MetaQueryNet().fit(x, np.full(len(x), np.nan), np.ones(len(x), bool))
    assert net.rule_ == "purity"
    assert net.score(x).argsort().tolist() == x[:, 0].argsort().tolist()


def test_the_flag_says_what_is_ood_and_not_the_loss():
    x, loss, ood = query_set(2)
    assert MetaQueryNet().fit(x, np.zeros(len(x)), ~np.ones(len(x), bool)).rule_ == "informativeness"
    unread = np.where(ood, np.nan, loss)
    net, other = MetaQueryNet().fit(x, loss, ood), MetaQueryNet().fit(x, unread, ood)
    assert net.rule_ == "learned"
    assert same_weights(net, other)


def test_the_same_seed_gives_the_same_bits_and_leaves_other_generators_alone():
    state = torch.get_rng_state()
    net, again, other = (MetaQueryNet(seed=seed).fit(*query_set(3)) for seed in (1, 1, 2))
    assert same_weights(net, again)
    assert not same_weights(net, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_weights(net, again.fit(*query_set(4)).fit(*query_set(3)))  # each round starts afresh


def test_a_warm_start_goes_on_from_the_last_round():
    warm = MetaQueryNet(warm_start=True).fit(*query_set(4))
    first = warm.weights_
    x, loss, ood = query_set(5)
    assert same_weights(warm, MetaQueryNet().fit(*query_set(4)))
    assert warm.fit(x, loss, np.zeros_like(ood)).weights_ is first  # a round that teaches nothing changes nothing
    warm.fit(x, loss, ood)
    assert not same_weights(warm, MetaQueryNet().fit(x, loss, ood))
    assert all(np.array_equal(a, b) for a, b in zip(first, MetaQueryNet().fit(*query_set(4)).weights_, strict=True))


def test_inputs_are_not_touched():
    arrays = query_set(6)
    for array in arrays:
        array.flags.writeable = False
    MetaQueryNet().fit(*arrays).score(arrays[0])
    scores = COMBINATIONS["purity"].score(arrays[0])
    scores += 1
    assert not np.array_equal(scores, arrays[0][:, 0])


# files


@pytest.mark.parametrize("rule", ["learned", "informativeness", "purity"])
def test_a_saved_net_is_the_same_net(tmp_path, rule):
    x, loss, ood = query_set(7)
    flags = {"learned": ood, "informativeness": np.zeros_like(ood), "purity": np.ones_like(ood)}[rule]
    net = MetaQueryNet(16, 3, skyline=False, warm_start=True, epochs=7).fit(x, loss, flags)
    net.save(tmp_path / "a.safetensors")
    loaded = MetaQueryNet.load(tmp_path / "a.safetensors")
    loaded.save(str(tmp_path / "b.safetensors"))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]
    assert loaded.rule_ == rule
    assert np.array_equal(loaded.score(x), net.score(x))
    assert same_weights(loaded.fit(x, loss, ood), net.fit(x, loss, ood))  # with the same arguments, from the same state


def test_a_loaded_net_scores_without_torch(tmp_path):
    path = tmp_path / "net.safetensors"
    MetaQueryNet().fit(*query_set(8)).save(path)
    script = (
        "import sys, goodgrain; net = goodgrain.MetaQueryNet.load(sys.argv[1]); net.score([[1.0, 2.0]]); "
        "goodgrain.meta.meta_input([1, 2], [3, 4]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


def test_files_that_are_no_meta_model_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match=r"net.safetensors cannot be read as a meta-model: .*MetaQueryNet.save wrote"):
        MetaQueryNet.load(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(InputError, match="cannot be read as a meta-model"):
        MetaQueryNet.load(path)
    path.write_bytes(save_torch({"weight": torch.zeros(2, dtype=torch.bfloat16)}))
    with pytest.raises(InputError, match="cannot be read as a meta-model: data type 'bfloat16'|its metadata lacks"):
        MetaQueryNet.load(path)
    path.write_bytes(save({}, {"other": "1"}))
    with pytest.raises(InputError, match=r"is no meta-model of this library: its metadata lacks 'goodgrain'. Give"):
        MetaQueryNet.load(path)


def changed(**about):
    return lambda metadata, _: metadata.update(about)


def put(name, value):
    def put_it(_, tensors):
        tensors[name] = np.full_like(tensors[name], value)

    return put_it


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (changed(format="goodgrain-meta-9"), "its format is 'goodgrain-meta-9', this version reads 'goodgrain-meta-1'"),
        (changed(rule="guess"), "it goes by the rule 'guess', which there is not"),
        (changed(arguments={"hidden": 0}), "hidden should be a whole number, at least 1; 0 came"),
        (changed(arguments={"width": 4}), "unexpected keyword argument 'width'"),
        (changed(arguments={"hidden": 5}), r"its weights should be .*'hidden': \(2, 5\).*, they are .*\(2, 4\)"),
        (lambda _, tensors: tensors.clear(), r"its weights should be .*, they are {}"),
        (put("output", np.nan), "its weights are not finite"),
        (put("hidden", -1.0), "it has negative weights, which the skyline constraint forbids"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, sentence):
    path, net = tmp_path / "net.safetensors", MetaQueryNet(4, epochs=1).fit(*query_set(9))
    net.save(path)
    tensors = dict(zip(PARTS, net.weights_, strict=True))
    about = {"format": "goodgrain-meta-1", "rule": "learned", "arguments": {"hidden": 4}}
    damage(about, tensors)
    path.write_bytes(save(tensors, {"goodgrain": json.dumps(about)}))
    with pytest.raises(InputError, match=f"is no meta-model of this library: .*{sentence}"):
        MetaQueryNet.load(path)


# refusals


@pytest.mark.parametrize(
    ("x", "loss", "ood", "sentence"),
    [
        (
            [[1, 2, 3]],
            [1],
            [True],
            r"meta_input should have 2 columns, purity and informativeness; its shape is \(1, 3",
        ),
        (
            [[1, -2]],
            [1],
            [True],
            r"meta_input should lie between 0 and exp\(200\); row 0 has -2. Make it of the scores",
        ),
        ([[1e99, 2]], [1], [True], r"between 0 and exp\(200\); row 0 has 1e\+99"),
        ([[1, np.nan]], [1], [True], "meta_input has NaN or infinite values in 1 of 1 rows"),
        ([[1, 2]], [1, 2], [True], "loss has 2 rows, but there are 1 examples"),
        ([[1, 2]], [[1]], [True], r"loss should have 1 axes; its shape is \(1, 1\)"),
        ([[1, 2]], [1], [True, False], "ood has 2 rows, but there are 1 examples"),
        ([[1, 2]], [1], [1], r"ood should be \(m,\) bools; its type is int64, its shape \(1,\)"),
        ([[1, 2]], [1], [[True]], r"its type is bool, its shape \(1, 1\)"),
        (
            [[1, 2], [1, 2]],
            [-1, -2],
            [True, False],
            r"loss should be a cross-entropy, 0 or more; 1 entries are neg.*-2",
        ),
        ([[1, 2]], [np.nan], [False], "loss has NaN or infinite values in 1 of 1 rows"),
        (np.empty((0, 2)), [], [], "meta_input is empty"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(x, loss, ood, sentence):
    net = MetaQueryNet()
    with pytest.raises(InputError, match=sentence):
        net.fit(x, loss, ood)
    assert net.rule_ == ""


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ({"hidden": 0}, "hidden should be a whole number, at least 1; 0 came"),
        ({"seed": -1}, "seed should be a whole number, at least 0; -1 came"),
        ({"margin": 0}, "margin should be above 0; 0 came"),
        ({"epochs": 0.5}, "epochs should be a whole number, at least 1; 0.5 came"),
        ({"learning_rate": -1}, "learning_rate should be above 0; -1 came"),
        ({"floor": -1e-6}, "floor should be 0 or above; -1e-06 came"),
    ],
)
def test_arguments_outside_their_range_are_refused(argument, sentence):
    with pytest.raises(InputError, match=sentence):
        MetaQueryNet(**argument)


def test_a_net_that_has_learned_nothing_says_what_to_use_instead(tmp_path):
    sentence = r"this MetaQueryNet has learned nothing yet. Call fit .* goodgrain.meta.COMBINATIONS\['sum'\]"
    with pytest.raises(InputError, match=sentence):
        MetaQueryNet().score([[1, 2]])
    with pytest.raises(InputError, match=sentence):
        MetaQueryNet().save(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="should have 2 columns"):
        MetaQueryNet().score([[1]])
