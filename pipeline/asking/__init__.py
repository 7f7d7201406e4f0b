"""Asking: jobs that put questions to a model, whether its weights are here or another server answers for it."""
