"""Compares what `vgg-train eval` tells of a run's predictions with what scikit-learn makes of them.

    pip install numpy scikit-learn
    cargo build -p vgg-train
    python scores.py target/debug/vgg-train RUN                      # as training tests it
    python scores.py target/debug/vgg-train RUN --mode dense --flip  # any options of eval

The probabilities that `--predictions` writes are what all else is computed from: losses and
accuracies, the confusion matrix, precision, recall and F1 of each class and their means, ROC AUC and
average precision, the bins of the calibration, its errors and the Brier score; and what metrics.jsonl
has of the epoch, where the run is tested alone and as in training. What `--json` has must be the same to
1e-9; the loss, which is of logits, to 1e-6.
"""

import csv
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics

EXACT, LOSS = 1e-9, 1e-6
BINS = 15
# Classes without images are told of by a warning each.
warnings.simplefilter("ignore")


class Predictions:
    """What the program writes: true classes, predicted ones and probabilities, `[images, classes]`."""

    def __init__(self, program, arguments):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "predictions.csv"
            command = [program, "eval", *arguments, "--json", "-q", "--predictions", file]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            self.told = json.loads(done.stdout)
            with open(file, newline="") as lines:
                header, *rows = csv.reader(lines)
        if len(arguments) == 1:
            self.told["epoch"] = self.epoch(Path(arguments[0]) / "metrics.jsonl")
        self.classes = header[5:]
        assert self.classes == [row["class"] for row in self.told["classes"]]
        assert [row[0] for row in rows] == [str(i) for i in range(len(rows))]
        number = {name: label for label, name in enumerate(self.classes)}
        self.labels = np.array([number[row[2]] for row in rows])
        self.predicted = np.array([number[row[3]] for row in rows])
        self.confidence = np.array([row[4] for row in rows], np.float32)
        self.p = np.array([row[5:] for row in rows], np.float32)
        assert (self.confidence == self.p.max(axis=1)).all()
        assert (self.p[np.arange(len(rows)), self.predicted] == self.confidence).all()

    def epoch(self, file):
        """The record of the epoch that was tested, which has the same loss."""
        records = map(json.loads, file.read_text().splitlines())
        epochs = (record for record in records if record["kind"] == "epoch")
        return next(epoch for epoch in epochs if epoch["test_loss"] == self.told["loss"])

    def expected(self):
        """A path in the JSON, the number that should be there, and how far it may be off."""
        labels, predicted, told = self.labels, self.predicted, self.told
        n, k = self.p.shape
        yield "images", n, 0
        yield "top1", metrics.accuracy_score(labels, predicted), EXACT
        yield "top5", self.top5(), EXACT
        own = self.p[np.arange(n), labels].astype(float)
        if own.all():  # The logarithm of what is too small for a float is in the logits alone.
            yield "loss", -np.log(own).mean(), LOSS
        yield "balanced_accuracy", metrics.balanced_accuracy_score(labels, predicted), EXACT
        counts = metrics.confusion_matrix(labels, predicted, labels=range(k))
        yield "confusion", np.abs(np.array(told["confusion"]) - counts).sum(), None

        if "epoch" in told:
            balanced = metrics.balanced_accuracy_score(labels, predicted)
            yield "epoch.test_balanced_accuracy", balanced, EXACT
            f1 = metrics.f1_score(labels, predicted, average="macro", zero_division=0)
            yield "epoch.test_macro_f1", f1, EXACT
            yield "epoch.test_accuracy", metrics.accuracy_score(labels, predicted), EXACT

        for average in ("macro", "weighted"):
            scores = metrics.precision_recall_fscore_support(
                labels, predicted, average=average, zero_division=0
            )
            for name, score in zip(("precision", "recall", "f1"), scores):
                yield f"{average}.{name}", score, EXACT
        present = set(labels) | set(predicted)
        scores = metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(k), zero_division=0
        )
        for name, each in zip(("precision", "recall", "f1", "support"), scores):
            for label, score in enumerate(each):
                is_there = name == "support" or label in present
                yield f"classes.{label}.{name}", score if is_there else None, EXACT

        areas = {"auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score}
        for name, area in areas.items():
            known = []
            for label in range(k):
                truth = labels == label
                score = area(truth, self.p[:, label]) if 0 < truth.sum() < n else None
                known += [] if score is None else [score]
                yield f"classes.{label}.{name}", score, EXACT
            yield f"macro.{name}", np.mean(known), EXACT

        yield from self.calibration()
        truth = np.eye(k)[labels]
        yield "calibration.brier", ((self.p.astype(float) - truth) ** 2).sum(axis=1).mean(), EXACT

    def top5(self):
        """By probabilities: the program goes by logits, which may differ where these do not."""
        own = self.p[np.arange(len(self.labels)), self.labels][:, None]
        before = (self.p > own).sum(axis=1)
        at_most = (self.p >= own).sum(axis=1) - 1
        least, most = (at_most < 5).mean(), (before < 5).mean()
        return np.clip(self.told["top5"], least, most)

    def calibration(self):
        """Guo et al. 2017, section 2; the limits of bins are numpy's own."""
        confidence, right = self.confidence.astype(float), self.labels == self.predicted
        limits = np.linspace(0, 1, BINS + 1)
        gaps, counts = [], []
        for i, (above, up_to) in enumerate(zip(limits[:-1], limits[1:])):
            chosen = (confidence > above) & (confidence <= up_to)
            path, some = f"calibration.bins.{i}", chosen.any()
            yield f"{path}.images", chosen.sum(), 0
            yield f"{path}.confidence", confidence[chosen].mean() if some else None, EXACT
            yield f"{path}.accuracy", right[chosen].mean() if some else None, EXACT
            if some:
                gaps.append(abs(confidence[chosen].mean() - right[chosen].mean()))
                counts.append(chosen.sum())
        yield "calibration.ece", np.average(gaps, weights=counts), EXACT
        yield "calibration.mce", max(gaps), EXACT


def at(value, path):
    for key in path.split("."):
        value = value[int(key) if isinstance(value, list) else key]
    return value


def main(program, *arguments):
    predictions = Predictions(program, arguments)
    worst, compared, wrong = {}, 0, []
    for path, expected, most in predictions.expected():
        compared += 1
        if most is None:
            off = expected
        else:
            told = at(predictions.told, path)
            off = 0.0 if told is expected is None else np.inf
            if told is not None and expected is not None:
                off = abs(told - expected)
        wrong += [(path, expected)] if not off <= (most or 0) else []
        group = path.split(".")[0] + ("." + path.split(".")[-1] if "." in path else "")
        worst[group] = max(worst.get(group, 0.0), float(off))
    n, k = predictions.p.shape
    print(f"{' '.join(arguments)}: {n} images, {k} classes, {compared} numbers")
    for group, off in worst.items():
        print(f"  {group:30} {off:.1e}")
    assert not wrong, wrong[:10]


if __name__ == "__main__":
    main(*sys.argv[1:])
