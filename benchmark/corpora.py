"""`python -m benchmark.corpora NAME`: prepare a corpus and print what is in it; the work is data/corpora.py's."""

import sys

from benchmark.data.corpora import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m benchmark.corpora"))
