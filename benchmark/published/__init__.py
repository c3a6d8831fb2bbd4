"""Other people's published results as records of our schema, so that one analysis judges theirs and ours.

`python -m benchmark.published` writes them below `results/`. Start with fantastic.py.
"""
