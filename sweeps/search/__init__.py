"""Which trials to run: spaces, searches, and the plan."""
