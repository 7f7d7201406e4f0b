"""The science: what a job computes. Importing any module here loads no torch."""
