"""Lesson 02: clusters, counted by hand and cut by the reader."""
