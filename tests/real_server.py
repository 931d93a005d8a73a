"""`transformers serve` on loopback: a real OpenAI-compatible server for models built on the spot."""

import itertools
import os
import socket
import subprocess
import sys
import time

import httpx
import torch

PATIENCE = 180.0  # seconds until it answers; it takes about 12 when the machine is idle


class RealServer:
    """A server process that can be killed and started again at the same address."""

    def __init__(self, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.log, self.process = f"http://127.0.0.1:{self.port}/v1", log, None

    def start(self):
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu", "--log-level", "info"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
            )
        until = time.monotonic() + PATIENCE
        while not self._is_up():
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < until, f"no answer within {PATIENCE:g} seconds"
            time.sleep(0.1)
        return self

    def _is_up(self):
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, body):
        """What the server says to this body, without a client of ours."""
        return httpx.post(f"{self.url}/chat/completions", json=body, timeout=60, trust_env=False).json()

    def calls(self):
        """How many calls it has answered since the first start, in its own words."""
        return self.log.read_text(errors="replace").count('"POST /v1/')


def taught(folder, answer):
    """Rewire the tiny Llama in a folder so that it says the same words to everything, and stops.

    Nothing is carried from token to token but the last one; each token of the answer leads to the next.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    chain = [tokenizer("\n").input_ids[-1], *tokenizer(answer).input_ids, tokenizer.eos_token_id]
    assert len(set(chain)) == len(chain) <= model.config.hidden_size
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for axis, (token, following) in enumerate(itertools.pairwise(chain)):
            model.model.embed_tokens.weight[token, axis] = 1.0
            model.lm_head.weight[following, axis] = 1.0
    model.save_pretrained(folder)
    return folder
