"""How likely a causal language model finds responses, given their requests and alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from goodgrain.errors import InputError
from goodgrain.models.chat_model import ChatModel, LoadedModel, load_causal

_TEMPLATE = "{instruction}\n\n"  # of a model without a chat format
_PLACES = 2048  # of a model that does not say how many it has
_TOKENS = 4096  # of a batch, padding included


@dataclass(frozen=True, eq=False)
class ResponseLosses:
    """What a model makes of n responses.

    Args:
        conditional: (n,) mean token loss of each after its request, in nats; NaN of a response without tokens.
        alone: (n,) mean loss of the same tokens without the request.
        tokens: (n,) tokens of each response that were looked at.
        cut: (n,) whether a row was longer than the model's room, and was cut at its end.
    """

    conditional: NDArray[np.float64]
    alone: NDArray[np.float64]
    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]


def response_losses(
    model: str | LoadedModel,
    rows: Sequence[tuple[str, str]],
    *,
    device: torch.device | str = "cpu",
    on_row: Callable[[int], None] | None = None,
) -> ResponseLosses:
    """The mean token loss of each response, after its request and alone.

    Both are taken over the same tokens: those of the response, and of the room that the request leaves. Alone, a
    response follows the mark at the beginning of a text, or the end mark where the model has none. Rows of like length
    go through the model together; padding does not count. Special tokens that a row spells out, such as "</s>", are
    read as text.

    Args:
        model: a folder with a causal language model, its name on the hub, or what `load_causal` made of one.
        rows: (request, response) pairs.
        device: where a model goes that is loaded here.
        on_row: gets how many more rows are done.

    Returns:
        ResponseLosses.

    Raises:
        InputError: the model cannot be loaded, or marks neither beginning nor end of a text.
        MissingExtra: transformers is not installed.
    """
    network, tokenizer = load_causal(model, device) if isinstance(model, str) else model
    room = getattr(network.config.get_text_config(), "max_position_embeddings", None) or _PLACES
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if start is None:
        raise InputError(
            f"the tokenizer of {network.name_or_path} has neither a token for the beginning of a text nor one for its "
            "end, so that a response alone has nothing to follow. Set bos_token in its tokenizer_config.json."
        )
    chat = ChatModel(network, tokenizer, None if tokenizer.chat_template else _TEMPLATE)
    n = len(rows)
    after, before = np.full(n, np.nan), np.full(n, np.nan)
    counts, cut = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    pairs = []
    for row, (request, response) in enumerate(rows):
        whole, answer = chat.prompt(_encodable(request)), _ids(tokenizer, _encodable(response))
        cut[row] = len(whole) + len(answer) > room
        context = whole[: room - 1]
        pairs.append((context, answer[: room - len(context)]))
    counts[:] = [len(answer) for _, answer in pairs]
    for columns, kind in ((after, "after"), (before, "alone")):
        texts = [(context if kind == "after" else [start], answer) for context, answer in pairs]
        for batch in _batches(texts):
            losses = _mean_losses(network, [texts[row] for row in batch])
            columns[batch] = losses
            if on_row is not None and kind == "alone":
                on_row(len(batch))
    return ResponseLosses(after, before, counts, cut)


def _encodable(text: str) -> str:
    """JSON can spell half of a surrogate pair, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _ids(tokenizer: Any, text: str) -> list[int]:
    found = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [int(token) for token in found]


def _batches(texts: Sequence[tuple[list[int], list[int]]]) -> list[NDArray[np.int64]]:
    """Rows that have something to be scored, those of like length together, _TOKENS at most with their padding."""
    lengths = np.array([len(context) + len(answer) for context, answer in texts])
    rows = np.array([row for row, (_, answer) in enumerate(texts) if answer], dtype=np.int64)
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    batches, begin = [], 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or (place - begin + 1) * lengths[rows[place]] > _TOKENS:
            batches.append(rows[begin:place])
            begin = place
    return batches


@torch.inference_mode()
def _mean_losses(network: torch.nn.Module, texts: Sequence[tuple[list[int], list[int]]]) -> NDArray[np.float64]:
    longest = max(len(context) + len(answer) for context, answer in texts)
    tokens = torch.zeros(len(texts), longest, dtype=torch.long)
    scored = torch.zeros(len(texts), longest, dtype=torch.bool)
    there = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, (context, answer) in enumerate(texts):
        size = len(context) + len(answer)
        tokens[row, :size] = torch.tensor(context + answer)
        there[row, :size] = 1
        scored[row, len(context) : size] = True
    device = next(network.parameters()).device
    logits = network(input_ids=tokens.to(device), attention_mask=there.to(device)).logits[:, :-1].float()  # (b, t-1, v)
    loss = cross_entropy(logits.transpose(1, 2), tokens[:, 1:].to(device), reduction="none").double().cpu()
    loss = torch.where(scored[:, 1:], loss, torch.zeros(()))
    mean: NDArray[np.float64] = (loss.sum(dim=1) / scored[:, 1:].sum(dim=1)).numpy()
    return mean
