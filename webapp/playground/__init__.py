"""The playground: what stands behind its page."""
