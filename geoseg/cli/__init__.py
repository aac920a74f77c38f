"""The command line: parse, call a verb, print. Results go to stdout (``--json``), everything else to stderr.

Exit codes: 0 done, 1 failed (one line on stderr), 2 usage, 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

from geoseg.cli.main import main

__all__ = ["main"]
