"""Faults on purpose: what people, machines and networks do to a Hone, done to real ones, and the accounts afterwards.

python -m tests.chaos           every fault on both set-ups, then the storm; exit code 1 where one was not survived
python -m tests.chaos --help    what can be chosen
"""
