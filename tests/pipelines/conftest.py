"""Makes the recipes importable, as they are to each other when one of them is run as a script."""

from __future__ import annotations

import sys
from pathlib import Path

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

sys.path.insert(0, str(PIPELINES))
