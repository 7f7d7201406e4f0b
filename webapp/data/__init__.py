"""Uploads and datasets: what stands behind their pages."""
