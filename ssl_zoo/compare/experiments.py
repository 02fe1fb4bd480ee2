"""What experiments are called in a comparison, and which settings distinguish them."""

from collections import Counter

from ssl_zoo.compare.runs import RunRecord

# As many settings as a reader takes in; the rest is in config.yaml.
SHOWN = 8
# What has a column of its own.
NAMED = ("model.class_path", "model.encoder.class_path")


def labels(experiments: list[list[RunRecord]]) -> list[str]:
    """A name for every experiment: that of its folder, and as much else as distinguishes it from the others.

    A published encoder, which has no experiment, is called by its own name.
    """
    names = [_folder(runs) for runs in experiments]
    rows = [runs[0].result.own_row for runs in experiments]
    encoders = [runs[0].result.encoder for runs in experiments]
    names = _distinguished(names, [("" if row == name else row) for row, name in zip(rows, names, strict=True)])
    names = _distinguished(names, [("" if one == name else one) for one, name in zip(encoders, names, strict=True)])
    named = []
    for label, runs in zip(names, experiments, strict=True):
        alike = [other for other, name in zip(experiments, names, strict=True) if name == label]
        differing = _distinguishing(runs[0], [other[0] for other in alike])
        named.append(f"{label} ({', '.join(differing)})" if differing else label)
    clashes = {label for label in named if named.count(label) > 1}
    return [
        f"{label} [{runs[0].name}]" if label in clashes else label
        for label, runs in zip(named, experiments, strict=True)
    ]


def differences(experiments: list[list[RunRecord]]) -> list[list[str]]:
    """The settings of every experiment that differ from those of most others that have such a setting.

    What one method alone has distinguishes nothing, and what most have in common need not be repeated.
    """
    known = [runs[0].settings or {} for runs in experiments]
    found: list[list[str]] = [[] for _ in experiments]
    names = sorted(
        {name for settings in known for name in settings} - set(NAMED), key=lambda one: (one.count("."), one)
    )
    by_name = {name: {place: str(one[name]) for place, one in enumerate(known) if name in one} for name in names}
    different = {name: values for name, values in by_name.items() if len(set(values.values())) > 1}
    for name, values in different.items():
        usual, often = Counter(values.values()).most_common(1)[0]
        for place, value in values.items():
            if value != usual or 2 * often <= len(values):
                found[place].append(_words(name, value, list(different)))
    return [
        [*settings[:SHOWN], f"{len(settings) - SHOWN} more"] if len(settings) > SHOWN else settings
        for settings in found
    ]


def _folder(runs: list[RunRecord]) -> str:
    if runs[0].result.budget.steps == 0:
        return runs[0].result.own_row
    return ", ".join(sorted({run.directory.parent.name for run in runs}))


def _distinguished(names: list[str], more: list[str]) -> list[str]:
    """Names with what distinguishes those that are alike, where something does."""
    found = Counter(name for name, _ in set(zip(names, more, strict=True)))
    return [f"{name} · {other}" if found[name] > 1 and other else name for name, other in zip(names, more, strict=True)]


def _distinguishing(run: RunRecord, alike: list[RunRecord]) -> list[str]:
    """As many settings of a run as distinguish it from the runs that are called alike, at most three.

    Words come before numbers: a chosen optimizer explains the learning rate better than the other way round.
    """
    known = [other.settings or {} for other in alike]
    values = {name: [str(settings.get(name)) for settings in known] for name in {one for each in known for one in each}}
    different = [name for name, found in values.items() if len(set(found)) > 1]
    own = run.settings or {}
    chosen: list[str] = []
    for name in sorted(different, key=lambda name: (not isinstance(own.get(name), str), name.count("."), name))[:3]:
        if len(set(zip(*(values[one] for one in chosen), strict=True))) == len(known):
            break
        chosen.append(name)
    return [_words(name, str(own.get(name)), chosen) for name in chosen]


def _words(name: str, value: str, beside: list[str]) -> str:
    """A setting as `batch_size 64`, with what it is a setting of where another one of these is called alike.

    `optimizer.name` is the optimizer, and a class is called by its last name.
    """
    if name.endswith(".class_path"):
        value = value.rpartition(".")[2]
    short = _short(name)
    alike = any(other != name and _short(other)[-1] == short[-1] for other in beside)
    return f"{'.'.join(short[-2:] if alike else short[-1:])} {value}"


def _short(name: str) -> list[str]:
    return name.removesuffix(".class_path").removesuffix(".name").split(".")
