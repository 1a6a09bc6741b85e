"""Lesson 07: what else one could do."""
