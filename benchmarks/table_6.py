r"""Tables 6.1 to 6.4: fine-tune on sets of instructions, and ask MMLU.

python benchmarks/table_6.py --table 6.4 --scale laptop
python benchmarks/table_6.py --table 6.4 --scale paper --model LLAMA-2-7B --alpaca alpaca_data.json \
  --selected run/kept.json

The paper's scale is LLaMA-2-7B on Alpaca-52k; it takes GPUs, a model, and for table 6.4 what `goodgrain instruct
select` kept. The laptop's proves the path from selection to MMLU with a Llama that is built on the spot and knows
nothing: its figures are those of guessing, and say nothing about the sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from chapter6_data import alpaca, as_file, embed, halueval, source, twins

import goodgrain
from goodgrain.data.instructions import Instructions, read_instructions
from goodgrain.select import k_center, min_cover

HERE = Path(__file__).parent
PAPER = {
    "6.1": {"clean": 27.7, "400 hallucinated": 26.8, "800 hallucinated": 26.7},
    "6.2": {"max cover": 27.7, "random": 27.5, "min cover": 27.1},
    "6.3": {"high": 32.3, "random": 27.5, "low": 26.9},
    "6.4": {"vanilla": 26.6, "all": 32.5, "lima": 32.3, "alpagasus": 29.6, "fp-instruction": 38.7},
}
SCALES = {
    "laptop": {"count": 200, "limit": 2, "shots": 1, "tuning": {"lr": 1e-3, "max_length": 256, "batch_size": 16}},
    "paper": {"count": 9000, "limit": None, "shots": 5, "tuning": {}},
}
Sets = dict[str, Instructions | None]


def cleanness(asked: argparse.Namespace, count: int) -> Sets:
    """Rows with HaluEval's twin, some of which take the place of their row."""
    pairs, work = twins(), asked.work
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(pairs.rows))[: min(count, len(pairs.rows))]
    bad = chosen[pairs.hallucinated[chosen]]
    rows = {place: alpaca().row(int(pairs.rows[place])) for place in chosen}
    sets: Sets = {}
    for name, share in (("clean", 0.0), ("400 hallucinated", 0.5), ("800 hallucinated", 1.0)):
        swapped = set(bad[: round(share * len(bad))].tolist())
        told = [
            {"prompt": rows[place][0], "response": pairs.responses[place] if place in swapped else rows[place][1]}
            for place in chosen
        ]
        sets[name] = as_file(told, work / f"6.1-{name}.jsonl")
    print(f"table 6.1: {len(chosen)} rows; the {len(bad)} of them with a hallucinated twin, none, half or all swapped")
    return sets


def diversity(asked: argparse.Namespace, count: int) -> Sets:
    """Greedy cover, chance, and one row's neighbours."""
    data = alpaca_of(asked)
    x = embed([request for _, rows in data.blocks() for request, _ in rows], asked.work)
    picks = {
        "max cover": k_center(x, count, seed=0).positions,
        "random": np.random.default_rng(0).permutation(len(data))[:count],
        "min cover": min_cover(x, count, seed=0).positions,
    }
    return {name: part(data, rows, asked.work / f"6.2-{name}") for name, rows in picks.items()}


def quality(asked: argparse.Namespace, count: int) -> Sets:
    """By the published filter: rows that reach 4.5, chance, and rows that do not."""
    data = alpaca()
    high, drawn = (np.array(data.column(name)) for name in ("in_claude_t45", "in_random_9k"))
    rng = np.random.default_rng(0)
    picks = {"high": high, "random": drawn, "low": drawn & ~high}
    return {
        name: part(data, rng.permutation(np.flatnonzero(chosen))[:count], asked.work / f"6.3-{name}")
        for name, chosen in picks.items()
    }


