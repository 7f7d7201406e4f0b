"""Pages: one file each, with a module-level `PAGE` that `webapp.app` puts at its address."""
