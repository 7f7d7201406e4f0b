"""A job's life: queue, claim, child process, record; and the inference server."""
