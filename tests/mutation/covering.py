"""The tests that run a line, those likely to notice a change first."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from coverage import CoverageData


class Covering:
    """What ``watched.py`` noted in a measured run of the suite."""

    def __init__(self, data_file: Path) -> None:
        self._data = CoverageData(basename=str(data_file))
        self._data.read()
        self.seconds: dict[str, float] = json.loads(
            data_file.with_suffix(".json").read_text()
        )

    def tests(self, path: str, lines: range) -> list[str]:
        """Test functions that run one of ``lines``.

        What runs while modules are imported belongs to no test: then all that run
        anything of the module.
        """
        by_line = self._data.contexts_by_lineno(path)
        here = {test for line in lines for test in by_line.get(line, ())}
        found = here & self.seconds.keys()
        if found:
            return sorted(found)
        return sorted({test for tests in by_line.values() for test in tests if test})

    def batches(
        self, path: str, lines: range, first: float, budget: float
    ) -> Iterator[list[str]]:
        """Those tests in two runs: a few that are near to the module, then the others.

        ``first`` and ``budget`` are in seconds. Collecting a file takes time of its
        own, so the first run is of three files: those named after the module, then
        those with most tests of the line.
        """
        files: dict[str, list[str]] = {}
        for test in sorted(self.tests(path, lines), key=self.seconds.__getitem__):
            # One may take minutes, such as scikit-learn's checks of all estimators.
            if self.seconds[test] > budget:
                break
            files.setdefault(test.partition("::")[0], []).append(test)
        own = _named_after(path)
        order = sorted(
            files, key=lambda file: (file not in own, -len(files[file]), file)
        )
        near = [
            test
            for file in order[:3]
            for test in self._within(files[file], first / 3) or files[file][:1]
        ]
        if near:
            yield near
        others = {test for tests in files.values() for test in tests} - set(near)
        rest = self._within(sorted(others, key=self.seconds.__getitem__), budget)
        if rest:
            # By files: a fixture of a module is set up once.
            yield sorted(rest, key=lambda test: order.index(test.partition("::")[0]))

    def _within(self, tests: list[str], budget: float) -> list[str]:
        chosen = []
        for test in tests:
            budget -= self.seconds[test]
            if budget < 0:
                break
            chosen.append(test)
        return chosen


def _named_after(path: str) -> set[str]:
    place = PurePosixPath(path)
    package, module = place.parent.name, place.stem
    names = (module, f"_{package}", f"_{package}{module}")
    return {f"tests/test{name}.py" for name in names}
