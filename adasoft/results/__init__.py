"""Stored numbers (``data/results/*.json``) and the tables made of them, for the terminal and for Markdown.

Nothing here measures, and nothing here needs the notebooks' packages.

===================  =============================================================================
``folders.py``       where results are read and written
``suite.py``         the rows of the table of trainings, and the paper's numbers
``trainings.py``     records of trainings, gathered into rows
``tables.py``        those rows for a terminal
``short_tables.py``  those rows in Markdown, and as the lesson on language models shows them
``gains.py``         what was gained, in six lines
===================  =============================================================================
"""
