"""The record: datasets, models, jobs, votes and people, in SQL rows and in files named by content."""
