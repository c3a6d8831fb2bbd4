"""Text as token ids: corpora, their sources, and which tokens a step sees."""
