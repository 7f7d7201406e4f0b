"""Rows: how files of many shapes become the few canonical kinds that recipes train on.

unpacking → sniffing → reading      bytes of a file → raw rows with their numbers
formats → normalising               a raw row → a canonical row, or the reason why not
mending                             what can be put right in a raw row, each kind of repair by name
blocks → converting                 many raw rows → lines of canonical rows, in several processes
inspecting                          what the first rows of a file tell
importing                           one pass over a file: rows, index, repaired and rejected rows, report
rows                                random access to what was written
hub                                 a dataset of the Hugging Face hub as a file
"""