def selections(asked: argparse.Namespace, count: int) -> Sets:
    """No tuning, all rows, LIMA's, Alpagasus's and those of a selection."""
    data = alpaca_of(asked)
    if asked.selected is None:
        run = goodgrain.instruct(data, output=asked.work / "selection", teacher="length", keep=max(count, 1513))
        print("table 6.4: the selection is that of the offline baseline `length`, as no teacher is at hand")
        chosen = part(data, run.positions[:count], asked.work / "6.4-ours")
    else:
        chosen = read_instructions(asked.selected)
    lima = read_instructions(source() / "lima_1022.parquet")
    filtered = np.flatnonzero(np.array(alpaca().column("in_claude_t45")))[:count]
    everything = data if asked.scale == "paper" else part(data, np.arange(2 * count), asked.work / "6.4-all")
    return {
        "vanilla": None,
        "all": everything,
        "lima": part(lima, np.arange(min(count, 1000)), asked.work / "6.4-lima"),
        "alpagasus": part(alpaca(), filtered, asked.work / "6.4-alpagasus"),
        "fp-instruction": chosen,
    }


TABLES: dict[str, Callable[[argparse.Namespace, int], Sets]] = {
    "6.1": cleanness,
    "6.2": diversity,
    "6.3": quality,
    "6.4": selections,
}


def alpaca_of(asked: argparse.Namespace) -> Instructions:
    """The whole of Alpaca where a file is given, else the rows that are at hand."""
    return alpaca() if asked.alpaca is None else read_instructions(asked.alpaca)


def part(data: Instructions, rows: np.ndarray, path: Path) -> Instructions:
    """Some rows as a file of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.with_name(path.name + data.suffix)
    return read_instructions(data.write(np.sort(rows), target))


def tiny(folder: Path) -> str:
    """A Llama of 0.4 million random weights, its tokenizer made of HaluEval's texts."""
    if not folder.exists():
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        pieces = Tokenizer(models.BPE())
        pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces.decoder = decoders.ByteLevel()
        texts = [" ".join(row) for _, rows in halueval().blocks() for row in rows]
        letters = pre_tokenizers.ByteLevel.alphabet()
        pieces.train_from_iterator(
            texts,
            trainers.BpeTrainer(vocab_size=2000, special_tokens=["<s>", "</s>"], initial_alphabet=letters),
        )
        marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, **marks)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


def main() -> None:
    """One line per set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(TABLES), required=True)
    parser.add_argument("--scale", choices=list(SCALES), default="laptop")
    parser.add_argument("--model", help="a causal language model; by default a tiny one is built")
    parser.add_argument("--alpaca", type=Path, help="all 52,002 rows")
    parser.add_argument("--selected", type=Path, help="what a selection kept (table 6.4)")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "chapter6")
    asked = parser.parse_args()
    scale = SCALES[asked.scale]
    asked.work = asked.work / asked.scale
    asked.work.mkdir(parents=True, exist_ok=True)
    model = asked.model or tiny(asked.work / "tiny-llama")
    sets = TABLES[asked.table](asked, scale["count"])
    words = "" if asked.scale == "paper" else ", a random model: the path, not the sets"
    print(f"Table {asked.table} · MMLU accuracy (%) · {asked.scale}{words} [paper, LLaMA-2-7B]")
    for name, data in sets.items():
        place = asked.work / f"{asked.table}-{name.replace(' ', '-')}"
        tuned, rows, losses = model, 0, ""
        if data is not None:
            result = goodgrain.finetune(data, model=model, output=place / "tuned", **scale["tuning"])
            tuned, rows = str(result.model), len(data)
            losses = " loss " + ", ".join(f"{loss:.2f}" for loss in result.metrics["loss_by_epoch"])
        scored = goodgrain.evaluate_mmlu(
            tuned,
            output=place / "mmlu",
            questions=source() / "mmlu.parquet",
            shots=scale["shots"],
            limit=scale["limit"],
        )
        told = f"{100 * scored.accuracy:.1f} ± {100 * scored.standard_error:.1f} [{PAPER[asked.table][name]}]"
        print(f"{name:<20}{rows:>7} rows{told:>24}{losses}", flush=True)


if __name__ == "__main__":
    main()
