import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import oracles_contrast as slow

from goodgrain.errors import InputError
from goodgrain.scores import ccal, ccal_distinctive, ccal_semantic, csi, nearest_in
from goodgrain.scores import contrast as module

SEEDS = st.integers(0, 10_000)


def problem(seed, *, n=9, m=7, k=3, d=4):
    """Features and logits of pool and reference, and classes of the reference: 2 and 5 twice or more, 3 once."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(m, k)) + 1
    labels = rng.permutation([2, 2, 5, 5, 3, *rng.choice([2, 5], m - 5)])
    return rng.normal(size=(n, k, d)), rng.normal(size=(m, k, d)), rng.normal(size=(n, k)), logits, labels


def test_csi_by_hand():
    # rotation 0: references of length 1 and 3 along the axes, mean 2. The first has <(4, 0), e1> = 4, 4 / 2 = 2.
    # The second has <(1, 2), e2> = 2, 2 / 2 = 1. Rotation 1: one direction of mean length 1: 0.5 and -1.
    # Logits: means 2 and 0.5; the first has 2 / 2 + 1 / 0.5 = 3, the second 0 + -0.5 / 0.5 = -1.
    features = [[[4, 0], [0.5, 0]], [[1, 2], [-1, 7]]]
    reference = [[[1, 0], [1, 0]], [[0, 3], [1, 0]]]
    assert csi(features, reference).tolist() == [(2 + 0.5) / 2, (1 - 1) / 2]
    score = csi(features, reference, [[2, 1], [0, -0.5]], [[1, 0], [3, 1]])
    assert score.tolist() == [(2.5 + 3) / 2, (0 - 1) / 2]


def test_a_rotation_that_the_classifier_does_not_know_has_no_say():
    """Divided by a mean below 0, the surest examples would come last."""
    features, reference = np.zeros((2, 2, 1)), np.ones((1, 2, 1))
    assert csi(features, reference, [[1, 9], [3, -9]], [[2, -1]]).tolist() == [0.25, 0.75]
    assert csi(features, reference, [[1, 9], [3, -9]], [[2, 0]]).tolist() == [0.25, 0.75]


def test_a_reference_of_zeros_is_near_nothing():
    assert csi(np.ones((2, 1, 3)), np.zeros((4, 1, 3))).tolist() == [0, 0]


@given(seed=SEEDS, k=st.integers(1, 4))
def test_they_equal_the_slow_versions(seed, k):
    x, r, own, theirs, labels = problem(seed, k=k)
    np.testing.assert_allclose(csi(x, r, own, theirs), slow.csi(x, r, own, theirs), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ccal_semantic(x[:, 0], r[:, 0]), slow.semantic(x[:, 0], r[:, 0]), atol=1e-9)
    columns = slow.distinctive(x, r, labels)
    expected = np.stack([columns[label] for label in (2, 3, 5)], axis=1)
    np.testing.assert_allclose(ccal_distinctive(x, r, labels), expected, atol=1e-9)
    flat, known = np.random.default_rng(seed).normal(size=(2, 9, 5))
    expected = slow.ccal(flat, known[:7], labels, x, r)
    np.testing.assert_allclose(ccal(flat, known[:7], labels, shifted=x, labeled_shifted=r), expected, atol=1e-9)


def test_blocks_give_what_one_block_gives(monkeypatch):
    x, r, own, theirs, labels = problem(0, n=23, m=17)

    def everything():
        return np.concatenate([csi(x, r, own, theirs), ccal(x[:, 0], r[:, 0], labels, shifted=x, labeled_shifted=r)])

    whole = everything()
    monkeypatch.setattr(module, "_BLOCK", 5)
    np.testing.assert_allclose(everything(), whole, atol=1e-12)


@given(seed=SEEDS)
def test_neither_order_matters(seed):
    x, r, own, theirs, labels = problem(seed)
    rng = np.random.default_rng(seed)
    rows, known, turns = rng.permutation(9), rng.permutation(7), rng.permutation(3)
    score = csi(x, r, own, theirs)
    np.testing.assert_allclose(csi(x[rows], r[known], own[rows], theirs[known]), score[rows], atol=1e-9)
    np.testing.assert_allclose(csi(x[:, turns], r[:, turns], own[:, turns], theirs[:, turns]), score, atol=1e-9)
    score = ccal(x[:, 0], r[:, 0], labels, shifted=x, labeled_shifted=r)
    again = ccal(x[rows, 0], r[known, 0], labels[known], shifted=x[rows], labeled_shifted=r[known])
    np.testing.assert_allclose(again, score[rows], atol=1e-9)


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 0.5, 40.0]))
def test_what_scales_may_do(seed, scale):
    x, r, own, theirs, labels = problem(seed)
    by_turn = np.array([scale, 1, 3 * scale])
    score = csi(x, r, own, theirs)
    scaled = csi(x * by_turn[:, None], r * by_turn[:, None], own * by_turn, theirs * by_turn)
    np.testing.assert_allclose(scaled, score, rtol=1e-9, atol=1e-9)  # of the features and logits of one rotation
    np.testing.assert_allclose(csi(scale * x, r), scale * csi(x, r), rtol=1e-9)  # an example's own length counts
    np.testing.assert_allclose(csi(x, scale * r), csi(x, r) / scale, rtol=1e-9)
    rows, known = (np.random.default_rng(seed).uniform(0.1, 9, (len(part), 3, 1)) for part in (x, r))
    score = ccal(x[:, 0], r[:, 0], labels, shifted=x, labeled_shifted=r)  # only directions count
    scaled = ccal((x * rows)[:, 0], (r * known)[:, 0], labels, shifted=x * rows, labeled_shifted=r * known)
    np.testing.assert_allclose(scaled, score, atol=1e-8)


@given(seed=SEEDS)
def test_of_unit_length_and_one_rotation_csi_is_the_nearest_cosine(seed):
    x, r, *_ = problem(seed, k=1)
    x, r = (rows / np.linalg.norm(rows, axis=2, keepdims=True) for rows in (x, r))
    np.testing.assert_allclose(csi(x, r), nearest_in(x[:, 0], r[:, 0]), atol=1e-12)


def test_ccal_by_hand():
    # one class knows (1, 0) and (0.6, 0.8), the other (-1, 0) alone
    known, labels = [[1, 0], [0.6, 0.8], [-1, 0]], [0, 0, 7]
    pool = [[1, 0], [0, 1], [-0.8, 0.6]]
    # the largest cosines are 1, 0.8 and 0.8
    assert ccal_semantic(pool, known) == pytest.approx([np.tanh(5), -1, -1])
    # class 0, cos(a, b) = 0.6: 2 - 0.6 + 0.6 = 2; 1.6 - 0 + 0.6 = 2.2; c = 0 and -0.8: 0 + 0.8 + 0.6 = 1.4
    # class 7, its one example twice, c + 1: 0; 1; 1.8
    distinctive = ccal_distinctive(np.array(pool)[:, None], np.array(known)[:, None], labels)
    np.testing.assert_allclose(distinctive, [[0.75, 0], [1, 1 / 1.8], [0, 1]], atol=1e-12)
    score = ccal(pool, known, labels, shifted=np.array(pool)[:, None], labeled_shifted=np.array(known)[:, None])
    # nearest: class 0, class 0, class 7
    assert score == pytest.approx([np.tanh(5) + 1 - 0.75, -1 + 1 - 1, -1 + 1 - 1])


def test_where_all_are_alike_nothing_is_divided_by_nothing():
    same = np.ones((4, 2, 3))
    assert ccal_semantic(same[:, 0], same[:2, 0]) == pytest.approx(np.full(4, -1.0))
    np.testing.assert_array_equal(ccal_distinctive(same, same[:1], [3]), np.zeros((4, 1)))


def test_inputs_stay_as_they_were():
    x, r, own, theirs, labels = problem(1)
    kept = [part.copy() for part in (x, r, own, theirs, labels)]
    csi(x, r, own, theirs)
    ccal(x[:, 0], r[:, 0], labels, shifted=x, labeled_shifted=r)
    for part, before in zip((x, r, own, theirs, labels), kept, strict=True):
        np.testing.assert_array_equal(part, before)


def test_what_does_not_fit_is_told():
    x, r, own, theirs, labels = problem(0)
    with pytest.raises(InputError, match=r"features and reference should be .*shapes are \(9, 3, 4\) and \(7, 2, 4\)"):
        csi(x, r[:, :2])
    with pytest.raises(InputError, match="reference should have 3 axes"):
        csi(x, r[:, 0])
    with pytest.raises(InputError, match="one side only. Give both, or neither"):
        csi(x, r, own)
    with pytest.raises(InputError, match="one side only. Give both, or neither"):
        csi(x, r, None, theirs)
    with pytest.raises(InputError, match=r"shift_logits should be \(n, 3\), one logit per rotation"):
        csi(x, r, own[:, :2], theirs)
    with pytest.raises(InputError, match="reference_shift_logits has 6 rows, but there are 7 examples"):
        csi(x, r, own, theirs[:6])
    with pytest.raises(InputError, match="features have 4 dimensions and labeled 3. Take both from one model"):
        ccal_semantic(x[:, 0], r[:, 0, :3])
    with pytest.raises(InputError, match=r"features and labeled should be .* Take both from one model"):
        ccal_distinctive(x, r[..., :2], labels)
    with pytest.raises(InputError, match="labels has 6 rows, but there are 7 examples"):
        ccal_distinctive(x, r, labels[:6])
    with pytest.raises(InputError, match="labels should be 0 or more"):
        ccal_distinctive(x, r, [-1] * 7)
    with pytest.raises(InputError, match="labeled_shifted has 6 rows, but there are 7 examples"):
        ccal(x[:, 0], r[:, 0], labels, shifted=x, labeled_shifted=r[:6])
    x[2, 1, 0] = np.nan
    with pytest.raises(InputError, match="features has NaN or infinite values in 1 of 9 rows; the first is row 2"):
        csi(x, r)
