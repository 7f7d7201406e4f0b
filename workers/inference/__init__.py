"""The inference server: one process that owns the weights of a device and answers in OpenAI's protocol."""
