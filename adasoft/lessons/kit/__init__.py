"""What all lessons are made of: the explorer, panels and their parts, widgets, grading, stills."""
