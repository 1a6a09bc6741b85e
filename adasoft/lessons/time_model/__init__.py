"""Lesson 03: flat, then affine. What a product of matrices costs, measured on the reader's machine."""
