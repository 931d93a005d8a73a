import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.learn.toys import blobs, flat

from goodgrain.errors import InputError, UnknownName
from goodgrain.learn import Standard, fit, predict
from goodgrain.learn.engine import Engine
from goodgrain.learn.learners.sop import NoiseVariables


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory, request):
    """What two processes under torch's launcher ended with."""
    folder = tmp_path_factory.mktemp("two")
    root = request.config.rootpath
    paths = [str(root), str(root / "tests"), *sys.path]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    script = str(root / "tests" / "learn" / "two_processes.py")
    done = subprocess.run(
        [sys.executable, *launch, script, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_a_step_is_divided_and_filled_up(both):
    assert [result["processes"] for result in both] == [2, 2]
    assert [result["shares"]["even"] for result in both] == [[10, 12, 14], [11, 13, 15]]
    assert [result["shares"]["odd"] for result in both] == [[10, 12, 14], [11, 13, 10]]
    assert [result["shares"]["one"] for result in both] == [[4], [4]]


def test_gradients_are_averaged(both):
    assert [result["weights"] for result in both] == [[-1.5] * 3] * 2


def test_noise_variables_take_the_rows_of_all_processes(both):
    # of a process's own rows the gradient is position / 2 for u (a mean of two) and position for v; halved by the mean
    for result in both:
        assert result["u"] == pytest.approx([-0.0, -0.25, -0.5, -0.75])
        assert result["v"] == pytest.approx([-0.0, -0.5, -1.0, -1.5])


@pytest.mark.parametrize("kind", ["standard", "sop", "simclr", "dividemix"])
def test_processes_end_alike_and_have_seen_everything(both, kind):
    first, second = (result[kind] for result in both)
    assert first["loss"] == second["loss"]
    torch.testing.assert_close(first["margin"], second["margin"], rtol=0, atol=0, equal_nan=True)
    if kind in ("standard", "sop"):
        assert not first["margin"].isnan().any()
    for name, value in first["tensors"].items():
        assert torch.equal(value, second["tensors"][name]), name
    if kind == "sop":  # every example's own u moved away from where it began, in whichever process it was seen
        began = NoiseVariables(blobs(61).ids.tolist(), 3, 5).u
        assert (first["tensors"]["noise.u"] != began).all()


def test_two_processes_learn_what_one_learns(both):
    """Without batch normalisation and views the division changes nothing but the order of sums."""
    pool = blobs(64)
    alone = Standard(flat(pool), augment=False, flip=False, lr=0.05, batch_size=16)
    history = fit(alone, pool, epochs=3, seed=5, device="cpu")
    shared = both[0]["linear"]
    assert shared["loss"] == pytest.approx(history.loss.tolist(), rel=1e-5)
    assert shared["loss"][-1] < 0.5 * shared["loss"][0]
    for name, value in alone.network.state_dict().items():
        assert torch.allclose(shared["tensors"][f"network.{name}"], value, atol=1e-5), name


def test_mixed_precision_trains_and_keeps_float32_weights():
    pool = blobs(60)
    results = {}
    for precision in ("float32", "bf16"):
        learner = Standard(flip=False, batch_size=16)
        fit(learner, pool, epochs=6, seed=0, device="cpu", precision=precision)
        results[precision] = predict(learner, pool)
        assert {weights.dtype for weights in learner.network.parameters()} == {torch.float32}
    (exact, _), (rounded, features) = results["float32"], results["bf16"]
    assert features.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert (exact.argmax(1) == pool.labels).mean() > 0.9
    assert (rounded.argmax(1) == pool.labels).mean() > 0.9


def test_unknown_devices_and_precisions_are_refused():
    with pytest.raises(InputError, match="there is no device 'tpux'. Give auto, cpu or cuda"):
        Engine("tpux")
    with pytest.raises(UnknownName, match="no precision 'bf61'. Did you mean 'bf16'"):
        Engine("cpu", "bf61")


def test_one_process_keeps_its_images():
    engine = Engine("cpu")
    assert engine.main
    assert engine.share(np.array([3, 1])).tolist() == [3, 1]
    assert engine.told({"a": 1}) == {"a": 1}
