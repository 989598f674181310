"""README.md: its Python runs, and what it points to is there."""

import re

import pytest

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text("utf-8")


def blocks(text, language):
    return [code for name, code in FENCE.findall(text) if name == language]


def test_python_blocks_run_one_after_the_other(readme, capsys):
    found = blocks(readme, "python")
    assert found
    namespace = {"__name__": "readme"}
    for code in found:
        exec(compile(code, "README.md", "exec"), namespace)
    search = namespace["search"]
    assert set(search.best_params_) == {
        "tiedlogisticregression__tie",
        "tiedlogisticregression__C",
    }
    # The comments beside the prints are what the prints say.
    stated = re.findall(r"^print\(.*\)  # (.+)$", "".join(found), re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert stated == printed
    assert stated


def test_the_two_commands(readme):
    """.ci/run takes them from here; so does whoever reads no further."""
    assert blocks(readme, "bash") == [
        'python -m pip install ".[plot]" && python examples/plot_four_hospitals.py\n',
        'python -m pip install ".[test]" && python -m pytest\n',
    ]


def test_links_lead_to_files(readme, root):
    targets = re.findall(r"\]\(([^)#]+)\)", readme)
    assert any(target.endswith(".png") for target in targets)
    for target in targets:
        if not target.startswith("https://"):
            assert (root / target).is_file(), target


def test_pictures_are_small(readme, root):
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme):
        assert (root / picture).stat().st_size < 150_000
