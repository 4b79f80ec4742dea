"""Fetches the jars of Spark's Kafka source while the image is built: python docker/fetch_jars.py <folder>/spark.

The lock and the fetching are those of the local platform (include/local/jars.py).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from include.local.jars import provide_jars
from include.local.layout import Layout

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        provide_jars(Layout(project=Path(scratch)), "java", Path(sys.argv[1]))
