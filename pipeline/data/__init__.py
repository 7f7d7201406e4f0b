"""Rows: how files of many shapes become the few canonical kinds that recipes train on."""
