import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from goodgrain.cli.demo_data import digits_on_photographs, noisy_digits
from goodgrain.cli.demo_prune import table


def test_the_demo_data_is_what_it_says():
    train, test = noisy_digits(1)
    assert (len(train), len(test)) == (1437, 360)
    assert not set(train.ids) & set(test.ids)
    wrong = train.labels != train.clean_labels
    assert 0.39 < wrong.mean() < 0.41
    assert (train.labels[wrong] == (train.clean_labels[wrong] + 1) % 10).all()
    assert np.bincount(test.labels).min() > 30


def run(method, accuracy, noise, compared=(), learner="ce"):
    entry = {"count": 287, "accuracy_mean": accuracy, "noise_share": noise, "corrected_mean": 0.5}
    return {"method": method, "learner": learner, "budgets": [entry], "compared": list(compared)}


def test_the_table_shows_mean_and_sample_deviation_over_runs():
    # 60, 70 and 80 %: mean 70, standard deviation with n - 1 is 10.
    other = [{"method": "all data", "count": 1437, "accuracy_mean": 0.9, "noise_share": 0.4}]
    lines = table(
        [run("ours", a, 0.2, other) for a in (0.6, 0.7, 0.8)],
        [run("ours, cleaned", 0.5, 0.1)],
        [run("ours", 0.9, 0.2, learner="sop")],
    )
    assert [line.split() for line in lines[1:]] == [
        ["ours", "287", "70.0", "±", "10.0", "%", "20.0", "%", "50.0", "%"],
        ["all", "data", "1,437", "90.0", "±", "0.0", "%", "40.0", "%", "nan", "%"],
        ["ours,", "cleaned", "287", "50.0", "±", "0.0", "%", "10.0", "%", "50.0", "%"],
        ["ours,", "SOP+", "287", "90.0", "±", "0.0", "%", "20.0", "%", "50.0", "%"],
    ]


def test_photographs_give_digits_away_in_training_and_not_in_test():
    train, ood, test = digits_on_photographs(300, 0.85, seed=0)
    again = digits_on_photographs(300, 0.85, seed=0)
    assert [one.fingerprint() for one in again] == [one.fingerprint() for one in (train, ood, test)]
    assert (len(train), len(ood), len(test)) == (300, 450, 1497)
    assert not set(train.ids) & set(test.ids)

    # The corners hardly show ink: a classifier that sees them alone knows the training digit, and not that of the test.
    def corners(pool):
        pixels = pool.images(np.arange(len(pool)))[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
        return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)

    judge = KNeighborsClassifier(5).fit(corners(train), train.labels)
    assert judge.score(corners(train), train.labels) > 0.5
    assert judge.score(corners(test), test.labels) < 0.2
