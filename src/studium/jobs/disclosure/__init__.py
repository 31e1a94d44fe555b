"""Disclosure control: what of a job's outputs may leave, and in what form.

``model`` says what is declared and allowed; ``folder`` reads a folder that hostile code wrote;
``tables``, ``pictures``, ``drawings`` and ``texts`` know good files from bad ones and write them
anew; ``cells``, ``suppression`` and ``rounding`` protect the counts in tables; ``release`` does all
of it in order and writes a manifest last.
"""
