"""What each of two processes ends with; started by test_engine.py under the launcher of torch, on gloo."""

import sys
from pathlib import Path

import numpy as np
import torch
from tests.learn.toys import blobs, flat

from goodgrain.learn import SOP, DivideMix, SimCLR, Standard, fit
from goodgrain.learn.engine import Engine
from goodgrain.learn.learners.sop import NoiseVariables


def shares(engine):
    return {
        "even": engine.share(np.arange(10, 16)).tolist(),
        "odd": engine.share(np.arange(10, 15)).tolist(),
        "one": engine.share(np.array([4])).tolist(),
    }


def gradients(engine):
    """A gradient of its own in each process, averaged; and noise variables stepped by rows of both."""
    weights = torch.nn.Parameter(torch.zeros(3))
    engine.descend((weights * float(1 + engine.rank)).sum(), torch.optim.SGD([weights], lr=1.0))
    noise = NoiseVariables(["a", "b", "c", "d"], 2, 0)
    noise.u.zero_()
    noise.v.zero_()
    positions = torch.tensor([[3, 1], [0, 2]][engine.rank])
    u, v = noise.rows(positions)
    ((u * positions[:, None]).mean() + (v * positions[:, None]).sum()).backward()
    noise.descend(positions, u, v, lr_u=1.0, lr_v=1.0, engine=engine)
    return {"weights": weights.tolist(), "u": noise.u[:, 0].tolist(), "v": noise.v[:, 1].tolist()}


def learner_of(kind):
    if kind == "linear":
        return Standard(flat(blobs(64)), augment=False, flip=False, lr=0.05, batch_size=16), blobs(64)
    make = {"standard": Standard, "sop": SOP, "simclr": SimCLR, "dividemix": DivideMix}[kind]
    return make(flip=False, lr=0.02, batch_size=16), blobs(61)


def tensors(learner):
    return {
        f"{name}.{key}": value
        for name, part in learner.saved().items()
        if isinstance(part, torch.nn.Module)
        for key, value in part.state_dict().items()
    }


def trained(kind, folder):
    asked = {"epochs": 3, "seed": 5, "checkpoint": folder / f"{kind}.pt", "device": "cpu"}
    learner, pool = learner_of(kind)
    history = fit(learner, pool, **asked)
    again, _ = learner_of(kind)
    fit(again, pool, **asked)  # the main process reads the checkpoint, and every process takes it up
    ours, theirs = tensors(learner), tensors(again)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    return {"tensors": ours, "margin": torch.from_numpy(history.margin), "loss": history.loss.tolist()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    engine = Engine("cpu")
    result = {"processes": engine.processes, "shares": shares(engine), **gradients(engine)}
    result |= {kind: trained(kind, folder) for kind in ("standard", "sop", "simclr", "dividemix", "linear")}
    torch.save(result, folder / f"rank-{engine.rank}.pt")
