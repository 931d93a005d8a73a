import numpy as np

from goodgrain.cli.demo import noisy_digits, table


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
