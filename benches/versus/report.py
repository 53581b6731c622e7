"""Tables and plots of what benches/versus.sh has measured: `report.py FOLDER`, which has figures.csv and machine.txt.

Writes table.md and source.svg there and prints the table. A value is the median of the repetitions, with the smallest and the largest; a ratio is the median
of the repetitions' ratios.
"""

import collections
import csv
import pathlib
import statistics
import sys

import plot

OURS, BARE, THEIRS, FLOOR = "libcamerasrc-rs", "without-metadata", "libcamerasrc", "cam"
folder = pathlib.Path(sys.argv[1])
machine = dict(line.split(" ", 1) for line in (folder / "machine.txt").read_text().splitlines() if " " in line)


def read():
    """Values by part, condition, figure and side; conditions in the order in which they were measured."""
    values, order = collections.defaultdict(list), collections.defaultdict(list)
    with open(folder / "figures.csv", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            values[row["part"], row["condition"], row["figure"], row["side"]].append(float(row["value"]))
            if row["condition"] not in order[row["part"]]:
                order[row["part"]].append(row["condition"])
    return values, order


values, order = read()


class Row:
    """One figure of both sides under one condition."""

    def __init__(self, what, condition, ours, theirs, more_is_better=False, target=None):
        self.what, self.condition, self.ours, self.theirs = what, condition, ours, theirs
        self.more_is_better, self.target = more_is_better, target
        self.has_ratio = True

    @staticmethod
    def text(values):
        if not values:
            return "none"
        middle = number(statistics.median(values))
        return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"

    def ratios(self):
        """Of what was measured next to each other; of the medians where the repetitions are not the same."""
        if not self.has_ratio or not self.ours or not self.theirs or not all(self.theirs):
            return []
        if len(self.ours) == len(self.theirs):
            return [ours / theirs for ours, theirs in zip(self.ours, self.theirs)]
        return [statistics.median(self.ours) / statistics.median(self.theirs)]

    def verdict(self):
        if not self.ours or not (self.theirs or self.target is not None):
            return "not measured"
        ours = statistics.median(self.ours)
        if self.target is not None:
            return "yes" if ours <= self.target else "no"
        ratios = self.ratios() or [ours - statistics.median(self.theirs) + 1]
        ratio = statistics.median(ratios)
        ahead = ratio >= 1 if self.more_is_better else ratio <= 1
        overlap = min(self.ours) <= max(self.theirs) and min(self.theirs) <= max(self.ours)
        within = len(self.ours) > 1 and overlap
        return ("yes" if ahead else "no") + (", ranges overlap" if within else "")

    def ratio(self):
        ratios = self.ratios()
        return f"{statistics.median(ratios):.2f}" if ratios else ""

    def line(self):
        return f"| {self.what} | {self.condition} | {self.text(self.ours)} | {self.text(self.theirs)} | {self.ratio()} | {self.verdict()} |"


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def of(part, condition, figure, side):
    return values.get((part, condition, figure, side), [])


def total(part, condition, figures, side):
    return [sum(each) for each in zip(*(of(part, condition, figure, side) for figure in figures))]


def above_floor(condition, side):
    """Each run less the floor's of the same repetition, which was measured next to it."""
    return [value - floor for value, floor in zip(of("paced", condition, "cpu", side), of("paced", condition, "cpu", FLOOR))]


SWITCHES = ("voluntary", "involuntary")


def rows():
    both = lambda part, condition, figure: [of(part, condition, figure, side) for side in (OURS, THEIRS)]
    for condition in order["paced"]:
        yield Row("processor time of a frame, µs", condition, *both("paced", condition, "cpu"))
    for condition in order["paced"]:
        row = Row("the same above `cam`, µs", condition, above_floor(condition, OURS), above_floor(condition, THEIRS))
        # About nothing is no measure for a ratio.
        row.has_ratio = False
        yield row
    for part in ("paced", "free"):
        for condition in order[part]:
            switches = [total(part, condition, SWITCHES, side) for side in (OURS, THEIRS)]
            yield Row("context switches of a frame", named(part, condition), *switches)
    for condition in order["single"]:
        for figure, what in [("cpu", "processor time of a frame, µs"), ("push-p50", "completion to push, p50, µs"),
                             ("push-p99", "completion to push, p99, µs"), ("camera-p50", "camera to sink, p50, µs")]:
            for side, how in [(OURS, ""), (BARE, ", frame-metadata=false")]:
                yield Row(f"{what}{how}", f"{condition}, one processor", of("single", condition, figure, side), of("single", condition, figure, THEIRS))
    for condition in order["futex"]:
        yield Row("futex calls of a frame", condition, *both("futex", condition, "futex"))
    for figure, what in [("push-p50", "completion to push, p50, µs"), ("push-p99", "completion to push, p99, µs"),
                         ("push-max", "completion to push, longest, µs"),
                         ("camera-p50", "camera to sink, p50, µs"), ("camera-p99", "camera to sink, p99, µs")]:
        for part in ("paced", "free"):
            for condition in order[part]:
                yield Row(what, named(part, condition), *both(part, condition, figure))
    for condition in order["free"]:
        yield Row("frames a second", named("free", condition), *both("free", condition, "rate"), more_is_better=True)
        yield Row("processor time of a frame, µs", named("free", condition), *both("free", condition, "cpu"))
    for condition in order["allocations"]:
        yield Row("allocations of a frame by the element's own code", named_rate(condition), *both("allocations", condition, "own"), target=0.01)
        yield Row("allocations of a frame in the process", named_rate(condition), *both("allocations", condition, "all"))
    for condition in order["instructions"]:
        yield Row("instructions of a frame in the process", condition, *both("instructions", condition, "all"))
        yield Row("instructions of a frame in the element's own code", condition, *both("instructions", condition, "own"))
    for condition in order["paced"][:1]:
        yield Row("start: NULL to the first frame, ms", condition, *both("paced", condition, "start"))
        yield Row("stop: PLAYING to NULL, ms", condition, *both("paced", condition, "stop"))
    for condition in order["paced"][-1:]:
        yield Row("resident memory without files, kB", condition, *both("paced", condition, "anonymous"))
    for condition in order["branches"]:
        for sink, what in [("sink", "first"), ("other", "second")]:
            what = f"frames a second of the {what} branch, while the third takes 5"
            yield Row(what, condition, *both("branches", condition, f"rate:{sink}"), more_is_better=True)
    failed = [(key, len(found)) for key, found in values.items() if key[2] == "failed"]
    for (part, condition, _, side), count in failed:
        yield Row(f"{count} runs of {side} gave no figures", f"{part} {condition}", [], [])


def named(part, condition):
    return f"{condition}, free-running" if part == "free" else condition


def named_rate(condition):
    return f"{condition[:-2]}, free-running" if condition.endswith("@0") else condition


def panels():
    """What the picture shows: title, unit, and for each condition the values of each side."""
    def panel(title, conditions, get, part=None):
        groups = [(condition, [get(condition, side) for side in (OURS, THEIRS)]) for condition in conditions]
        groups = [(condition, sides) for condition, sides in groups if all(sides)]
        return (title, groups)

    paced, free = order["paced"], order["free"]
    yield panel("processor time of a frame, µs", [name for name in paced if not name.endswith("p")],
                lambda condition, side: of("paced", condition, "cpu", side))
    yield panel("context switches of a frame", paced, lambda condition, side: total("paced", condition, SWITCHES, side))
    yield panel("completion to push, p50, µs", paced, lambda condition, side: of("paced", condition, "push-p50", side))
    yield panel("completion to push, p99, µs", paced, lambda condition, side: of("paced", condition, "push-p99", side))
    yield panel("free-running, frames a second", free, lambda condition, side: of("free", condition, "rate", side))
    yield panel("free-running, processor time of a frame, µs", free, lambda condition, side: of("free", condition, "cpu", side))
    yield panel("allocations of a frame, own code", order["allocations"], lambda condition, side: of("allocations", condition, "own", side))
    yield panel("instructions of a frame, whole process", order["instructions"], lambda condition, side: of("instructions", condition, "all", side))


described = (
    f"{machine['date']}: {machine['cores']} cores of {machine['processor']}{' (virtual)' if machine.get('virtual') == 'yes' else ''}, "
    f"{machine['kernel']}, GStreamer {machine['gstreamer']}, libcamera {machine['libcamera']}; "
    f"load {machine['load'].split()[0]}; {machine['repeats']} repetitions of {machine['window']} s"
)
table = [described, "", "| figure | camera | libcamerasrc-rs | libcamerasrc | ratio | ahead |", "|---|---|---|---|---|---|"]
table += [row.line() for row in rows()]
slept = {"100us": "0.1 ms", "1000us": "1 ms", "16000us": "16 ms"}
wakes = [(words, [of("wake", "none", f"{key}-{name}", "machine") for name in ("p50", "p90")]) for key, words in slept.items()]
if all(all(found) for _, found in wakes):
    table += ["", "What the machine takes to wake a thread on another processor:", "", "| which has slept for | p50, µs | p90, µs |", "|---|---|---|"]
    table += [f"| {words} | {number(p50[0])} | {number(p90[0])} |" for words, (p50, p90) in wakes]
sink = folder / "sink.md"
if sink.exists():
    table += ["", "Both sinks:", "", sink.read_text().strip()]
text = "\n".join(table) + "\n"
(folder / "table.md").write_text(text, encoding="utf-8")
shown = [panel for panel in panels() if panel[1]]
if shown:
    (folder / "source.svg").write_text(plot.picture(shown, [OURS, THEIRS], described), encoding="utf-8")
print(text, end="")
