"""Rows: how files of many shapes become the few canonical kinds that recipes train on.

unpacking → sniffing → reading      bytes of a file → raw rows with their numbers
formats → normalising               a raw row → a canonical row, or the reason why not
importing                           one pass over a file: rows, index, rejected rows and report
rows                                random access to what was written
"""
