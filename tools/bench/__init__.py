"""How fast training is, measured on this machine: `python -m tools.bench`.

Every comparison is a ratio of contestants that take turns (turns.py). contestants.py says what one block of
each is; groups.py what is compared with what; figures.py what is written, and what moved since last time.
"""
