"""What people see: pages, the REST API and the command line. Nothing here imports torch."""
