"""Willowmere: a small, closed, seeded world of our own, learnable in minutes, that the product ships as its first data.

Every fact of it stands in the prose. A fifth of the facts no later row asks about, so that a model that
answers them has learned to answer, and not the answers.
"""
