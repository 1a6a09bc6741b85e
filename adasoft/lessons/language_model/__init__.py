"""Lesson 06: what the adaptive softmax costs in perplexity."""
