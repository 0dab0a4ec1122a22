"""How well a source finder does on a field of which the truth is known."""
