"""Willowmere: a small, closed, seeded world of our own, learnable in minutes, that the product ships as its first data.

Every fact of it stands in the prose. A fifth of the facts are never asked about in training, so that a model that
answers them has learned to answer, and not the answers.
"""
