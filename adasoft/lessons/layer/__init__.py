"""Lesson 05: what the layer computes."""
