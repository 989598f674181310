"""What the pages of the documentation hold, for the tests of several files."""

import re
import textwrap

BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)


def code_blocks(text):
    """Return the blocks of Python that are no doctests."""
    return [textwrap.dedent(block) for block in BLOCK.findall(text)]
