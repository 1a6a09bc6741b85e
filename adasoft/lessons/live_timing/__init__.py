"""Lesson 04: predicted beside measured, on the reader's machine."""
