"""The speed of an experiment, measured by training it."""

from ssl_zoo import metrics
from ssl_zoo.cli import main
from ssl_zoo.runs.logged import read_metrics
from ssl_zoo.sweep import calibrate


def test_it_ends_in_the_middle_of_an_epoch(tmp_path):
    options = [each.replace("00:00:00:20", "00:00:00:01") for each in calibrate.OPTIONS]
    assert options != calibrate.OPTIONS
    pairs = ["--config", "experiments/quickstart.yaml", "--data.batch_size=2"]  # of which an epoch has 600
    main(["fit", *pairs, *options, f"--runs_dir={tmp_path}"])
    (found,) = tmp_path.rglob("metrics.csv")
    last = read_metrics(found)[metrics.THROUGHPUT][-1][0]
    assert calibrate.STEPS - calibrate.WINDOW <= last < 500
