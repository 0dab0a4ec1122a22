"""Real stamps: published sets and one's own, read, matched and cleaned."""
