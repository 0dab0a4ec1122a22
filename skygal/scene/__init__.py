"""Sources with a place: drawn, measured, and drawn again in any window."""
