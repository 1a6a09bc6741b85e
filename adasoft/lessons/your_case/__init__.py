"""Lesson 08: your case, with a budget."""
