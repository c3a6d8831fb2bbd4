"""`python -m benchmark.corpora NAME`: prepare a corpus and say what is in it (data/corpora.py)."""

import sys

from benchmark.data.corpora import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m benchmark.corpora"))
