"""Labelled stamps and datasets for machine learning."""
