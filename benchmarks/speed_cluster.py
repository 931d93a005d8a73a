"""Clusters of bounded sizes: time, memory and inertia against k-means-constrained, faiss and scikit-learn.

    python benchmarks/speed_cluster.py [--embeddings alpaca.npy] [--sizes 2000 5000 52000] [--seeds 3] [--shards 8]

Needs k-means-constrained, faiss-cpu and ortools; what is not installed is left out. Embeddings are an (m, d) array;
without them, rows around random directions are drawn. Where fewer than n rows are there, copies with a little noise
fill up. There are n / 5 clusters of at most 10 (10,000 at n = 52,000).

Inertia is the sum of squared distances to the means of the clusters, for all alike: k-means-constrained assigns by
distances that are not squared. Times are of the process's CPU; each fit runs in a process of its own, and its memory is
what the peak lies above what the process held with the rows alone (as Linux tells it). The k-means without bounds take
20 iterations; their largest cluster tells why a bound is needed.
"""

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from goodgrain import ConstrainedKMeans

CAP = 10
LARGEST_PEER = 5_000  # k-means-constrained takes n * k arcs: 2 GB at 10,000


def rows(path, n):
    """(n, d) unit rows, float32, in random order."""
    rng = np.random.default_rng(0)
    if path:
        x = np.load(path).astype(np.float32)
    else:
        x = rng.standard_normal((400, 384), dtype=np.float32)[rng.integers(400, size=n)]
        x += 0.8 * rng.standard_normal(x.shape, dtype=np.float32)
    x = x[rng.permutation(len(x))[:n]]
    if len(x) < n:
        more = x[rng.integers(len(x), size=n - len(x))]
        x = np.concatenate([x, more + 0.02 * rng.standard_normal(more.shape, dtype=np.float32)])
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ours(x, k, seed, **options):
    """This library."""
    return ConstrainedKMeans(k, size_max=CAP, random_state=seed, **options).fit(x).labels_


def without_ortools(x, k, seed):
    """This library with SciPy's solver."""
    from goodgrain.cluster import flow

    flow.has_ortools = lambda: False
    return ours(x, k, seed)


def peer(x, k, seed):
    """Bounded, by distances that are not squared, over all n * k arcs."""
    from k_means_constrained import KMeansConstrained

    return KMeansConstrained(k, size_max=CAP, n_init=1, random_state=seed).fit(x.astype(np.float64)).labels_


def faiss(x, k, seed):
    """K-means without bounds."""
    import faiss

    kmeans = faiss.Kmeans(x.shape[1], k, niter=20, seed=seed, min_points_per_centroid=1)
    kmeans.train(x)
    return kmeans.index.search(x, 1)[1][:, 0]


def minibatch(x, k, seed):
    """K-means on random batches."""
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(k, init="random", n_init=1, batch_size=4096, random_state=seed).fit(x).labels_


def lloyd(x, k, seed):
    """K-means without bounds."""
    from sklearn.cluster import KMeans

    return KMeans(k, init="random", n_init=1, max_iter=20, random_state=seed).fit(x).labels_


SIDES = {
    "goodgrain": (ours, "numpy", np.inf),
    "goodgrain, no OR-tools": (without_ortools, "numpy", np.inf),
    "goodgrain, shards": (ours, "numpy", np.inf),
    "k-means-constrained": (peer, "k_means_constrained", LARGEST_PEER),
    "faiss, no bound": (faiss, "faiss", np.inf),
    "scikit-learn, no bound": (lloyd, "sklearn", np.inf),
    "MiniBatchKMeans, no bound": (minibatch, "sklearn", np.inf),
}


def measure(side, args, n, seed):
    """One fit, in this process: CPU seconds, MB above the rows, inertia, least and largest cluster."""
    x, k = rows(args.embeddings, n), clusters(n)
    options = {"shards": args.shards} if side == "goodgrain, shards" else {}
    with open("/proc/self/statm") as memory:
        before = int(memory.read().split()[1]) * resource.getpagesize() / 2**20
    start = time.process_time()
    labels = SIDES[side][0](x, k, seed, **options)
    seconds = time.process_time() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before
    sizes = np.bincount(labels, minlength=k)
    sums = np.zeros((k, x.shape[1]))
    np.add.at(sums, labels, x)
    inertia = np.square(x, dtype=np.float64).sum() - (np.square(sums).sum(axis=1) / np.maximum(sizes, 1)).sum()
    return seconds, megabytes, float(inertia), int(sizes.min()), int(sizes.max())


def clusters(n):
    """10,000 for the 52,000 rows of Alpaca, else a fifth."""
    return 10_000 if n == 52_000 else n // 5


def line(side, n, args):
    """Means over the seeds, each from a process of its own."""
    seeds = args.seeds if n <= LARGEST_PEER else 1
    found = []
    for seed in range(seeds):
        words = ["--only", side, str(n), str(seed), "--shards", str(args.shards)]
        words += ["--embeddings", args.embeddings] if args.embeddings else []
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    seconds, megabytes, inertia, least, most = zip(*found, strict=True)
    return (
        f"{side:<27}{n:>8,}{clusters(n):>8,}{seeds:>7}{statistics.mean(seconds):>11.1f}{max(megabytes):>9.0f}"
        f"{statistics.mean(inertia):>11.1f}{min(least):>8}{max(most):>8}"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 5_000, 52_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        side, n, seed = args.only
        print(json.dumps(measure(side, args, int(n), int(seed))))
        return
    print(f"at most {CAP} members; means over seeds of CPU seconds and inertia, the largest of megabytes and sizes")
    print(f"{'':<27}{'n':>8}{'k':>8}{'seeds':>7}{'CPU s':>11}{'MB':>9}{'inertia':>11}{'least':>8}{'most':>8}")
    for n in args.sizes:
        for side, (_, module, largest) in SIDES.items():
            if n <= largest and importlib.util.find_spec(module):
                print(line(side, n, args), flush=True)


if __name__ == "__main__":
    main()
