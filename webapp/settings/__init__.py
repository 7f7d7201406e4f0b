"""Endpoints, API keys and the facts of the installation: what stands behind the Settings page."""
