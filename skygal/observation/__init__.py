"""How the sky is seen: surveys, beams, primary beams and noise."""
