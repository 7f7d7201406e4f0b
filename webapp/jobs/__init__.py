"""Launching and following jobs: what stands behind their pages."""
