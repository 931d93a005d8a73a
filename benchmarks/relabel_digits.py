"""Digits with 40% symmetric label noise: do learners that correct labels beat cross-entropy, and how much is corrected?

    python benchmarks/relabel_digits.py [--seeds 5] [--epochs 60] [--learners ce,sop,dividemix]

Handwritten digits of scikit-learn: 1,000 to train on, 797 to test on; the small network, house defaults, last epoch.
Each line of results/relabel_digits.jsonl is one training; a training that has its line is not run again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from goodgrain.data.noise import rehearse
from goodgrain.data.pool import Pool
from goodgrain.learn import fit, make_learner, predict
from goodgrain.metrics import accuracy, relabeling_accuracy

RESULTS = Path(__file__).parent / "results" / "relabel_digits.jsonl"


def pools(seed):
    """Training images under wrong labels, and test images."""
    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    kept, held = train_test_split(np.arange(len(labels)), train_size=1000, stratify=labels, random_state=seed)
    train = rehearse(Pool.from_arrays(pixels[kept], labels[kept]), "symmetric:0.4", seed=seed)
    return train, Pool.from_arrays(pixels[held], labels[held])


def trained(name, seed, epochs):
    """Test accuracy, and the share of wrong labels put right."""
    train, test = pools(seed)
    learner = make_learner(name, flip=False)
    fit(learner, train, epochs=epochs, seed=seed, device="cpu")
    reached = accuracy(predict(learner, test)[0].argmax(axis=1), test.labels)
    fixed = relabeling_accuracy(predict(learner, train)[0].argmax(axis=1), train.labels, train.clean_labels)
    return {"learner": name, "seed": seed, "epochs": epochs, "accuracy": reached, "corrected": fixed}


def main():
    """Run what is missing, then one line per learner."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learners", default="ce,sop,dividemix")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["learner"], line["seed"], line["epochs"]) for line in lines}
    names = asked.learners.split(",")
    for seed in range(asked.seeds):
        for name in names:
            if (name, seed, asked.epochs) not in done:
                lines.append(trained(name, seed, asked.epochs))
                with RESULTS.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print(f"{'learner':<12}{'test accuracy (%)':>22}{'wrong labels corrected (%)':>30}{'ahead of ce':>24}")
    facts = {
        name: [line for line in lines if (line["learner"], line["epochs"]) == (name, asked.epochs)] for name in names
    }
    reached = {name: 100 * np.array([line["accuracy"] for line in of]) for name, of in facts.items()}
    for name, of in facts.items():
        fixed = 100 * np.array([line["corrected"] for line in of])
        error = np.hypot(*(values.std(ddof=1) / np.sqrt(len(values)) for values in (reached[name], reached["ce"])))
        lead = "" if name == "ce" else f"{(reached[name].mean() - reached['ce'].mean()) / error:.1f} standard errors"
        print(
            f"{name:<12}{f'{reached[name].mean():.2f} ± {reached[name].std(ddof=1):.2f}':>22}"
            f"{f'{fixed.mean():.2f} ± {fixed.std(ddof=1):.2f}':>30}{lead:>24}"
        )


if __name__ == "__main__":
    main()
