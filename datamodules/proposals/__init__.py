"""Region proposals: boxes that may hold an object, found in a picture without knowing any class."""
