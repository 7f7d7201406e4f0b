"""Blind battles, votes and the board: what stands behind their pages."""
