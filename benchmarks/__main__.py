"""`python -m benchmarks`: the throughput benchmark, which needs nothing but the services."""

import sys

from benchmarks.throughput import main

if __name__ == "__main__":
    sys.exit(main())
