"""A causal language model on disk that answers requests, in the chat format that it was trained with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from goodgrain.errors import InputError
from goodgrain.models.encoders.encoder import library

_SAFE = {"trust_remote_code": False}  # a model is weights and numbers; its author's code is never run
_FIELD = "{instruction}"


@dataclass(frozen=True)
class Said:
    """One answer.

    Args:
        text: without special tokens and surrounding space.
        tokens: how many were generated.
        cut: whether it stopped because there was no room for more.
    """

    text: str
    tokens: int
    cut: bool


class ChatModel:
    """A language model and its tokenizer.

    Args:
        network: a causal language model of transformers.
        tokenizer: its own.
        template: text with the field {instruction}; None for the tokenizer's chat template.
    """

    def __init__(self, network: Any, tokenizer: Any, template: str | None) -> None:
        self._network, self._tokenizer, self._template = network, tokenizer, template
        config = network.config.get_text_config()
        self.places: int | None = getattr(config, "max_position_embeddings", None)
        self._pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]

    def prompt(self, request: str) -> list[int]:
        """The tokens of a request in the model's format.

        A special token that is spelled out in the request, such as "</s>", is broken by a space: it would end the
        turn and could open another.
        """
        for token in self._special:
            request = request.replace(token, f"{token[:1]} {token[1:]}")
        if self._template is not None:
            ids = self._tokenizer(self._template.replace(_FIELD, request), verbose=False)["input_ids"]
        else:
            turn = [{"role": "user", "content": request}]
            text = self._tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
            # the template has brought the special tokens
            ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    @torch.inference_mode()
    def answer(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Said]:
        """Answer prompts, all of them at a time; one by one where the longest would leave the others too little room.

        Args:
            prompts: tokens as `prompt` makes them; one that leaves no room for an answer gets an empty one.
            max_new_tokens: of each answer.
            temperature: 0 is greedy.
            seed: of the sampling.

        Returns:
            One answer for each prompt.
        """
        longest = max(map(len, prompts))
        if self.places is not None and longest + max_new_tokens > self.places:
            if len(prompts) > 1:
                alone: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
                return [self.answer([prompt], **alone)[0] for prompt in prompts]
            max_new_tokens = self.places - longest
            if max_new_tokens < 1:
                return [Said("", 0, cut=True)]
        device = self._network.device
        tokens = torch.full((len(prompts), longest), self._pad)
        there = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):  # padded on the left: what is generated follows the prompt
            tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
            there[row, longest - len(prompt) :] = 1
        drawing = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quiet():
            torch.manual_seed(seed)
            made = self._network.generate(
                input_ids=tokens.to(device), attention_mask=there.to(device), max_new_tokens=max_new_tokens,
                pad_token_id=self._pad, **drawing,
            )  # fmt: skip
        return [self._said(row) for row in made[:, longest:].tolist()]

    def _said(self, tokens: list[int]) -> Said:
        ends = self._network.generation_config.eos_token_id
        stops = set(ends if isinstance(ends, list) else [ends])
        count = next((place for place, token in enumerate(tokens) if token in stops), None)
        kept = tokens if count is None else tokens[:count]
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Said(text, len(kept), cut=count is None)


def load_chat_model(name: str, *, template: str | None = None, device: torch.device | str = "cpu") -> ChatModel:
    """Load a causal language model; weights come from safetensors only, and no code of its author is run.

    Args:
        name: a folder with model and tokenizer as transformers saves them, or a name on the hub.
        template: text with the field {instruction}, for a model without a chat template, or instead of it.
        device: where the network goes.

    Raises:
        MissingExtra: transformers is not installed.
        InputError: no such model, weights that are missing or no safetensors, or no way to put a request.
    """
    if template is not None and _FIELD not in template:
        raise InputError(f"the template should have the field {_FIELD}; {template!r} has not.")
    network, tokenizer = load_causal(name, device)
    if template is None and not tokenizer.chat_template:
        raise InputError(
            f"the tokenizer of {name} has no chat template, so that it is not known how to put a request to the model. "
            f"Give template, such as 'Question: {_FIELD}\\nAnswer:', as the model was trained."
        )
    return ChatModel(network, tokenizer, template)


LoadedModel = tuple[Any, Any]  # a causal language model and its tokenizer


def load_causal(name: str, device: torch.device | str = "cpu") -> LoadedModel:
    """A causal language model, ready to be asked, and its tokenizer; see `load_chat_model`."""
    transformers = library("transformers", "embed")
    with quiet():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **_SAFE)
            network, report = transformers.AutoModelForCausalLM.from_pretrained(
                name, use_safetensors=True, output_loading_info=True, **_SAFE
            )
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError, ImportError) as reason:
            first = str(reason).strip().splitlines() or [type(reason).__name__]
            raise InputError(
                f"the language model {name} cannot be loaded: {first[0].rstrip('.')}. A folder needs config.json, "
                "model.safetensors and the tokenizer's files."
            ) from reason
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            f"the weights of {name} lack {len(missing)} of the network's, such as {missing[0]}, which would be random."
        )
    return network.to(device).eval(), tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and advice on settings; what matters of it is checked here."""
    settings = library("transformers", "embed").utils.logging
    level, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity(logging.ERROR)
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(level)
        if bars:
            settings.enable_progress_bar()
